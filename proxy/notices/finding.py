"""Finding what there is to tell: read from the ledger's sums, so that it costs the same at ten million calls.

Days are those of a time zone and are judged when they are over, a month is stated when it is over: what is said is
final unless a journal comes late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from estimator.units import JOULES_PER_KWH
from proxy.ledger.read import Totals, splits
from proxy.notices.notice import Notice, usual
from proxy.reports import figures
from proxy.reports.amounts import energy, energy_band, grams, grams_band

DAYS_LOOKED_BACK = 42  # six weeks: thirty workdays, twelve days of weekends
MODELS_NAMED = 20
WORKDAYS = 5  # of a week, from Monday on
STATED = (  # fields of Totals that are facts of a statement's notice
    "calls", "input_tokens", "output_tokens", "cost_usd", "joules_low", "joules", "joules_high", "grams_co2e_low",
    "grams_co2e", "grams_co2e_high", "market_grams_co2e", "embodied_grams_co2e", "liters", "absent_calls",
    "unpriced_calls", "energy_unknown_calls", "carbon_unknown_calls", "water_unknown_calls",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Measure:
    name: str
    unit: str
    least: float  # a day below it alarms nobody
    of: Callable[[Totals], float | None]
    said: Callable[[float], str]


def _dollars(day: Totals) -> float | None:
    return None if day.cost_usd is None else float(day.cost_usd)


def _kwh(day: Totals) -> float | None:
    return None if day.joules is None else day.joules / JOULES_PER_KWH


MEASURES = (
    _Measure("dollars", "USD", 1.0, _dollars, lambda value: f"${value:,.2f}"),
    _Measure("energy", "kWh", 0.1, _kwh, lambda value: f"{figures.digits(value)} kWh"),
)


def anomalies(connection: Connection, now: datetime, zone: ZoneInfo) -> Iterator[Notice]:
    """Find the teams whose last full day was out of the pattern of their own days of that kind."""
    day = now.astimezone(zone).date() - timedelta(days=1)
    by_team: dict[str | None, dict[str, Totals]] = {}
    for group in _sums(connection, ("team", "day"), day - timedelta(days=DAYS_LOOKED_BACK), day, zone):
        team, when = group.key
        by_team.setdefault(team, {})[when or ""] = group
    for team in sorted(by_team, key=lambda name: name or ""):
        days = by_team[team]
        last = days.pop(day.isoformat(), None)
        if last is not None:
            yield from _out_of_pattern(team, day, last, days)


def _out_of_pattern(team: str | None, day: date, last: Totals, days: dict[str, Totals]) -> Iterator[Notice]:
    alike = [each for when, each in days.items() if _workday(date.fromisoformat(when)) == _workday(day)]
    for measure in MEASURES:
        value = measure.of(last)
        pattern = usual([known for each in alike if (known := measure.of(each)) is not None])
        if value is None or pattern is None or value < measure.least or value <= pattern[1]:
            continue
        median, bound = pattern
        whose, kind = team or "calls without a team", "workday" if _workday(day) else "day of a weekend"
        yield Notice(
            event="anomaly",
            subject=f"{whose} {measure.name}",
            period=day.isoformat(),
            title=f"{whose}: {measure.name} out of pattern on {day}",
            text=(
                f"{measure.said(value)} in {last.calls:,} calls; its median {kind} of the last six weeks is "
                f"{measure.said(median)}, and up to {measure.said(bound)} would be usual."
            ),
            facts={"team": team, "day": day.isoformat(), "measure": measure.name, "unit": measure.unit, "value": value,
                   "median": median, "usual_up_to": bound, "calls": last.calls, "days_compared": len(alike)},
        )  # fmt: skip


def unpriced(connection: Connection, now: datetime, zone: ZoneInfo) -> Iterator[Notice]:
    """Find the models of the last full day that have tokens and no price."""
    day = now.astimezone(zone).date() - timedelta(days=1)
    found = [group for group in _sums(connection, ("model", "provider"), day, day, zone) if group.unpriced_calls]
    if not found:
        return
    found.sort(key=lambda group: (-group.unpriced_calls, str(group.key)))
    models = [
        {"model": group.key[0], "provider": group.key[1], "calls": group.unpriced_calls}
        for group in found[:MODELS_NAMED]
    ]
    calls = sum(group.unpriced_calls for group in found)
    named = ", ".join(f"{each['model'] or 'no model named'} ({each['calls']:,})" for each in models)
    more = f" and {len(found) - len(models)} more" if len(found) > len(models) else ""
    yield Notice(
        event="unpriced",
        subject="",
        period=day.isoformat(),
        title=f"{calls:,} calls without a price on {day}",
        text=f"The dollars of that day are a lower bound. Without a price: {named}{more}.",
        facts={"day": day.isoformat(), "calls": calls, "models": models, "models_in_all": len(found)},
    )


def statements(connection: Connection, now: datetime, zone: ZoneInfo, teams: Iterable[str]) -> Iterator[Notice]:
    """Find whose statement of the last full month is due: of every team asked for, "" being all of them together."""
    first = now.astimezone(zone).date().replace(day=1)
    last = first - timedelta(days=1)
    month = f"{last:%Y-%m}"
    groups = [each for by in ((), ("team",)) for each in _sums(connection, by, last.replace(day=1), last, zone)]
    found = {group.key[0] if group.key else "": group for group in groups}
    for team in teams:
        if total := found.get(team):
            yield Notice(
                event="statement",
                subject=team,
                period=month,
                title=f"{team or 'All teams'}: statement of {month}",
                text=f"What {team or 'all teams'} consumed in {month}: {_consumed(total)}",
                facts={"team": team or None, "month": month, **{name: _fact(total, name) for name in STATED}},
            )


def _consumed(total: Totals) -> str:
    """Say a sum in a line or two, with what it leaves out."""
    calls = "1 call" if total.calls == 1 else f"{total.calls:,} calls"
    ends = [f" ({each})" if each else "" for each in (energy_band(total), grams_band(total))]
    left_out = [
        f"{number:,} without {what}"
        for number, what in (
            (total.absent_calls, "token counts"),
            (total.unpriced_calls, "a price"),
            (total.energy_unknown_calls, "an estimate of energy"),
        )
        if number
    ]
    return (
        f"{calls}, dollars {figures.dollars(total.cost_usd)}, energy {energy(total)}{ends[0]}, "
        f"CO2e {grams(total)}{ends[1]}."
        + (f" Calls that these sums leave out: {', '.join(left_out)}." if left_out else "")
    )


def _fact(total: Totals, name: str) -> object:
    """Give a figure of a sum as JSON has it: dollars as a string, to the last decimal."""
    value = getattr(total, name)
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value


def _sums(connection: Connection, by: tuple[str, ...], first: date, last: date, zone: ZoneInfo) -> list[Totals]:
    start, end = (datetime.combine(each, time(), zone).astimezone(UTC) for each in (first, last + timedelta(days=1)))
    (groups,) = splits(connection, (by,), start=start, end=end, zone=zone)
    return [group for group in groups if group.calls]


def _workday(day: date) -> bool:
    return day.weekday() < WORKDAYS
