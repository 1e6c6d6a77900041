"""Explore's chart over time: every hour, day or month of a period, those without calls too, and the ways in and out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from proxy.console.asking import Asked
from proxy.console.pointing import Chart, Line, Said, Zoom, drawn, key_of
from proxy.console.sums import Measure, banded, lacking, written
from proxy.ledger.read import TIME_DIMENSIONS, Totals
from proxy.ledger.sources import FEW
from proxy.reports.figures import count, scale
from proxy.reports.period import Period
from proxy.reports.split import Split

TIMES_DRAWN = 750  # an hour each of the longest month
LINES_DRAWN = 8  # as many as there are colors that can be told apart
_FINER = {"month": ("day", 3), "day": ("hour", 2)}  # what up to so many of them are looked at by
_Groups = Mapping[tuple[str | None, ...], Totals]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One hour, day or month: as the ledger writes it, as an axis does, and its ends as an address has them."""

    key: str
    label: str
    start: str
    end: str
    begins: datetime


def lines_of(by: Sequence[str]) -> str | None:
    """Name the dimension whose values have a line each; None where all calls share one."""
    return by[1] if len(by) > 1 and by[1] not in TIME_DIMENSIONS else None


def beside(by: Sequence[str]) -> list[tuple[str, ...]]:
    """Say what else calls must be split by for a chart over time."""
    if by[0] not in TIME_DIMENSIONS or (each := lines_of(by)) is None:
        return []
    return [(by[0], each), (each,)]


def slots(dimension: str, period: Period) -> list[Slot]:
    """Give the times of a period in their order, of these up to one more than are drawn."""
    found: list[Slot] = []
    local, zone = period.start.astimezone(period.zone), period.zone
    if dimension == "hour":
        at = local.replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        while at < period.end and len(found) <= TIMES_DRAWN:
            found.append(_hour(at, zone))
            at += timedelta(hours=1)
        return found
    day = local.date() if dimension == "day" else local.date().replace(day=1)
    while (begins := _midnight(day, zone)) < period.end and len(found) <= TIMES_DRAWN:
        after = day + timedelta(days=1) if dimension == "day" else _following_month(day)
        key = TIME_DIMENSIONS[dimension](begins.astimezone(zone))
        label = key[5:] if dimension == "day" else key
        last = after - timedelta(days=1)
        found.append(Slot(key=key, label=label, start=day.isoformat(), end=last.isoformat(), begins=begins))
        day = after
    return found


def _hour(at: datetime, zone: ZoneInfo) -> Slot:
    begins, ends = at.astimezone(zone), (at + timedelta(hours=1)).astimezone(zone)
    start, end = (each.isoformat(timespec="minutes") for each in (begins, ends))
    return Slot(key=TIME_DIMENSIONS["hour"](begins), label=f"{begins:%H:%M\n%m-%d}", start=start, end=end, begins=at)


def chart(asked: Asked, measure: Measure, found: Split, now: datetime) -> Chart | None:
    """Make what the script draws; None where there are too many times for that, or but one."""
    dimension, split_by = asked.by[0], lines_of(asked.by)
    times = slots(dimension, found.period)
    if not 2 <= len(times) <= TIMES_DRAWN:
        return None
    wholes: list[tuple[str | None, Totals]] = []
    groups: _Groups = {each.key[:1]: each for each in found.groups}
    if split_by is not None:
        parts = {each.key: each for each in found.beside[(dimension, split_by)]}
        ranked = sorted(found.beside[(split_by,)], key=lambda each: (-_number(measure, each), str(each.key)))
        wholes = [(each.key[0], each) for each in ranked if each.calls][:LINES_DRAWN]
    size, unit = _unit(measure, [*groups.values()])
    whole_peak = found.total.cost_usd
    first = min((slot.begins for slot in times if (slot.key,) in groups), default=now)

    def line(key: str, name: str | None, whole: Totals, of: Mapping[str | None, Totals], *, off: bool = False) -> Line:
        there = [of.get(each.key) or Totals() for each in times]

        def drawn_of(column: str) -> list[float | None]:
            """Give 0 where there were no calls, but a gap where it is unknown, before the first and still to come."""
            found = zip(there, times, strict=True)
            return [
                _value(each, column, size) if each.calls or first <= slot.begins <= now else None
                for each, slot in found
            ]

        banded_too = hasattr(whole, f"{measure.column}_low")
        return Line(
            key=key,
            name=name,
            whole=_said(whole, measure, whole_peak),
            values=drawn_of(measure.column),
            said=[_said(each, measure, whole_peak) if each.calls else None for each in there],
            low=drawn_of(f"{measure.column}_low") if banded_too else (),
            high=drawn_of(f"{measure.column}_high") if banded_too else (),
            off=off,
        )

    every = {key[0]: each for key, each in groups.items()}
    lines = [line("all", "All calls", found.total, every, off=bool(wholes))]
    for name, whole in wholes:
        lines.append(line(key_of(name), name, whole, {key[0]: each for key, each in parts.items() if key[1] == name}))
    heading = f"{measure.title} by {dimension}" + (f" and {split_by.replace('_', ' ')}" if split_by else "")
    return Chart(
        title=heading,
        unit=unit or "calls",
        kind="lines" if wholes else "bars",
        times=[each.key for each in times],
        labels=[each.label for each in times],
        whole=found.period.title(),
        note=_note(lines, len(found.beside.get((split_by or "",), ()))),
        lines=lines,
        zoom=_into(asked, times),
    )


def outward(asked: Asked, period: Period) -> tuple[Asked, str] | None:
    """Give the question about the days, months or years around a period, the first that is longer, and what it is."""
    start, end = (each.astimezone(period.zone) for each in (period.start, period.end))
    first, last = start.date(), (end - timedelta(microseconds=1)).date()
    if start.time() != time.min or end.time() != time.min:
        by, written_as = asked.by, "%Y-%m-%d"
    elif (months := (first.replace(day=1), _following_month(last) - timedelta(days=1))) != (first, last):
        (first, last), by, written_as = months, _steps(asked.by, "day"), "%Y-%m"
    elif (years := (first.replace(month=1, day=1), last.replace(month=12, day=31))) != (first, last):
        (first, last), by, written_as = years, _steps(asked.by, "month"), "%Y"
    else:
        return None
    named = dict.fromkeys(each.strftime(written_as) for each in (first, last))
    return replace(asked, by=by, month=None, start=f"{first}", end=f"{last}"), " to ".join(named)


def _steps(by: tuple[str, ...], longer: str) -> tuple[str, ...]:
    """Count in longer steps, where what is asked for has shorter ones and the longer are not there already."""
    return by if by[0] == "month" or longer in by else (longer, *by[1:])


def _into(asked: Asked, times: Sequence[Slot]) -> Zoom:
    plain = replace(asked, month=None, start=None, end=None)
    finer, most = _FINER.get(asked.by[0], (None, 0))
    few = {*asked.by, *asked.where} - set(TIME_DIMENSIONS) <= FEW.keys()
    if finer is None or finer in asked.by or (finer == "hour" and not few):
        leads = None
    else:
        leads = replace(plain, by=(finer, *asked.by[1:])).address("/explore")
    return Zoom(
        address=plain.address("/explore"),
        starts=[each.start for each in times],
        ends=[each.end for each in times],
        finer=leads,
        finer_most=most,
    )


def _note(lines: Sequence[Line], values: int) -> str:
    """Say what is drawn, where it is not all or not as it seems."""
    drawn_of = len(lines) - 1
    band = (
        "The line on a bar is its 90 % range." if not drawn_of else "One or two lines are drawn with their 90 % range."
    )
    most = f"These are the largest {drawn_of} of {values:,}." if drawn_of < values else ""
    return " ".join(filter(None, (band if lines[0].high else "", most)))


def _said(group: Totals, measure: Measure, peak: Decimal | None) -> Said:
    if measure.unknown is None:
        return count(group.calls), "", ""
    without = "without a price" if measure.column == "cost_usd" else "not estimated"
    left_out = getattr(group, measure.unknown)
    if getattr(group, measure.column) is None:
        return without if left_out else "without tokens", "", f"{count(group.calls)} call{'s' * (group.calls > 1)}"
    return written(group, measure, peak), banded(group, measure), lacking(left_out, group.calls, without)


def _value(group: Totals, column: str, size: float) -> float | None:
    found = getattr(group, column)
    return 0.0 if not group.calls else drawn(None if found is None else float(found), size)


def _number(measure: Measure, group: Totals) -> float:
    return float(getattr(group, measure.column) or 0)


def _unit(measure: Measure, groups: Sequence[Totals]) -> tuple[float, str]:
    if measure.unit in ("USD", ""):
        return 1.0, measure.unit
    ends = (getattr(each, f"{measure.column}_high", None) or _number(measure, each) for each in groups)
    return scale(max(ends, default=0.0), measure.unit)


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, zone).astimezone(UTC)


def _following_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
