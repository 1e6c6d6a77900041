"""What estimating calls anew changes, by model and team: before, after, how many gain a figure and how many lose it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from rich.console import Console

from proxy.aligned import Column, print_aligned
from proxy.ledger.tables import CallRow
from proxy.reports import figures

FIGURES = ("cost_usd", "joules", "grams_co2e", "liters")
_UNITS = {"joules": "J", "grams_co2e": "g", "liters": "L"}
_TITLES = {"cost_usd": "dollars", "joules": "energy", "grams_co2e": "CO2e", "liters": "water"}
Key = tuple[str | None, str | None]  # model, team


@dataclass(slots=True)
class Change:
    """Sums of one figure over the calls that have it; None where none has."""

    before: Any = None
    after: Any = None
    gained: int = 0  # calls that have it now and had it not
    lost: int = 0

    @property
    def moved(self) -> bool:
        """Whether anything of it is another."""
        return bool(self.gained or self.lost or self.before != self.after)

    def take(self, before: Any, after: Any) -> None:
        """Add one call."""
        self.before, self.after = _plus(self.before, before), _plus(self.after, after)
        self.gained += before is None and after is not None
        self.lost += before is not None and after is None

    def add(self, other: Change) -> None:
        """Add another group's."""
        self.before, self.after = _plus(self.before, other.before), _plus(self.after, other.after)
        self.gained, self.lost = self.gained + other.gained, self.lost + other.lost


@dataclass(slots=True)
class Group:
    """The calls of one model and team: how many there are, how many change, how many cannot be estimated anew."""

    calls: int = 0
    changed: int = 0
    kept: int = 0
    figures: dict[str, Change] = field(default_factory=lambda: {name: Change() for name in FIGURES})

    def add(self, other: Group) -> None:
        """Add another group."""
        self.calls, self.changed = self.calls + other.calls, self.changed + other.changed
        self.kept += other.kept
        for name, change in self.figures.items():
            change.add(other.figures[name])


class Differences:
    """Sums up calls as they come."""

    def __init__(self) -> None:
        self.groups: dict[Key, Group] = {}

    def take(self, before: CallRow, after: CallRow | None, *, changes: bool) -> None:
        """Add a call; ``after`` is None where it stays as it is because it cannot be estimated anew."""
        key = (before.model if before.model is not None else before.model_requested, before.team)
        group = self.groups.setdefault(key, Group())
        group.calls += 1
        group.changed += changes
        group.kept += after is None
        for name, change in group.figures.items():
            change.take(getattr(before, name), getattr(before if after is None else after, name))

    @property
    def total(self) -> Group:
        """All groups as one."""
        total = Group()
        for group in self.groups.values():
            total.add(group)
        return total


def as_document(differences: Differences) -> dict[str, Any]:
    """Give the groups and their total for JSON; dollars are exact decimals, as text."""
    ranked = sorted(differences.groups.items(), key=_rank)
    return {
        "units": {"cost_usd": "USD", **_UNITS},
        "rows": [{"model": model, "team": team, **_plain(group)} for (model, team), group in ranked],
        "total": _plain(differences.total),
    }


def print_differences(differences: Differences, console: Console) -> None:
    """Print a line for each figure that changes in a group, and for each of their total."""
    rows: list[tuple[str, ...]] = []
    for (model, team), group in sorted(differences.groups.items(), key=_rank):
        if group.changed:
            moved = [name for name, each in group.figures.items() if each.moved]
            rows += _lines((model or "–", team or "–"), group, moved)
    print_aligned(console, _COLUMNS, rows, _lines(("total", ""), differences.total, FIGURES))


_COLUMNS = (
    *(Column(title=title, widest=48) for title in ("model", "team")),
    *(Column(title=title, right=True) for title in ("calls", "changed")),
    Column(title="figure"),
    *(Column(title=title, right=True) for title in ("before", "after", "change", "gained", "lost")),
)


def _lines(names: tuple[str, str], group: Group, shown: Sequence[str]) -> list[tuple[str, ...]]:
    heads = (*names, f"{group.calls:,}", f"{group.changed:,}")
    if not shown:  # only what is said beside the figures: the version of the facts, a reason
        return [(*heads, "none of these", *[""] * 5)]
    lines = []
    for number, name in enumerate(shown):
        change = group.figures[name]
        lines.append(
            (
                *(heads if number == 0 else [""] * len(heads)),
                _TITLES[name],
                _written(name, change.before),
                _written(name, change.after),
                _difference(name, change),
                figures.count(change.gained),
                figures.count(change.lost),
            )
        )
    return lines


def _difference(name: str, change: Change) -> str:
    if change.before is None or change.after is None:
        return "–"
    by = change.after - change.before
    if not by:
        return "none"
    sign = "+" if by > 0 else "-"
    if not change.before:
        return f"{sign}{_written(name, abs(by))}"
    return f"{sign}{_written(name, abs(by))} ({sign}{figures.digits(100 * abs(float(by) / float(change.before)))} %)"


def _written(name: str, value: Any) -> str:
    return figures.dollars(value) if name == "cost_usd" else figures.quantity(value, _UNITS[name])


def _rank(item: tuple[Key, Group]) -> tuple[int, str, str]:
    (model, team), group = item
    return (-group.changed, model or "", team or "")


def _plus(one: Any, other: Any) -> Any:
    return other if one is None else one if other is None else one + other


def _plain(group: Group) -> Mapping[str, Any]:
    def value(figure: Any) -> Any:
        return f"{figure.normalize():f}" if isinstance(figure, Decimal) else figure

    def change(each: Change) -> Any:
        return None if each.before is None or each.after is None else value(each.after - each.before)

    return {
        "calls": group.calls,
        "changed": group.changed,
        "kept": group.kept,
        **{
            name: {
                "before": value(each.before),
                "after": value(each.after),
                "change": change(each),
                "gained": each.gained,
                "lost": each.lost,
            }
            for name, each in group.figures.items()
        },
    }
