"""Questions to the ledger: sums over a period by any of its dimensions, and the last calls.

Sums of nothing but NULL are None. The band of a sum is the estimator's `Total`: errors that calls share
add up, a call's own even out. What is summed is said in :mod:`proxy.ledger.stretches`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from operator import itemgetter
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import sqlalchemy as sa

from estimator.uncertainty import ends_of, range_of
from proxy.ledger.local_days import LocalDays, days_kept
from proxy.ledger.rollup_tables import (
    BANDED,
    COUNTS,
    DEVIATING,
    DEVIATIONS,
    EPOCH,
    FIGURES,
    SUMS,
    calls_by_day,
    finer_from,
)
from proxy.ledger.rollups import any_left
from proxy.ledger.sources import DIMENSIONS, TIME_DIMENSIONS, Where
from proxy.ledger.stretches import questions
from proxy.ledger.tables import NOT_ROLLED_UP, CallRow, call_columns, calls, retention, rows_of

__all__ = ["DIMENSIONS", "SUMMED", "TIME_DIMENSIONS", "Totals", "Where", "recent", "splits", "totals"]


class Totals(msgspec.Struct, frozen=True, kw_only=True):
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
    # By what errs alike; of calls of older releases, which do not say it, by "". See :mod:`proxy.ledger.evidence`.
    joules_by_estimate_key: dict[str, float] = {}


Key = tuple[str | None, ...]  # the values of the dimensions asked for
Sums = Sequence[Any]  # of the figures asked for, in their order

SUMMED = ("calls", *SUMS, *COUNTS)  # what can be asked for; with what has a band comes the band
_WHOLE = {name for name in SUMMED if name.endswith(("calls", "_tokens"))}


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
    where: Where = MappingProxyType({}),
    figures: Collection[str] = SUMMED,
    bandless: Collection[Sequence[str]] = (),
) -> list[list[Totals]]:
    """Give what :func:`totals` gives for each set of dimensions, reading the ledger once for all of them.

    ``where``: of the calls that have these values alone, times excepted; KeyError on an unknown dimension.
    ``figures``: of :data:`SUMMED` only these, and the calls; fewer are read faster, and the others are None.
    ``bandless``: for these sets of dimensions no ends of bands are reckoned.
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
    days = LocalDays() if mirrored else days_kept(connection)
    if not from_rows:
        start, end = _where_calls_are(connection, start, end, days, left=left)
    kept = None if mirrored else connection.scalar(sa.select(sa.func.max(retention.c.rows_from)))
    columns = [name for name in FIGURES if name == "calls" or name in figures or _band_of(name) in figures]
    asked = questions(
        names,
        start=start,
        end=end,
        zone=zone,
        figures=columns,
        finer_from=0 if mirrored else finer_from(connection),
        days=days,
        rows_from=kept,
        left=left,
        from_rows=from_rows,
        where=where,
    )
    times = [place for place, name in enumerate(names) if name in TIME_DIMENSIONS]
    found: dict[Key, list[Sums]] = {}  # by the dimensions and what errs alike
    for question in asked:
        written = cache(question.written)
        for row in connection.execute(question.select).all():
            key = list(row[: len(names) + 1])
            for place in times:
                key[place] = written(names[place], key[place])
            found.setdefault(tuple(key), []).append(row[len(names) + 1 :])
    adding = _Adding(columns, decimals=connection.dialect.name == "postgresql")  # there sums of whole numbers are
    return [_split(found, [names.index(name) for name in each], adding, banded=each not in bandless) for each in by]


def _band_of(column: str) -> str | None:
    """Name the figure whose band a column is for."""
    return next((name for name in BANDED if column in DEVIATIONS and column.startswith(name)), None)


def _split(
    found: Mapping[Key, Sequence[Sums]], places: Sequence[int], adding: _Adding, *, banded: bool
) -> list[Totals]:
    """Put together what has the same values in these places."""
    alike: dict[tuple[Key, str], list[Sums]] = {}
    for key, several in found.items():
        alike.setdefault((tuple([key[place] for place in places]), key[-1] or ""), []).extend(several)
    groups: dict[Key, dict[str, Sums]] = {} if places else {(): {}}
    for (group, estimate_key), several in alike.items():
        groups.setdefault(group, {})[estimate_key] = _added(several)
    return [adding.totals(key, sums, banded=banded) for key, sums in groups.items()]


def _added(several: Sequence[Sums]) -> Sums:
    """Add up column by column; unknown and unknown is unknown."""
    match several:
        case [one]:
            return one
        case [one, other]:  # a local day's hours and the quarters at its ends
            return [b if a is None else a if b is None else a + b for a, b in zip(one, other, strict=True)]
    return [_sum(column) for column in zip(*several, strict=True)]


def _sum(column: Sequence[Any]) -> Any:
    known = column if None not in column else [each for each in column if each is not None]
    if not known:
        return None
    return math.fsum(known) if isinstance(known[0], float) else sum(known)  # whatever the order they came in


class _Adding:
    """Adds up sums by what errs alike, whose figures are named ``columns``; where each is, is looked up once.

    ``decimals``: whole numbers come as such.
    """

    def __init__(self, columns: Sequence[str], *, decimals: bool) -> None:
        self._names = [name for name in columns if name not in DEVIATIONS]  # these come first
        self._whole = [name for name in self._names if name in _WHOLE] if decimals else []
        self._banded = [
            (name, itemgetter(*(columns.index(each) for each in (name, *(f"{name}_{part}" for part in DEVIATING)))))
            for name in BANDED
            if name in columns
        ]

    def totals(self, key: Key, by_alike: Mapping[str, Sums], *, banded: bool) -> Totals:
        """Give the figures of a group and, if ``banded``, their bands."""
        if not by_alike:
            return Totals(key=key)
        figures: dict[str, Any] = dict(zip(self._names, _added(list(by_alike.values())), strict=False))
        for name in self._whole:
            if figures[name] is not None:
                figures[name] = int(figures[name])
        for name, parts in self._banded if banded else ():
            if figures[name] is not None:
                known = {each: found for each, sums in by_alike.items() if (found := parts(sums))[0] is not None}
                figures[f"{name}_low"], _, figures[f"{name}_high"] = _band(list(known.values()))
                if name == "joules":
                    figures["joules_by_estimate_key"] = {each: found[0] for each, found in known.items()}
        return Totals(key=key, **figures)


def _band(parts: Sequence[tuple[float, float, float, float, float]]) -> tuple[float, float, float]:
    """Give low, middle and high of a sum of a figure's middle and deviations, one of each for each that errs alike."""
    # A difference of squares may fall below zero by a rounding.
    if len(parts) == 1:  # as a rule
        ((mid, down, up, own_down, own_up),) = parts
        return ends_of(mid, down, up, max(0.0, own_down), max(0.0, own_up))
    mids, downs, ups, *own = zip(*parts, strict=True)
    own_downs, own_ups = ([max(0.0, each) for each in ends] for ends in own)
    band = range_of(mids, downs, ups, own_downs, own_ups)
    return band.low, band.mid, band.high


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
        known += [begins, ends + timedelta(microseconds=1)] if begins is not None else []
    wider = (min(known, default=start), max(known, default=start))
    if days.begins(start):
        wider = days.whole(*wider)
    return max(start, wider[0]), min(end, wider[1])


def recent(connection: sa.Connection, *, limit: int) -> list[CallRow]:
    """Give the last calls, the latest first."""
    select = sa.select(*call_columns).order_by(calls.c.started_at.desc(), calls.c.id.desc()).limit(limit)
    return rows_of(connection.execute(select))
