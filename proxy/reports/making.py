"""The reports there are, by name, and how each is asked for."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Connection

from estimator.errors import UnknownZoneError
from estimator.grid import grid
from proxy.collecting import paused
from proxy.ledger.read import BANDED, SUMMED, Where
from proxy.reports.carbon import CARBON
from proxy.reports.chargeback import chargeback, shared
from proxy.reports.conversations import BY as OF_MODELS
from proxy.reports.conversations import (
    GRIDS,
    Asked,
    Estimating,
    assumed,
    at_scale,
    compared,
    conversations,
    on_grids,
)
from proxy.reports.cost import COST
from proxy.reports.energy import ENERGY
from proxy.reports.evidence import evidence_of
from proxy.reports.focus import BY, figures_of, focus, shipped
from proxy.reports.ghg import GHG
from proxy.reports.kind import lay_out
from proxy.reports.period import Period, QuestionError
from proxy.reports.prices import dollars_by_list, sold
from proxy.reports.sci import SCI
from proxy.reports.split import Split, conditions, dimensions, split
from proxy.reports.table import Report
from proxy.reports.water import WATER
from proxy.reports.words import Words

_KINDS = {kind.name: kind for kind in (COST, ENERGY, CARBON, WATER, SCI, GHG)}
CONVERSATIONS = ("models", "grids", "scale")
NAMES = (*_KINDS, "focus", *CONVERSATIONS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A report that was asked for, before the ledger is; ``alone`` makes it where the ledger need not be asked."""

    by: tuple[str, ...]
    within: tuple[str, ...] = ()
    make: Callable[[Split, str | None], Report]
    where: Where
    figures: Collection[str] = SUMMED  # that the groups and their parts must have
    bands: Collection[str] = BANDED  # of which of them bands are shown
    alone: Callable[[], Report] | None = None
    priced: bool = False  # it is about dollars, so it says whose prices they are
    from_calls: bool = False

    @paused()
    def ask(self, connection: Connection, period: Period, service: str | None = None) -> Report:
        """Read the ledger and make the report; ``service`` is what a running gate says of it. Raises QuestionError."""
        found = split(
            connection,
            self.by,
            period,
            self.within,
            self.where,
            self.figures,
            bands=self.bands,
            part_bands=False,
            from_calls=self.from_calls,
        )
        if found.total.joules_by_estimate_key:
            tiers = evidence_of(connection, found.total)
            found = replace(found, tiers=tiers, evidence=tiers.shares(found.total))
        if self.priced:
            dollars = sold(connection, period, self.where, from_calls=self.from_calls)
            found = replace(found, prices=dollars_by_list(connection, dollars, period))
        return self.make(found, service)


def question_of(name: str, words: Words, estimate: Estimating, now: datetime) -> Question:
    """Understand what is asked for; raises QuestionError. KeyError for a name that is none.

    ``estimate`` is what the service estimates with, for conversations that are assumed.
    """
    return replace(_understood(name, words, estimate, now), from_calls=words.from_calls)


def _understood(name: str, words: Words, estimate: Estimating, now: datetime) -> Question:
    only = conditions(words.where)
    if words.allocate and name != COST.name:
        raise QuestionError(f"--allocate spreads dollars: it goes with cost, not with {name}")
    if name in CONVERSATIONS:
        return _of_conversations(name, words, only, estimate, now)
    if words.assume or words.per_day is not None or words.grids is not None:
        raise QuestionError(f"--assume, --per-day and --grids go with {', '.join(CONVERSATIONS)}, not with {name}")
    if name == "focus":
        if words.by is not None:
            raise QuestionError(f"the rows of focus are always by {', '.join(BY)}: leave out --by")
        return Question(by=BY, make=focus, where=only, figures=figures_of(shipped()), priced=True)
    if words.allocate:
        return _of_chargeback(words, only)
    kind = _KINDS[name]
    return Question(
        by=kind.by if words.by is None else dimensions(words.by),
        within=kind.within,
        where=only,
        figures=kind.figures,
        bands=kind.bands,
        make=lambda asked, service: lay_out(kind, asked, service),
        priced=kind is COST,
    )


def _of_chargeback(words: Words, only: Where) -> Question:
    spreads = [shared(each) for each in words.allocate]
    if words.by is not None and dimensions(words.by) != ("team",):
        raise QuestionError("--allocate spreads over teams: leave out --by, or give --by team")
    if "team" in only:
        raise QuestionError("--allocate spreads over all teams: leave out --where team=…")
    return Question(
        by=("team",),
        where=only,
        make=lambda asked, service: lay_out(chargeback(asked, spreads), asked, service),
        priced=True,
    )


def _of_conversations(name: str, words: Words, only: Where, estimate: Estimating, now: datetime) -> Question:
    if words.by is not None:
        raise QuestionError(f"the rows of {name} are always by {', '.join(OF_MODELS)}: leave out --by")
    if words.per_day is not None and (name != "scale" or words.per_day < 1):
        raise QuestionError("--per-day is how many conversations the report scale has in a day: 1 or more")
    given = [assumed(each) for each in words.assume]
    zones = tuple(each.strip() for each in words.grids.split(",")) if words.grids is not None else GRIDS
    try:
        places = [grid(zone) for zone in zones]
    except UnknownZoneError as error:
        raise QuestionError(str(error)) from None

    def make(asked: Split | None, service: str | None) -> Report:
        of = Asked(split=asked, given=given, now=now, service=service)
        found = conversations(asked, given, estimate)
        if name == "models":
            return compared(found, of)
        return on_grids(found, of, places) if name == "grids" else at_scale(found, of, words.per_day, places[0])

    named = bool(given) and all(each.model is not None for each in given)
    return Question(by=OF_MODELS, where=only, make=make, alone=(lambda: make(None, None)) if named else None)
