"""The reports there are, by name, and how each is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from proxy.ledger.read import Where
from proxy.reports.carbon import CARBON
from proxy.reports.chargeback import chargeback, shared
from proxy.reports.cost import COST
from proxy.reports.energy import ENERGY
from proxy.reports.focus import BY, focus
from proxy.reports.ghg import GHG
from proxy.reports.kind import lay_out
from proxy.reports.period import Period, QuestionError
from proxy.reports.sci import SCI
from proxy.reports.split import Split, conditions, dimensions, split
from proxy.reports.table import Report
from proxy.reports.water import WATER

_KINDS = {kind.name: kind for kind in (COST, ENERGY, CARBON, WATER, SCI, GHG)}
NAMES = (*_KINDS, "focus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A report that was asked for, before the ledger is."""

    by: tuple[str, ...]
    within: tuple[str, ...]
    make: Callable[[Split, str | None], Report]
    where: Where

    def ask(self, connection: Connection, period: Period, service: str | None = None) -> Report:
        """Read the ledger and make the report; ``service`` is what a running gate says of it. Raises QuestionError."""
        return self.make(split(connection, self.by, period, self.within, self.where), service)


def question_of(name: str, by: str | None = None, allocate: Sequence[str] = (), where: Sequence[str] = ()) -> Question:
    """Understand what is asked for; raises QuestionError. KeyError for a name that is none."""
    only = conditions(where)
    if allocate and name != COST.name:
        raise QuestionError(f"--allocate spreads dollars: it goes with cost, not with {name}")
    if name == "focus":
        if by is not None:
            raise QuestionError(f"the rows of focus are always by {', '.join(BY)}: leave out --by")
        return Question(by=BY, within=(), make=focus, where=only)
    if allocate:
        spreads = [shared(each) for each in allocate]
        if by is not None and dimensions(by) != ("team",):
            raise QuestionError("--allocate spreads over teams: leave out --by, or give --by team")
        if "team" in only:
            raise QuestionError("--allocate spreads over all teams: leave out --where team=…")
        return Question(
            by=("team",),
            within=(),
            where=only,
            make=lambda asked, service: lay_out(chargeback(asked, spreads), asked, service),
        )
    kind = _KINDS[name]
    return Question(
        by=kind.by if by is None else dimensions(by),
        within=kind.within,
        where=only,
        make=lambda asked, service: lay_out(kind, asked, service),
    )
