"""What tells one report from another, and how any of them is laid out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from proxy.ledger.read import SUMMED, TIME_DIMENSIONS, Totals
from proxy.reports import notes
from proxy.reports.metering import metering_of
from proxy.reports.split import Split
from proxy.reports.table import Cell, Column, Report, digits_carried


def _nothing_more(split: Split, group: Totals) -> Mapping[str, Cell]:
    return {}


def _nothing_to_say(split: Split) -> list[str]:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """``columns`` name fields of Totals or of what is ``reckoned``, ``rank`` the figure that the report is about.

    ``unknown`` is the count of calls without it. ``reckoned`` makes figures of a group, or of the total, that the
    ledger has no sums of; ``within`` is what it wants the group's parts to be split by, ``reads`` the figures it wants
    beside the columns'.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rank: str
    unknown: str
    lacking: str  # what such a call has not: "a price"
    so: str  # what follows from that: "dollars are a lower bound"
    reckoned: Callable[[Split, Totals], Mapping[str, Cell]] = _nothing_more
    says: Callable[[Split], list[str]] = _nothing_to_say  # what else must be known to read it
    within: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    by: tuple[str, ...] = ("team", "model")  # where nothing else is asked for

    @property
    def evidenced(self) -> bool:
        """Whether it says what its estimates rest on: where there are some."""
        return self.unknown != "unpriced_calls"

    @property
    def figures(self) -> set[str]:
        """What of the ledger's sums it is made of."""
        shown = {column.key.removesuffix("_low").removesuffix("_high") for column in self.columns}
        return {*self.reads, *shown.intersection(SUMMED), *(["joules"] if self.evidenced else [])}


def lay_out(kind: Kind, split: Split, service: str | None = None) -> Report:
    """Make the report: the largest figure first, time in its order, and what the figures leave out.

    ``service`` is what a running gate says of its ledger.
    """

    def figures(group: Totals) -> dict[str, Cell]:
        more = kind.reckoned(split, group)
        return {
            column.key: more[column.key] if column.key in more else getattr(group, column.key)
            for column in kind.columns
        }

    banded = {f"{column.like}{end}" for column in kind.columns if column.like for end in ("_low", "", "_high")}

    def with_bands(group: Totals, made: dict[str, Cell]) -> dict[str, Cell]:
        return {key: made[key] if key in made else getattr(group, key) for key in banded}

    def magnitude(row: tuple[Totals, dict[str, Cell]]) -> float:
        return -float(row[1][kind.rank] or 0)

    # Of no calls there is one sum, of nothing: no row.
    ranked = sorted(((group, figures(group)) for group in split.groups if group.calls), key=magnitude)
    times = [position for position, dimension in enumerate(split.by) if dimension in TIME_DIMENSIONS]
    if times:
        ranked.sort(key=lambda row: [row[0].key[position] or "" for position in times])
    whole = figures(split.total)
    return Report(
        name=kind.name,
        title=kind.title,
        period=split.period,
        by=split.by,
        columns=(*(Column(key=dimension, title=dimension, kind="text") for dimension in split.by), *kind.columns),
        rows=tuple((*group.key, *row.values()) for group, row in ranked),
        total=(*(None for _ in split.by), *whole.values()),
        where=split.where,
        rank=kind.rank,
        carried=digits_carried(kind.columns, [with_bands(*row) for row in (*ranked, (split.total, whole))]),
        shares=[split.tiers.shares(group) for group in (*(group for group, _ in ranked), split.total)]
        if kind.evidenced and split.tiers is not None
        else (),
        notes=(
            *notes.nothing(split),
            *(kind.says(split) if split.total.calls else ()),
            *notes.prices(split),
            *(notes.evidence(split) if kind.evidenced and "tier" not in kind.by else ()),
            *notes.band(getattr(split.total, f"{kind.rank}_low", None)),
            *notes.without(split, kind.unknown, kind.lacking, kind.so),
            *notes.health(split, kind.unknown, service),
        ),
        metering=metering_of(split, service),
    )
