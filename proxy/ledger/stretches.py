"""How a period is put together from sums: whole days (UTC) where they do, quarters of an hour where days are cut.

A day is cut where the period begins or ends in it, and where the hours, days or months asked for change within it,
as local days of any zone but UTC do. Quarters know team, provider and model; where more is asked for, the cut days
are summed from the calls themselves. So is what lies outside of whole quarters, and what no sum has yet.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.sql.expression import ColumnElement

from proxy.errors import RowsGoneError
from proxy.ledger.rollups import EPOCH, QUARTER, QUARTERS_A_DAY
from proxy.ledger.sources import DAYS, DETAILS, DIMENSIONS, FEW, QUARTERS, ROWS, TIME_DIMENSIONS, Source
from proxy.ledger.tables import NOT_ROLLED_UP, calls

_DAY = timedelta(days=1)
_QUARTERS_AN_HOUR = 4
_STRETCHES_AT_ONCE = 50  # in one statement: databases bound how much they read at once
T = TypeVar("T")

Stretch = tuple[int, int]  # [from, to), in quarters or in days


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A select of the dimensions, the key and the figures; ``written`` names the time in an answer's row."""

    select: sa.Select[Any]
    written: Callable[[str, Any], str]


def questions(
    names: Sequence[str],
    *,
    start: datetime,
    end: datetime,
    zone: ZoneInfo,
    rows_from: datetime | None = None,
    left: bool = True,
    from_rows: bool = False,
) -> Iterator[Question]:
    """Give what must be asked to sum [start, end) by the named dimensions; raises KeyError on an unknown one.

    ``left``: some calls are in no sum yet. Raises :class:`RowsGoneError` where rows from before ``rows_from`` are
    needed, which are deleted.
    """
    for name in names:
        if name not in DIMENSIONS:
            raise KeyError(name)
    times = [name for name in names if name in TIME_DIMENSIONS]
    fine = set(names) - set(times) <= FEW.keys()
    if start >= end:
        return
    first, last = -((EPOCH - start) // QUARTER), (end - EPOCH) // QUARTER  # quarters that lie wholly in the period
    if from_rows or first >= last:
        _require_rows(start, rows_from)
        yield _of_rows(names, [(start, end)], zone)
        return
    days, cut = _days(first, last, times, zone)
    rolled = [(a * QUARTERS_A_DAY, b * QUARTERS_A_DAY) for a, b in days] + (cut if fine else [])
    rows = [(start, _time(first)), (_time(last), end)] + ([] if fine else [(_time(a), _time(b)) for a, b in cut])
    for some in _bounded(days):
        source = DAYS if fine else DETAILS
        yield _question(names, source, source.time, _within(source.time, some), _writing(_DAY, zone))
    if fine:
        yield from _of_quarters(names, cut, times, zone)
    rows = [(a, b) for a, b in rows if a < b]
    for a, _ in rows:
        _require_rows(a, rows_from)
    for stretches in _bounded(rows):
        yield _of_rows(names, stretches, zone)
    for some in _bounded(rolled if left else []):
        yield _of_rows(names, [(_time(a), _time(b)) for a, b in some], zone, NOT_ROLLED_UP)


def _require_rows(start: datetime, rows_from: datetime | None) -> None:
    if rows_from is not None and start < rows_from:
        raise RowsGoneError(
            f"of calls before {rows_from:%Y-%m-%d} only sums are kept: of team, provider and model by quarters of an"
            " hour, of all else by days of UTC; ask for whole days with UTC as the time zone, or split by those three"
            " alone"
        )


def _bounded(stretches: Sequence[T]) -> Iterator[Sequence[T]]:
    """Give so many at a time as fit into one statement."""
    for start in range(0, len(stretches), _STRETCHES_AT_ONCE):
        yield stretches[start : start + _STRETCHES_AT_ONCE]


def _days(first: int, last: int, times: Sequence[str], zone: ZoneInfo) -> tuple[list[Stretch], list[Stretch]]:
    """Cut quarters [first, last) into runs of whole days and what is left, in quarters."""
    days: list[Stretch] = []
    cut: list[Stretch] = []
    at = first
    while at < last:
        midnight = at - at % QUARTERS_A_DAY + QUARTERS_A_DAY
        if at % QUARTERS_A_DAY == 0 and midnight <= last and _same(at, midnight - 1, times, zone):
            _extend(days, at // QUARTERS_A_DAY, midnight // QUARTERS_A_DAY)
        else:
            _extend(cut, at, min(midnight, last))
        at = min(midnight, last)
    return days, cut


def _extend(stretches: list[Stretch], start: int, end: int) -> None:
    if stretches and stretches[-1][1] == start:
        stretches[-1] = (stretches[-1][0], end)
    else:
        stretches.append((start, end))


def _same(one: int, other: int, times: Sequence[str], zone: ZoneInfo) -> bool:
    begin, end = _time(one).astimezone(zone), _time(other).astimezone(zone)
    return all(TIME_DIMENSIONS[name](begin) == TIME_DIMENSIONS[name](end) for name in times)


def _of_quarters(
    names: Sequence[str], cut: Sequence[Stretch], times: Sequence[str], zone: ZoneInfo
) -> Iterator[Question]:
    """Ask once for each offset from UTC there was: so the database puts together hours and days."""
    if not times:
        for some in _bounded(cut):
            yield _question(names, QUARTERS, QUARTERS.time, _within(QUARTERS.time, some), _writing(QUARTER, zone))
        return
    by_offset: dict[timedelta, list[Stretch]] = {}
    for stretch in cut:
        for offset, part in _offsets(*stretch, zone):
            by_offset.setdefault(offset, []).append(part)
    size = _QUARTERS_AN_HOUR if "hour" in times else QUARTERS_A_DAY
    for offset, parts in by_offset.items():
        bucket = (QUARTERS.time + offset // QUARTER) // size
        local = timezone(offset)

        def written(name: str, value: Any, local: timezone = local) -> str:
            return TIME_DIMENSIONS[name](_time(value * size).replace(tzinfo=local))

        for some in _bounded(parts):
            yield _question(names, QUARTERS, bucket, _within(QUARTERS.time, some), written)


def _offsets(start: int, end: int, zone: ZoneInfo) -> Iterator[tuple[timedelta, Stretch]]:
    """Cut quarters [start, end) where the zone's offset changes, which is once a day at most."""
    while start < end:
        offset, stop = _offset(start, zone), start + 1
        while stop < end and _offset(min(stop + QUARTERS_A_DAY, end) - 1, zone) == offset:
            stop = min(stop + QUARTERS_A_DAY, end)
        while stop < end and _offset(stop, zone) == offset:
            stop += 1
        yield offset, (start, stop)
        start = stop


def _offset(quarter: int, zone: ZoneInfo) -> timedelta:
    return _time(quarter).astimezone(zone).utcoffset() or timedelta()


def _of_rows(
    names: Sequence[str],
    stretches: Sequence[tuple[datetime, datetime]],
    zone: ZoneInfo,
    *conditions: ColumnElement[bool],
) -> Question:
    within = sa.or_(*(sa.and_(calls.c.started_at >= a, calls.c.started_at < b) for a, b in stretches))
    return _question(names, ROWS, ROWS.time, sa.and_(within, *conditions), _writing(QUARTER, zone))


def _question(
    names: Sequence[str],
    source: Source,
    time: ColumnElement[int],
    where: ColumnElement[bool],
    written: Callable[[str, Any], str],
) -> Question:
    columns = [time if name in TIME_DIMENSIONS else source.dimensions[name] for name in names]
    labelled = [column.label(f"by_{name}") for name, column in zip(names, columns, strict=True)]
    select = (
        sa.select(*labelled, source.key, *source.figures)
        .select_from(source.table)
        .where(where)
        .group_by(*(sa.column(column.name) for column in labelled), source.key)
    )
    return Question(select=select, written=written)


def _within(time: ColumnElement[int], stretches: Sequence[Stretch]) -> ColumnElement[bool]:
    return sa.or_(*(sa.and_(time >= a, time < b) for a, b in stretches))


def _writing(size: timedelta, zone: ZoneInfo) -> Callable[[str, Any], str]:
    def written(name: str, value: Any) -> str:
        return TIME_DIMENSIONS[name]((EPOCH + value * size).astimezone(zone))

    return written


def _time(quarter: int) -> datetime:
    return (EPOCH + quarter * QUARTER).astimezone(UTC)
