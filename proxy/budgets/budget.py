"""What a budget is, and which budgets a call has."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from proxy.budgets.exposure import MOST
from proxy.budgets.units import COUNTED, Unit, shown, steps_of
from proxy.budgets.windows import Window, WindowError
from proxy.errors import ConfigError
from proxy.sections import BudgetSection

SCOPE = ("team", "project", "user", "key")
_LIMIT_MOST = 10**12  # of any unit: as many digits as the ledger keeps before the point of dollars


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """So much of a unit in each window for calls of a team, project, user or key; of all of them that are named."""

    name: str
    team: str | None = None
    project: str | None = None
    user: str | None = None
    key: str | None = None  # by its id
    unit: Unit
    limit: int  # in steps
    window: Window | None  # None: of concurrent requests, which have none
    hard: bool
    thresholds: tuple[float, ...] = ()  # shares of the limit

    @property
    def measure(self) -> int:
        """Number what is counted: another limit for the same leaves it, another unit, window or scope makes it new."""
        window = None if self.window is None else (self.window.text, str(self.window.zone))
        told = msgspec.json.encode((self.name, self.team, self.project, self.user, self.key, self.unit, window))
        return int.from_bytes(hashlib.blake2b(told, digest_size=8).digest()) >> 1

    @property
    def limits_rate(self) -> bool:
        """Whether a caller who is refused has only asked too fast."""
        return self.window is None or self.window.text == "minute"

    @property
    def of_a_team(self) -> bool:
        """Whether it is for all calls of a team."""
        return self.team is not None and self.project is self.user is self.key is None

    def fits(self, team: str | None, project: str | None, user: str | None, key: str | None) -> bool:
        """Whether it is for calls of these."""
        return (
            self.team in (None, team)
            and self.project in (None, project)
            and self.user in (None, user)
            and self.key in (None, key)
        )

    def says(self) -> str:
        """Say the limit as a person would."""
        amount = f"{shown(self.limit, self.unit):f}"
        amount = amount.rstrip("0").rstrip(".") if "." in amount else amount
        words = f"{amount} {'concurrent requests' if self.window is None else self.unit}"
        if self.window is None:
            return words
        return f"{words} in {self.window.text}" if self.window.length_s is not None else f"{words} a {self.window.text}"


class BudgetError(ConfigError):
    """A budget cannot be so; ``field`` is what is wrong."""

    def __init__(self, name: str, field: str, message: str) -> None:
        super().__init__(f"budget `{name}`: {message}")
        self.field = field


def budget_of(section: BudgetSection) -> Budget:
    """Read a section; raises :class:`BudgetError`, a :class:`ConfigError` naming what is wrong."""

    def wrong(field: str, message: str) -> BudgetError:
        return BudgetError(section.name, field, message)

    if all(getattr(section, each) is None for each in SCOPE):
        raise wrong("team", "say whose it is: team, project, user or key")
    window = None
    if section.unit == "concurrent_requests":
        if section.window is not None:
            raise wrong("window", "concurrent requests are counted as they are, without a window")
        if section.mode != "hard":
            raise wrong("mode", 'concurrent requests can only be limited: set mode = "hard"')
    elif section.window is None:
        raise wrong("window", 'for how long? Set window = "month", "day", "30d" or another')
    else:
        try:
            window = Window.named(section.window, "UTC" if section.tz is None else section.tz)
        except WindowError as error:
            raise wrong(error.field, str(error)) from None
    if section.limit >= _LIMIT_MOST:
        raise wrong("limit", f"limit = {section.limit:g} is no limit: give less than {_LIMIT_MOST:g}")
    limit = steps_of(section.limit, section.unit)
    if section.unit in COUNTED and section.limit % 1:
        raise wrong("limit", f"limit = {section.limit:g} {section.unit} cannot be: give a whole number")
    if limit < 1:
        raise wrong("limit", f"limit = {section.limit} {section.unit} is less than there can be: give more")
    return Budget(
        name=section.name,
        team=section.team,
        project=section.project,
        user=section.user,
        key=section.key,
        unit=section.unit,
        limit=limit,
        window=window,
        hard=section.mode == "hard",
        thresholds=tuple(sorted(set(section.thresholds))),
    )


def budgets_of(sections: Sequence[BudgetSection]) -> tuple[Budget, ...]:
    """Read all; raises :class:`ConfigError`."""
    if len(sections) > MOST:
        raise ConfigError(f"{len(sections)} budgets are more than there is room for, which is {MOST}")
    return tuple(map(budget_of, sections))


class Budgets:
    """The budgets there are, found by whose call it is."""

    def __init__(self, budgets: Iterable[Budget]) -> None:
        self.all = tuple(budgets)
        self._by: tuple[dict[str, list[Budget]], ...] = ({}, {}, {}, {})
        for budget in self.all:
            # Under the narrowest of what it names, which the fewest calls have.
            for names, name in zip(self._by, (budget.key, budget.user, budget.project, budget.team), strict=True):
                if name is not None:
                    names.setdefault(name, []).append(budget)
                    break

    def of(self, team: str | None, project: str | None, user: str | None, key: str | None) -> tuple[Budget, ...]:
        """Give those of a call."""
        found: list[Budget] = []
        for names, name in zip(self._by, (key, user, project, team), strict=True):
            if name is not None and name in names:
                found += [budget for budget in names[name] if budget.fits(team, project, user, key)]
        return tuple(found)
