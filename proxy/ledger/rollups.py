"""Sums of rows, kept by quarter of an hour, hour, four hours and day (UTC's, and local ones), written with the rows.

So a call counts in them exactly once, whenever it comes. What another release wrote without its sums is marked, and
taken in by :func:`roll_up`, a bounded number at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Context, Decimal
from functools import cache, reduce
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

from proxy.ledger.bulk import Values
from proxy.ledger.emptied import Emptied
from proxy.ledger.keys import Key, Keys, key_of
from proxy.ledger.local_days import LocalDays, days_kept
from proxy.ledger.rollup_tables import (
    ALL_DIMENSIONS,
    BANDED,
    FEW_DIMENSIONS,
    FIGURES,
    FIRST_DIMENSIONS,
    QUARTERS_A_DAY,
    QUARTERS_AN_HOUR,
    QUARTERS_IN_FOUR_HOURS,
    SUMS,
    calls_by_day,
    calls_by_four_hours,
    calls_by_hour,
    calls_by_local_day,
    calls_by_quarter,
    detail_keys,
    details_by_day,
    details_by_local_day,
    finer_from,
    four_hours_from,
    model_keys,
    moment,
    quarter_of,
)
from proxy.ledger.sqltypes import USD_DECIMALS
from proxy.ledger.stored import Batch
from proxy.ledger.tables import CallRow, call_columns, call_rows, calls, picked, rows_of

_SQLITE_INTEGER_MOST = 2**63 - 1

Place = tuple[int, Key]  # a quarter, an hour or a day (a local one as the quarter in which it begins), and whose sums
Sums = tuple[Any, ...]  # in the order of FIGURES; dollars in units of the last decimal
Ends = tuple[datetime, datetime]  # from when to when one row of sums goes

_started_at = CallRow.__struct_fields__.index("started_at")
_details = picked(*ALL_DIMENSIONS)
_few = picked("team", "provider", "model", "model_requested", "estimate_key")
_finer = picked(*FEW_DIMENSIONS[len(FIRST_DIMENSIONS) :])
_source = picked("usage_source", "provider")
_summed = picked(*SUMS)
# What a call whose tokens are known should have, in the order of the counts of those that lack it.
_wanted = picked("input_tokens", "output_tokens", "cost_usd", "joules", "grams_co2e", "liters")
_NONE_WANTED = [0, 0, 0, 0]
_deviating = tuple(
    picked(*(f"{name}{part}" for part in ("_low", "", "_high", "_shared_down", "_shared_up"))) for name in BANDED
)
# In the words of the partial index; with a type SQLAlchemy adds "= 1", and SQLite reads all rows.
LEFT: sa.ColumnElement[Any] = sa.literal_column("NOT rolled_up")
_NUMBER_OF_COST = SUMS.index("cost_usd")
_EXACTLY = Context(prec=60)  # more digits than any sum of dollars has


def _sums_of(values: Sequence[Values]) -> Sums:
    """Add up calls of one kind, given as their fields."""
    calls, (source, provider) = len(values), _source(values[0])
    sums: list[Any] = [calls]
    for number, column in enumerate(zip(*map(_summed, values), strict=True)):
        known = column if None not in column else [each for each in column if each is not None]
        if number == _NUMBER_OF_COST:
            sums.append(int(_EXACTLY.scaleb(reduce(_EXACTLY.add, known), USD_DECIMALS)) if known else None)
        else:
            sums.append(sum(known) if known else None)
    metered = [wanted for n_in, n_out, *wanted in map(_wanted, values) if n_in is not None or n_out is not None]
    sums += [column.count(None) for column in zip(*metered, strict=True)] if metered else _NONE_WANTED
    sums += [calls if source == each else 0 for each in ("reported", "counted", "inferred")]
    sums.append(calls if source == "absent" and provider is not None else 0)
    for deviating in _deviating:
        sums += _deviations(map(deviating, values))
    return tuple(sums)


def _deviations(figures: Iterable[tuple[float | None, ...]]) -> tuple[float | None, ...]:
    """Sum the shared deviations and the squares of the own ones, downwards and upwards.

    A row of a release that did not tell them apart shares all of its error.
    """
    shared_down = shared_up = own_down = own_up = 0.0
    found = False
    for low, mid, high, part_down, part_up in figures:
        if low is None or mid is None or high is None:
            continue
        found = True
        down, up = mid - low, high - mid
        below, above = down if part_down is None else part_down, up if part_up is None else part_up
        shared_down += below
        shared_up += above
        own_down += down * down - below * below
        own_up += up * up - above * above
    return (shared_down, shared_up, own_down, own_up) if found else (None, None, None, None)


def merged(one: Sums, other: Sums) -> Sums:
    """Add two sums; unknown and unknown is unknown."""
    return tuple(b if a is None else a if b is None else a + b for a, b in zip(one, other, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """Which sums a ledger keeps, as its tables say."""

    finer_from: int
    four_hours_from: int
    days: LocalDays

    def four_hours(self, hour: int) -> int | None:
        """Give the four hours that an hour is summed into, if there are such sums of that time."""
        kept = hour * QUARTERS_AN_HOUR >= self.four_hours_from
        return hour * QUARTERS_AN_HOUR // QUARTERS_IN_FOUR_HOURS if kept else None

    def local_day(self, quarter: int) -> int | None:
        """Give the local day that a quarter is summed into, if days are kept at that time."""
        its = self.days.of(quarter)
        return its.start if its.kept else None


def _summed_up(batch: Batch, kept: _Kept) -> tuple[dict[Place, Sums], ...]:
    """Give what calls add up to: by quarter, hour, four hours, day and local day over few, by both days over all.

    Before the quarter ``finer_from`` the few are those of an earlier release, whose sums go on.
    """
    alike: dict[tuple[int, int], list[Values]] = {}
    for values, kind in batch.calls():
        alike.setdefault((quarter_of(values[_started_at]), kind), []).append(values)
    quarters: dict[Place, Sums] = {}
    details: dict[Place, Sums] = {}
    for (quarter, _), group in alike.items():
        sums, first = _sums_of(group), group[0]
        team, provider, served, requested, key = _few(first)
        few: Key = (team, provider, served if served is not None else requested, key)
        if quarter >= kept.finer_from:
            few += _finer(first)
        for found, place in ((quarters, (quarter, few)), (details, (quarter, _details(first)))):
            found[place] = merged(found[place], sums) if place in found else sums
    hours = _coarser(quarters, lambda quarter: quarter // QUARTERS_AN_HOUR)
    days, detailed = (_coarser(each, lambda quarter: quarter // QUARTERS_A_DAY) for each in (quarters, details))
    local, local_detailed = (_coarser(each, kept.local_day) for each in (quarters, details))
    return quarters, hours, _coarser(hours, kept.four_hours), days, detailed, local, local_detailed


def _coarser(finer: Mapping[Place, Sums], longer: Callable[[int], int | None]) -> dict[Place, Sums]:
    """Add up sums of times to those of longer ones; ``None``: that time is in none."""
    of, found = cache(longer), dict[Place, Sums]()
    for (time, key), sums in finer.items():
        if (whole := of(time)) is not None:
            place = whole, key
            found[place] = merged(found[place], sums) if place in found else sums
    return found


def change(before: Sums | None, after: Sums | None) -> Sums:
    """Give what must be added to sums so that they have ``after`` in the place of ``before``."""
    none = (None,) * len(FIGURES)
    return tuple(
        None if old is None and new is None else (new or 0) - (old or 0)
        for old, new in zip(before or none, after or none, strict=True)
    )


class Rollups:
    """Writes sums; one for each writer of a ledger."""

    def __init__(self, dialect: Dialect) -> None:
        self._since: tuple[int, int] | None = None
        self._days = LocalDays()
        self._all = (
            _Rollup(calls_by_quarter, model_keys, _even(1), dialect),
            _Rollup(calls_by_hour, model_keys, _even(QUARTERS_AN_HOUR), dialect),
            _Rollup(calls_by_four_hours, model_keys, _even(QUARTERS_IN_FOUR_HOURS), dialect),
            _Rollup(calls_by_day, model_keys, _even(QUARTERS_A_DAY), dialect),
            _Rollup(details_by_day, detail_keys, _even(QUARTERS_A_DAY), dialect),
            _Rollup(calls_by_local_day, model_keys, self._local, dialect),
            _Rollup(details_by_local_day, detail_keys, self._local, dialect),
        )

    def add(self, connection: Connection, batch: Batch) -> None:
        """Add calls to the sums, in the transaction that writes their rows.

        Everything is written in one order, so that machines which share a ledger wait for each other and never in
        a circle.
        """
        found = _summed_up(batch, self._kept(connection))
        for rollup, sums in zip(self._all, found, strict=True):
            rollup.add(connection, sums)

    def replace(self, connection: Connection, before: Sequence[CallRow], after: Sequence[CallRow]) -> None:
        """Take rows that the sums have out of them and others in, in the transaction that has changed the rows.

        Whole numbers and dollars stay exact; what is not whole stays as it was to the digit where nothing of it
        changed, and may be off in its last digits where something did. The order is that of :meth:`add`.
        """
        kept = self._kept(connection)
        old_and_new = (_summed_up(Batch.of(rows), kept) for rows in (before, after))
        for rollup, old, new in zip(self._all, *old_and_new, strict=True):
            rollup.replace(connection, old, new)

    def committed(self) -> None:
        """Take note that the keys which were written are there to stay."""
        for each in self._all:
            each.committed()

    def forget(self) -> None:
        """Take nothing for granted any more: the ledger is, or may be, another."""
        self._since = None
        for each in self._all:
            each.forget()

    def _kept(self, connection: Connection) -> _Kept:
        if self._since is None:
            self._since = finer_from(connection), four_hours_from(connection)
        self._days = days_kept(connection)  # each time: it may be changed while this is at work
        finer, four_hours = self._since
        return _Kept(finer_from=finer, four_hours_from=four_hours, days=self._days)

    def _local(self, quarter: int) -> Ends:
        unit = self._days.of(quarter)
        return moment(unit.start), moment(unit.end)


def _even(width: int) -> Callable[[int], Ends]:
    """Say from when to when a row goes whose time counts so many quarters."""
    return lambda time: (moment(time * width), moment((time + 1) * width))


class _Rollup:
    def __init__(self, table: sa.Table, keys: sa.Table, ends: Callable[[int], Ends], dialect: Dialect) -> None:
        self._emptied = Emptied(table, keys, ends)
        mark = "?" if dialect.name == "sqlite" else "%s"
        self._to_dollars = dialect.name != "sqlite"
        time = next(iter(table.columns)).name
        names = [column.name for column in table.columns]
        updates = ", ".join(
            f"{name} = coalesce({table.name}.{name} + excluded.{name}, {table.name}.{name}, excluded.{name})"
            for name in FIGURES
        )
        self._upsert = (
            f"INSERT INTO {table.name} ({', '.join(names)}) VALUES ({', '.join([mark] * len(names))})"  # noqa: S608
            f" ON CONFLICT ({time}, key) DO UPDATE SET {updates}"
        )
        self._keys = Keys(keys, dialect)
        self._written_keys: dict[int, Key] = {}  # by the transaction under way

    def add(self, connection: Connection, sums: Mapping[Place, Sums]) -> None:
        self._written_keys = {key_of(dimensions): dimensions for _, dimensions in sums}
        self._keys.ensure(connection, self._written_keys)
        rows = sorted(((time, key_of(dimensions)), figures) for (time, dimensions), figures in sums.items())
        if rows:
            connection.exec_driver_sql(self._upsert, [(*place, *self._written(figures)) for place, figures in rows])

    def replace(self, connection: Connection, before: Mapping[Place, Sums], after: Mapping[Place, Sums]) -> None:
        places = [place for place in {**before, **after} if before.get(place) != after.get(place)]
        self.add(connection, {place: change(before.get(place), after.get(place)) for place in places})
        self._emptied.mend(
            connection,
            {
                (time, key_of(dimensions)): (dimensions, before[time, dimensions], after.get((time, dimensions)))
                for time, dimensions in places
                if (time, dimensions) in before
            },
        )

    def committed(self) -> None:
        self._keys.remember(self._written_keys)
        self._written_keys = {}

    def forget(self) -> None:
        self._keys.forget()

    def _written(self, figures: Sums) -> Sums:
        at = 1 + _NUMBER_OF_COST
        cost = figures[at]
        if cost is None or (not self._to_dollars and cost <= _SQLITE_INTEGER_MOST):
            return figures
        # Beyond nine million dollars, which absurd counts of a provider can make, SQLite itself goes on with a float.
        written = Decimal(cost).scaleb(-USD_DECIMALS) if self._to_dollars else float(cost)
        return (*figures[:at], written, *figures[at + 1 :])


def left(connection: Connection) -> int:
    """Count the calls that the sums lack."""
    return connection.scalar(sa.select(sa.func.count()).select_from(call_rows).where(LEFT)) or 0


def any_left(connection: Connection) -> bool:
    """Whether there are calls that the sums lack; as a rule there are none, and to know it costs next to nothing."""
    # Left to itself, SQLite would read all rows.
    by = "INDEXED BY ix_call_rows_not_rolled_up" if connection.dialect.name == "sqlite" else ""
    found = connection.exec_driver_sql(f"SELECT 1 FROM call_rows {by} WHERE NOT rolled_up LIMIT 1")  # noqa: S608
    return found.first() is not None


def roll_up(connection: Connection, rollups: Rollups, limit: int) -> int:
    """Take up to ``limit`` calls that the sums lack into them, in the connection's transaction; gives how many."""
    if not any_left(connection):
        return 0
    mine = (
        sa.select(call_rows.c.id, call_rows.c.started_at)
        .where(LEFT)
        .order_by(call_rows.c.started_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = connection.execute(mine).all()
    if not found:
        return 0
    ends = found[0].started_at, found[-1].started_at
    rows: list[CallRow] = []
    for start in range(0, len(found), 500):
        ids = [row.id for row in found[start : start + 500]]
        select = sa.select(*call_columns).where(calls.c.id.in_(ids), calls.c.started_at.between(*ends))
        rows += rows_of(connection.execute(select))
        here = (call_rows.c.id.in_(ids), call_rows.c.started_at.between(*ends))
        connection.execute(sa.update(call_rows).where(*here).values(rolled_up=True))
    rollups.add(connection, Batch.of(rows))
    return len(rows)
