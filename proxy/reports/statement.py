"""What one team, or all of them, consumed in a period: what its monthly statement says, figure by figure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from sqlalchemy import Connection

from estimator.equivalences import Equivalence, count, equivalences
from estimator.ranges import Range
from proxy.ledger.evidence import Evidence
from proxy.ledger.read import SUMMED, Totals, Where
from proxy.reports.evidence import evidence_of
from proxy.reports.metering import Metering, metering_of
from proxy.reports.period import Period, QuestionError
from proxy.reports.prices import dollars_by_list
from proxy.reports.split import Split, few, sums

MODELS_SHOWN = 30
PROJECTS_SHOWN = 20
DAYS_DRAWN = 400  # a chart with more bars than these says nothing
_DRAWN = ("calls", "cost_usd", "grams_co2e")


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """``team`` None: of all teams. The parts of each split sum to ``total``; days without calls are there, empty."""

    team: str | None
    period: Period
    made_at: datetime
    total: Totals
    days: Sequence[Totals]  # key: the local day; of the figures those that are drawn
    models: Sequence[Totals]  # key: model and provider
    projects: Sequence[Totals]  # key: the project
    tiers: Sequence[Totals]  # key: the tier of evidence
    grids: Sequence[Totals]  # key: the zone and whose grams per kWh
    metering: Metering
    comparisons: Mapping[Equivalence, Range]
    prices: Mapping[str, Decimal]  # dollars by whose prices they are
    evidence: Evidence


def statement(
    connection: Connection,
    period: Period,
    *,
    team: str | None,
    known_teams: Collection[str],
    now: datetime,
    service: str | None = None,
    from_calls: bool = False,
) -> Statement:
    """Read the ledger; raises QuestionError for a team that is neither configured nor in the ledger's period.

    ``from_calls``: as of :func:`split`.
    """
    where = {} if team is None else {"team": team}

    def read(sets: Sequence[tuple[str, ...]], where: Where, figures: Collection[str] = SUMMED) -> list[list[Totals]]:
        found = sums(connection, period, sets, where=where, figures=figures, from_calls=from_calls)
        return [[group for group in groups if group.calls or not group.key] for groups in found]

    # What is kept by the hour, and what by the day: each read once.
    models, (total,) = read((("model", "provider"), ()), where)
    (days,) = read((("day",),), where, _DRAWN)
    projects, tiers, grids = read((("project",), ("tier",), ("zone", "grid_source")), where)
    if team is not None and not total.calls and team not in known_teams:
        (teams,) = read((("team",),), {})
        there = few({group.key[0] for group in teams} | set(known_teams))
        listed = f"of this period there are {there}" if there else "no call of this period names any"
        raise QuestionError(f"no team {team!r}: {listed}")
    return Statement(
        team=team,
        period=period,
        made_at=now,
        total=total,
        days=every_day(days, period),
        models=_ranked(models),
        projects=_ranked(projects),
        tiers=_ranked(tiers),
        grids=_ranked(grids),
        metering=metering_of(Split(by=(), period=period, groups=(total,), total=total, models=models), service),
        comparisons=_comparisons(total),
        evidence=evidence_of(connection, total),
        prices=dollars_by_list(connection, [((each.key[1], each.key[0]), each.cost_usd) for each in models], period),
    )


def _ranked(groups: Sequence[Totals]) -> list[Totals]:
    """Put the dearest first, in dollars, then in joules."""
    return sorted(groups, key=lambda each: (-(each.cost_usd or 0), -(each.joules or 0), str(each.key)))


def every_day(groups: Sequence[Totals], period: Period) -> list[Totals]:
    """Put groups by the local day in their order, those between without calls as well."""
    there = {group.key[0]: group for group in groups}
    first = period.start.astimezone(period.zone).date()
    last = (period.end - timedelta(microseconds=1)).astimezone(period.zone).date()
    if (last - first).days >= DAYS_DRAWN:
        return sorted(groups, key=lambda each: str(each.key))
    days = (date.fromordinal(each).isoformat() for each in range(first.toordinal(), last.toordinal() + 1))
    return [there.get(day, Totals(key=(day,))) for day in days]


def _comparisons(total: Totals) -> dict[Equivalence, Range]:
    joules = _range(total.joules_low, total.joules, total.joules_high)
    grams = _range(total.grams_co2e_low, total.grams_co2e, total.grams_co2e_high)
    found = {like: count(like, joules=joules, grams=grams) for like in equivalences()}
    return {like: number for like, number in found.items() if number is not None}


def _range(low: float | None, mid: float | None, high: float | None) -> Range | None:
    return None if low is None or mid is None or high is None else Range(low, mid, high)
