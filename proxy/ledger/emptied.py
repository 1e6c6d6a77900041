"""Sums that calls were taken out of: without a call they go, without a call that is known they are unknown again.

What is left of a sum tells as a rule that something known is in it, since no figure is negative. Only where about
nothing is left must the calls themselves be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from proxy.ledger.rollup_tables import BANDED, DEVIATIONS, FIGURES, SUMS, model_keys
from proxy.ledger.sqltypes import USD_DECIMALS
from proxy.ledger.tables import calls

Key = tuple[str | None, ...]
Place = tuple[int, int]  # the time and the number of the key
Sums = tuple[Any, ...]  # in the order of FIGURES

_NOTHING = 1e-9  # of what was taken out: the rest of a sum of calls is more, that of rounding is less
_PLACES_AT_ONCE = 50  # in one question, which looks for each time with each key: SQLite has no index for pairs
_CALLS = FIGURES.index("calls")
_PLACES = {name: FIGURES.index(name) for name in SUMS}


class Emptied:
    """Mends one table of sums; ``ends`` says from when to when one row of it goes."""

    def __init__(self, table: sa.Table, keys: sa.Table, ends: Callable[[int], tuple[datetime, datetime]]) -> None:
        self._table, self._ends = table, ends
        self._here = sa.and_(next(iter(table.columns)) == sa.bindparam("time_"), table.c.key == sa.bindparam("key_"))
        time, key = next(iter(table.columns)), table.c.key
        self._select = sa.select(time, key, table.c.calls, *(table.c[name] for name in SUMS)).where(
            time.in_(sa.bindparam("times", expanding=True)), key.in_(sa.bindparam("keys", expanding=True))
        )
        self._delete = sa.delete(table).where(self._here, table.c.calls == 0)
        self._dimensions = tuple(column.name for column in keys.columns if column.name != "key")
        its: dict[str, ColumnElement[str]] = {name: calls.c[name] for name in self._dimensions}
        if keys is model_keys:
            its["model"] = sa.func.coalesce(calls.c.model, calls.c.model_requested)
        self._alike = [
            column.is_not_distinct_from(sa.bindparam(f"{name}_", type_=sa.Text)) for name, column in its.items()
        ]
        self._knowing = lru_cache(maxsize=None)(self._asking)

    def mend(self, connection: Connection, taken: Mapping[Place, tuple[Key, Sums, Sums | None]]) -> None:
        """Look at sums by time and key: whose they are, what was taken out of them, what was put in instead."""
        suspected = [
            (place, dimensions, lost, 0 if put is None else put[_CALLS])
            for place, (dimensions, out, put) in sorted(taken.items(), key=lambda each: each[0])
            if (lost := {name: out[at] for name, at in _PLACES.items() if out[at] is not None and _none(put, at)})
            or put is None
        ]
        if not suspected:
            return
        connection.execute(self._delete, [{"time_": time, "key_": key} for (time, key), _, _, _ in suspected])
        left = self._left(connection, [place for place, _, lost, _ in suspected if lost])
        for place, dimensions, lost, here in suspected:
            row = left.get(place)
            if row is None:
                continue
            gone = [
                name
                for name, taken_out in lost.items()
                if (rest := getattr(row, name)) is not None
                and _little(rest, taken_out, name)
                # Where it has no other calls than those that were put in, of which none is known, nobody need be asked.
                and (row.calls == here or not self._is_known(connection, place[0], dimensions, name))
            ]
            if gone:
                blank = [each for each in DEVIATIONS for name in set(gone) & set(BANDED) if each.startswith(name)]
                update = sa.update(self._table).where(self._here).values(dict.fromkeys((*gone, *blank), sa.null()))
                connection.execute(update, [{"time_": place[0], "key_": place[1]}])

    def _left(self, connection: Connection, places: Sequence[Place]) -> dict[Place, sa.Row[Any]]:
        found: dict[Place, sa.Row[Any]] = {}
        for start in range(0, len(places), _PLACES_AT_ONCE):
            some = places[start : start + _PLACES_AT_ONCE]
            asked = {"times": sorted({time for time, _ in some}), "keys": sorted({key for _, key in some})}
            found |= {(row[0], row[1]): row for row in connection.execute(self._select, asked)}
        return found

    def _is_known(self, connection: Connection, time: int, dimensions: Key, name: str) -> bool:
        start, end = self._ends(time)
        # Sums of an earlier release have the first of the dimensions alone.
        its = {f"{each}_": value for each, value in zip(self._dimensions, dimensions, strict=False)}
        select = self._knowing(name, len(dimensions))
        return connection.execute(select, {"start_": start, "end_": end, **its}).first() is not None

    def _asking(self, name: str, dimensions: int) -> sa.Select[Any]:
        """Ask for a call in the sums that has the figure; the last ones first, which nobody has looked at yet."""
        return (
            sa.select(calls.c.id)
            .where(
                calls.c.started_at >= sa.bindparam("start_", type_=calls.c.started_at.type),
                calls.c.started_at < sa.bindparam("end_", type_=calls.c.started_at.type),
                calls.c.rolled_up,
                calls.c[name].is_not(None),
                *self._alike[:dimensions],
            )
            .order_by(calls.c.started_at.desc())
            .limit(1)
        )


def _none(sums: Sums | None, at: int) -> bool:
    return sums is None or sums[at] is None


def _little(value: float, taken: float, name: str) -> bool:
    whole = taken / 10**USD_DECIMALS if name == "cost_usd" else taken
    return bool(abs(float(value)) <= _NOTHING * abs(whole))
