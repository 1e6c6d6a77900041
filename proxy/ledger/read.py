"""Questions to the ledger: sums over a period by any of its dimensions, and the last calls.

What is summed is said in :mod:`proxy.ledger.stretches`, and how in :mod:`proxy.ledger.groups`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from proxy.ledger.groups import Answer, Totals
from proxy.ledger.local_days import LocalDays, days_kept
from proxy.ledger.rollup_tables import (
    BANDED,
    COUNTS,
    DEVIATIONS,
    EPOCH,
    FIGURES,
    SUMS,
    calls_by_day,
    finer_from,
    four_hours_from,
)
from proxy.ledger.rollups import any_left
from proxy.ledger.sources import DIMENSIONS, TIME_DIMENSIONS, Where, in_time
from proxy.ledger.stretches import questions
from proxy.ledger.tables import NOT_ROLLED_UP, CallRow, call_columns, calls, retention, rows_of

__all__ = [
    "BANDED",
    "DIMENSIONS",
    "SUMMED",
    "TIME_DIMENSIONS",
    "Totals",
    "Where",
    "in_time",
    "recent",
    "splits",
    "totals",
]


SUMMED = ("calls", *SUMS, *COUNTS)  # what can be asked for; with what has a band comes the band


def totals(
    connection: sa.Connection, *, by: Sequence[str] = (), start: datetime, end: datetime, zone: ZoneInfo
) -> list[Totals]:
    """Sum the calls started in [start, end) by the named dimensions; ``zone`` decides what a day is.

    One Totals without a key, also when there were no calls, if ``by`` is empty. Raises KeyError on an
    unknown dimension, :class:`RowsGoneError` where that needs rows that have been deleted.
    """
    return splits(connection, (by,), start=start, end=end, zone=zone)[0]


def splits(
    connection: sa.Connection,
    by: Sequence[Sequence[str]],
    *,
    start: datetime,
    end: datetime,
    zone: ZoneInfo,
    from_rows: bool = False,
    sums_only: bool = False,
    where: Where = MappingProxyType({}),
    figures: Collection[str] = SUMMED,
    bands: Collection[str] = BANDED,
    bandless: Collection[Sequence[str]] = (),
) -> list[list[Totals]]:
    """Give what :func:`totals` gives for each set of dimensions, reading the ledger once for all of them.

    ``where``: of the calls that have these values alone, times excepted; KeyError on an unknown dimension.
    ``figures``: of :data:`SUMMED` only these, and the calls; fewer are read faster, and the others are None.
    ``bands``: of these of the figures alone the ends of bands are reckoned; ``bandless``: and for these sets of
    dimensions none.
    ``from_rows``: sum up the calls themselves, as far as they are kept, and not the rollups. A mirror has nothing but
    the calls, and all of them. ``sums_only``: no calls are read but those that are in no sum yet; NoSumsError where
    that cannot be.
    """
    mirrored = connection.dialect.name == "clickhousedb"
    from_rows = from_rows or mirrored
    if connection.dialect.name == "postgresql":
        if not connection.in_transaction():
            # Calls that get into the sums meanwhile must not be missed, nor met twice.
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        # It would start workers for each local day, which takes four times as long as to add it up alone.
        connection.exec_driver_sql("SET LOCAL max_parallel_workers_per_gather = 0")
    names = tuple(dict.fromkeys(name for each in by for name in each))
    left = not from_rows and any_left(connection)
    days = LocalDays() if mirrored else days_kept(connection)
    if not from_rows:
        start, end = _where_calls_are(connection, start, end, days, left=left)
    kept = None if mirrored else connection.scalar(sa.select(sa.func.max(retention.c.rows_from)))
    banded = set(figures).intersection(bands)
    columns = [name for name in FIGURES if name == "calls" or name in figures or _band_of(name) in banded]
    asked = questions(
        names,
        start=start,
        end=end,
        zone=zone,
        figures=columns,
        finer_from=0 if mirrored else finer_from(connection),
        four_hours_from=0 if mirrored else four_hours_from(connection),
        days=days,
        rows_from=kept,
        left=left,
        from_rows=from_rows,
        sums_only=sums_only and not mirrored,
        where=where,
    )
    answer = Answer(names, columns)
    for question in asked:
        answer.add(connection.execute(question.select).all(), question.written)
    return [answer.groups(each, banded=each not in bandless) for each in by]


def _band_of(column: str) -> str | None:
    """Name the figure whose band a column is for."""
    return next((name for name in BANDED if column in DEVIATIONS and column.startswith(name)), None)


def _where_calls_are(
    connection: sa.Connection, start: datetime, end: datetime, days: LocalDays, *, left: bool
) -> tuple[datetime, datetime]:
    """Narrow a period to the days that have calls: a century has too many to be asked for one by one.

    They are days of UTC, or local ones where the period begins with such a one: none that is kept is cut.
    """
    day, moment = calls_by_day.c.day, calls.c.started_at
    # One by one: SQLite looks at one end of an index for a single minimum or maximum, and at all of it for both.
    first, last = (connection.scalar(sa.select(end_of(day))) for end_of in (sa.func.min, sa.func.max))
    known = [EPOCH + timedelta(days=first), EPOCH + timedelta(days=last + 1)] if first is not None else []
    if left:
        begins, ends = connection.execute(
            sa.select(sa.func.min(moment), sa.func.max(moment)).where(NOT_ROLLED_UP)
        ).one()
        known += [_midnight(begins), _midnight(ends) + timedelta(days=1)] if begins is not None else []
    wider = (min(known, default=start), max(known, default=start))
    if days.begins(start):
        wider = days.whole(*wider)
    return max(start, wider[0]), min(end, wider[1])


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def recent(connection: sa.Connection, *, limit: int) -> list[CallRow]:
    """Give the last calls, the latest first."""
    select = sa.select(*call_columns).order_by(calls.c.started_at.desc(), calls.c.id.desc()).limit(limit)
    return rows_of(connection.execute(select))
