"""Questions to the ledger: sums over a period by any of its dimensions, and the last calls.

Sums of nothing but NULL are None. The band of a sum is the estimator's `Total`: errors that calls share
add up, a call's own even out. What is summed is said in :mod:`proxy.ledger.stretches`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from estimator.uncertainty import Group, Total
from proxy.ledger.rollup_tables import BANDED, COUNTS, FIGURES, SUMS, calls_by_day
from proxy.ledger.rollups import EPOCH, any_left
from proxy.ledger.sources import DIMENSIONS, TIME_DIMENSIONS
from proxy.ledger.stretches import questions
from proxy.ledger.tables import NOT_ROLLED_UP, CallRow, call_columns, calls, retention, rows_of

__all__ = ["DIMENSIONS", "TIME_DIMENSIONS", "Totals", "recent", "splits", "totals"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over the calls of one group; ``key`` has one value per dimension asked for.

    ``*_unknown_calls`` and ``unpriced_calls`` have tokens but not the figure; the sums leave them out.
    """

    key: tuple[str | None, ...] = ()
    calls: int = 0
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    flops: float | None = None
    joules_low: float | None = None  # of the sum, not the sum of each call's
    joules: float | None = None
    joules_high: float | None = None
    grams_co2e_low: float | None = None
    grams_co2e: float | None = None
    grams_co2e_high: float | None = None
    embodied_grams_co2e: float | None = None
    market_grams_co2e: float | None = None
    liters: float | None = None
    cost_usd: Decimal | None = None
    unpriced_calls: int = 0
    energy_unknown_calls: int = 0
    carbon_unknown_calls: int = 0
    water_unknown_calls: int = 0
    reported_calls: int = 0  # these four: calls by where their token counts came from
    counted_calls: int = 0
    inferred_calls: int = 0
    absent_calls: int = 0  # of calls that reached a provider


_NAMES = ("calls", *SUMS, *COUNTS)
_BANDED = tuple((name, _NAMES.index(name)) for name in BANDED)


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
) -> list[list[Totals]]:
    """Give what :func:`totals` gives for each set of dimensions, reading the ledger once for all of them.

    ``from_rows``: sum up the calls themselves, as far as they are kept, and not the rollups. A mirror has nothing but
    the calls, and all of them.
    """
    mirrored = connection.dialect.name == "clickhousedb"
    from_rows = from_rows or mirrored
    if connection.dialect.name == "postgresql" and not connection.in_transaction():
        # Calls that get into the sums meanwhile must not be missed, nor met twice.
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    names = tuple(dict.fromkeys(name for each in by for name in each))
    left = not from_rows and any_left(connection)
    if not from_rows:
        start, end = _where_calls_are(connection, start, end, left=left)
    kept = None if mirrored else connection.scalar(sa.select(sa.func.max(retention.c.rows_from)))
    gathered: list[dict[tuple[str | None, ...], _Gathered]] = [{} if each else {(): _Gathered()} for each in by]
    for question in questions(names, start=start, end=end, zone=zone, rows_from=kept, left=left, from_rows=from_rows):
        written = cache(question.written)
        for row in connection.execute(question.select):
            place = {
                name: written(name, value) if name in TIME_DIMENSIONS else value
                for name, value in zip(names, row, strict=False)
            }
            for each, groups in zip(by, gathered, strict=True):
                groups.setdefault(tuple(place[name] for name in each), _Gathered()).take(row[len(names) :])
    return [[group.totals(key) for key, group in groups.items()] for groups in gathered]


def _where_calls_are(
    connection: sa.Connection, start: datetime, end: datetime, *, left: bool
) -> tuple[datetime, datetime]:
    """Narrow a period to the days that have calls: a century has too many to be asked for one by one."""
    day, moment = calls_by_day.c.day, calls.c.started_at
    # One by one: SQLite looks at one end of an index for a single minimum or maximum, and at all of it for both.
    first, last = (connection.scalar(sa.select(end_of(day))) for end_of in (sa.func.min, sa.func.max))
    known = [EPOCH + timedelta(days=first), EPOCH + timedelta(days=last + 1)] if first is not None else []
    if left:
        begins, ends = connection.execute(
            sa.select(sa.func.min(moment), sa.func.max(moment)).where(NOT_ROLLED_UP)
        ).one()
        known += [begins, ends + timedelta(microseconds=1)] if begins is not None else []
    return max(start, min(known, default=start)), min(end, max(known, default=start))


class _Gathered:
    """One group while its rows come in: the sums, and by quantity and key what is known of their errors."""

    __slots__ = ("_errors", "_figures")

    def __init__(self) -> None:
        self._figures: list[Any] = [None] * len(_NAMES)
        self._errors: dict[str, dict[str, Group]] = {name: {} for name in BANDED}

    def take(self, row: Sequence[Any]) -> None:
        """Add a row of the answer: the key, the figures, four deviations for each quantity with a band."""
        key, figures, deviations = row[0] or "", row[1 : 1 + len(_NAMES)], row[1 + len(_NAMES) :]
        # Unknown and unknown is unknown.
        self._figures = [
            b if a is None else a if b is None else a + b for a, b in zip(self._figures, figures, strict=True)
        ]
        for position, (name, place) in enumerate(_BANDED):
            mid = figures[place]
            if mid is not None:
                down, up, own_down, own_up = deviations[4 * position : 4 * position + 4]
                # A difference of squares may fall below zero by a rounding.
                more = Group(mid, down, up, max(0.0, own_down), max(0.0, own_up))
                groups = self._errors[name]
                groups[key] = groups[key] + more if key in groups else more

    def totals(self, key: tuple[str | None, ...]) -> Totals:
        figures: dict[str, Any] = {
            # PostgreSQL sums whole numbers to a decimal.
            name: int(value) if isinstance(value, Decimal) and name != "cost_usd" else value
            for name, value in zip(_NAMES, self._figures, strict=True)
            if value is not None
        }
        for name, groups in self._errors.items():
            if groups:
                band = Total(groups).range
                figures |= {f"{name}_low": band.low, f"{name}_high": band.high}
        return Totals(key=key, **figures)


def recent(connection: sa.Connection, *, limit: int) -> list[CallRow]:
    """Give the last calls, the latest first."""
    select = sa.select(*call_columns).order_by(calls.c.started_at.desc(), calls.c.id.desc()).limit(limit)
    return rows_of(connection.execute(select))


assert (*_NAMES, *FIGURES[len(_NAMES) :]) == FIGURES, "the figures of an answer stand in the order of the rollups'"  # noqa: S101
