"""How a period is put together from sums: whole days where they do, where days are cut four hours, hours and quarters.

A day or an hour is cut where the period begins or ends in it, and where the hours, days or months asked for change
within it, as days of UTC are cut by those of any other zone. Days are kept of UTC and of one zone more. What is shorter
knows few dimensions; where more is asked for, the cut days are summed from the calls themselves, if that is
allowed. So is what lies outside of whole quarters; and, always, what no sum has yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import partial
from types import MappingProxyType
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.sql.expression import ColumnElement

from proxy.errors import NoSumsError, RowsGoneError
from proxy.ledger.call_sums import Span, select_calls
from proxy.ledger.local_days import LocalDays
from proxy.ledger.rollup_tables import (
    EPOCH,
    FIGURES,
    FIRST_DIMENSIONS,
    QUARTER,
    QUARTERS_A_DAY,
    QUARTERS_AN_HOUR,
    moment,
    quarter_of,
)
from proxy.ledger.rollups import LEFT
from proxy.ledger.sources import (
    DAYS,
    DETAILS,
    DIMENSIONS,
    FEW,
    HOURS,
    QUARTERS,
    ROWS,
    TIME_DIMENSIONS,
    Bucket,
    Piece,
    Stretch,
    SumsSource,
    Wanted,
    Where,
    four_hours,
    local_sources,
    select_sums,
)
from proxy.ledger.tables import calls

_STRETCHES_AT_ONCE = 50  # in one statement: databases bound how much they read at once
_NONE = LocalDays()
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A select of the dimensions, what errs alike and the figures; ``written`` names the time in an answer's row."""

    select: sa.Select[Any]
    written: Callable[[str, Any], str]


def questions(
    names: Sequence[str],
    *,
    start: datetime,
    end: datetime,
    zone: ZoneInfo,
    figures: Sequence[str] = FIGURES,
    finer_from: int = 0,
    four_hours_from: int = 0,
    days: LocalDays = _NONE,
    rows_from: datetime | None = None,
    left: bool = True,
    from_rows: bool = False,
    sums_only: bool = False,
    where: Where = MappingProxyType({}),
) -> Iterator[Question]:
    """Give what must be asked to sum [start, end) by the named dimensions; raises KeyError on an unknown one.

    ``figures`` are columns of the sums, ``finer_from`` and ``four_hours_from`` are said with their tables, ``days`` are
    the local ones that are kept. ``where``: only calls that have these values. ``left``: some calls are in no sum yet.
    Raises :class:`RowsGoneError` where rows from before ``rows_from`` are needed, which are deleted, and with
    ``sums_only`` :class:`NoSumsError` where any are.
    """
    wanted = Wanted(names=names, where=where, figures=figures)
    others = {*names, *where} - set(wanted.times)
    if unknown := (others - set(DIMENSIONS)) | (set(where) & set(TIME_DIMENSIONS)):
        raise KeyError(*sorted(unknown))
    if start >= end:
        return
    first, last = -((EPOCH - start) // QUARTER), quarter_of(end)  # quarters that lie wholly in the period
    cut = _few_from(others, finer_from, (first, last))
    require = partial(_require_rows, others, rows_from=rows_from, few_from=cut, days=days, sums_only=sums_only)
    if from_rows or first >= last:
        require(start)
        yield from [_of_rows(wanted, start, end, zone)] if from_rows else _of_calls(wanted, [(start, end)], zone)
        return
    summed: list[list[Piece]] = []
    rest: list[Stretch] = []
    local_few, local_all = local_sources(days)
    few, all_ = [DAYS, local_few], [DETAILS, local_all]
    if days.of(first).start == first:  # the period's days are rather the local ones
        few, all_ = few[::-1], all_[::-1]
    few += [four_hours(four_hours_from), HOURS, QUARTERS]
    for stretch, sources in (((first, cut), all_), ((cut, last), few)):
        left_over, pieces = [stretch], list[Piece]()
        for source in sources:
            whole, left_over = _cut(left_over, source, wanted.times, zone)
            pieces += ((source, each) for each in whole)
        summed.append(pieces)
        rest += left_over
    edges = [(start, moment(first)), *((moment(a), moment(b)) for a, b in rest), (moment(last), end)]
    rows = [(a, b) for a, b in edges if a < b]
    for a, _ in rows:
        require(a)
    for pieces in summed:
        yield from _of_sums(wanted, pieces, zone)
    yield from _of_calls(wanted, rows, zone)
    if left:
        rolled = [(moment(a), moment(b)) for pieces in summed for _, (a, b) in pieces]
        yield from _of_calls(wanted, rolled, zone, LEFT)


def _few_from(others: Set[str], finer_from: int, within: Stretch) -> int:
    """Say from when on the sums over few dimensions have all that is asked for."""
    if others <= set(FIRST_DIMENSIONS):
        return within[0]
    return min(max(within[0], finer_from), within[1]) if others <= FEW.keys() else within[1]


def _require_rows(
    others: Set[str], start: datetime, *, rows_from: datetime | None, few_from: int, days: LocalDays, sums_only: bool
) -> None:
    """Make sure that calls may be read from this moment on, since there are no sums of these dimensions there."""
    gone = rows_from is not None and start < rows_from
    if not gone and not sums_only:
        return
    few = ", ".join(FEW)
    if others <= FEW.keys() and quarter_of(start) >= few_from - 1:
        kept = "sums are kept by quarters of an hour: let the period begin and end with one"
    else:
        zones = "UTC" if days.last is None else f"UTC or {days.last}"
        finer = ", ".join(sorted(others - FEW.keys() or others))
        kept = f"sums by {finer} are kept of days of {zones}: ask for whole days with {zones} as the time zone"
        kept = f"{kept}, or split by {few} alone" if others - FEW.keys() else kept
    if gone:
        raise RowsGoneError(f"of calls before {rows_from:%Y-%m-%d} only {kept}")
    raise NoSumsError(f"{kept}; or have the calls themselves read: --from-calls, over HTTP from_calls=true")


def _bounded(stretches: Sequence[T]) -> Iterator[Sequence[T]]:
    """Give so many at a time as fit into one statement."""
    for start in range(0, len(stretches), _STRETCHES_AT_ONCE):
        yield stretches[start : start + _STRETCHES_AT_ONCE]


def _cut(
    stretches: Sequence[Stretch], source: SumsSource, times: Sequence[str], zone: ZoneInfo
) -> tuple[list[Stretch], list[Stretch]]:
    """Cut stretches into what the rows of a source answer for, and what is left of them."""
    whole: list[Stretch] = []
    left: list[Stretch] = []
    for start, end in stretches:
        at = start
        while at < end:
            unit = source.unit(at)
            if unit.kept and unit.start == at and unit.end <= end and _same(at, unit.end - 1, times, zone):
                _extend(whole, at, unit.end)
            else:
                _extend(left, at, min(unit.end, end))
            at = min(unit.end, end)
    return whole, left


def _extend(stretches: list[Stretch], start: int, end: int) -> None:
    if stretches and stretches[-1][1] == start:
        stretches[-1] = (stretches[-1][0], end)
    else:
        stretches.append((start, end))


def _same(one: int, other: int, times: Sequence[str], zone: ZoneInfo) -> bool:
    if one == other or not times:
        return True
    begin, end = moment(one).astimezone(zone), moment(other).astimezone(zone)
    return all(TIME_DIMENSIONS[name](begin) == TIME_DIMENSIONS[name](end) for name in times)


def _of_sums(wanted: Wanted, pieces: Sequence[Piece], zone: ZoneInfo) -> Iterator[Question]:
    """Ask once for each offset from UTC there was: so the database puts together hours and days."""
    if not wanted.times:
        for some in _bounded(pieces):
            yield Question(select=select_sums(wanted, some, None), written=_never)
        return
    by_offset: dict[timedelta, list[Piece]] = {}
    for source, stretch in pieces:
        for offset, part in _units(source, stretch, zone) if source.local else _offsets(*stretch, source.width, zone):
            days = [part] if source.width == QUARTERS_A_DAY else _by_day(part, offset // QUARTER)
            by_offset.setdefault(offset, []).extend((source, day) for day in days)
    for offset, parts in by_offset.items():
        bucket, written = _local(wanted, offset)
        # In the order of time, so that one answer has as a rule all pieces of a day.
        for some in _bounded(sorted(parts, key=lambda piece: piece[1])):
            yield Question(select=select_sums(wanted, some, bucket), written=written)


def _local(wanted: Wanted, offset: timedelta) -> tuple[Bucket, Callable[[str, Any], str]]:
    """Say by what quarters are put together where clocks are so far off UTC, and how such a bucket is written."""
    size, local = QUARTERS_AN_HOUR if "hour" in wanted.times else QUARTERS_A_DAY, timezone(offset)

    def written(name: str, value: Any) -> str:
        return TIME_DIMENSIONS[name](moment(int(value) * size).replace(tzinfo=local))

    return Bucket(size, offset // QUARTER), written


def _never(name: str, value: Any) -> str:
    raise AssertionError(f"nobody asked for {name}, and it is {value}")


def _offsets(start: int, end: int, width: int, zone: ZoneInfo) -> Iterator[tuple[timedelta, Stretch]]:
    """Cut quarters [start, end) between units where the zone's offset changes, which is once a day at most."""
    while start < end:
        offset, stop = _offset(start, zone), start + width
        while stop < end and _offset(min(stop + QUARTERS_A_DAY, end) - 1, zone) == offset:
            stop = min(stop + QUARTERS_A_DAY, end)
        while stop < end and _offset(stop, zone) == offset:
            stop += width
        yield offset, (start, stop)
        start = stop


def _units(source: SumsSource, stretch: Stretch, zone: ZoneInfo) -> Iterator[tuple[timedelta, Stretch]]:
    """Cut a stretch into the source's local days, each with the offset that the zone has where it begins."""
    start, end = stretch
    while start < end:
        following = source.unit(start).end
        yield _offset(start, zone), (start, following)
        start = following


def _offset(quarter: int, zone: ZoneInfo) -> timedelta:
    return moment(quarter).astimezone(zone).utcoffset() or timedelta()


def _of_calls(wanted: Wanted, spans: Sequence[Span], zone: ZoneInfo, *only: ColumnElement[bool]) -> Iterator[Question]:
    """Ask the calls themselves, once for each offset from UTC there was."""
    if not wanted.times:
        for some in _bounded([(0, span) for span in spans]):
            yield Question(select=select_calls(wanted, some, None, *only), written=_never)
        return
    by_offset: dict[timedelta, list[tuple[int, Span]]] = {}
    for start, end in spans:
        for offset, (a, b) in _offsets(quarter_of(start), -((EPOCH - end) // QUARTER), 1, zone):
            days = _days(max(start, moment(a)), min(end, moment(b)), offset)
            by_offset.setdefault(offset, []).extend(days)
    for offset, parts in by_offset.items():
        bucket, written = _local(wanted, offset)
        for some in _bounded(parts):
            hours = bucket if bucket.size < QUARTERS_A_DAY else None
            yield Question(select=select_calls(wanted, some, hours, *only), written=written)


def _by_day(stretch: Stretch, offset: int) -> Iterator[Stretch]:
    """Cut a stretch where days end on clocks so many quarters off UTC: one day is sorted faster than thirty."""
    start, end = stretch
    while start < end:
        midnight = start + QUARTERS_A_DAY - (start + offset) % QUARTERS_A_DAY
        yield start, min(end, midnight)
        start = midnight


def _days(start: datetime, end: datetime, offset: timedelta) -> Iterator[tuple[int, Span]]:
    """Cut [start, end) where days end on clocks so far off UTC; each day by its number since the epoch."""
    day = QUARTER * QUARTERS_A_DAY
    while start < end:
        number = (start + offset - EPOCH) // day
        midnight = EPOCH + (number + 1) * day - offset
        yield number, (start, min(end, midnight))
        start = midnight


def _of_rows(wanted: Wanted, start: datetime, end: datetime, zone: ZoneInfo) -> Question:
    def written(name: str, value: Any) -> str:
        return TIME_DIMENSIONS[name](moment(value).astimezone(zone))

    return Question(select=ROWS.select(wanted, calls.c.started_at >= start, calls.c.started_at < end), written=written)
