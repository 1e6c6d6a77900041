"""Sums that calls were taken out of: without a call they go, without a call that is known they are unknown again.

What is left of a sum tells as a rule that something known is in it, since no figure is negative. Only where about
nothing is left must the calls themselves be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.sql.expression import ColumnElement

from proxy.ledger.rollup_tables import BANDED, DEVIATIONS, FIGURES, SUMS, model_keys
from proxy.ledger.sqltypes import USD_DECIMALS
from proxy.ledger.tables import calls

Key = tuple[str | None, ...]
Sums = tuple[Any, ...]  # in the order of FIGURES

_NOTHING = 1e-9  # of what was taken out: the rest of a sum of calls is more, that of rounding is less
_PLACES = {name: FIGURES.index(name) for name in SUMS}


class Emptied:
    """Mends one table of sums; ``ends`` says from when to when one row of it goes."""

    def __init__(self, table: sa.Table, keys: sa.Table, ends: Callable[[int], tuple[datetime, datetime]]) -> None:
        self._table, self._ends = table, ends
        self._here = sa.and_(next(iter(table.columns)) == sa.bindparam("time_"), table.c.key == sa.bindparam("key_"))
        self._delete = sa.delete(table).where(self._here, table.c.calls == 0)
        self._select = sa.select(*(table.c[name] for name in SUMS)).where(self._here)
        self._dimensions = tuple(column.name for column in keys.columns if column.name != "key")
        its: dict[str, ColumnElement[str]] = {name: calls.c[name] for name in self._dimensions}
        if keys is model_keys:
            its["model"] = sa.func.coalesce(calls.c.model, calls.c.model_requested)
        self._alike = [
            column.is_not_distinct_from(sa.bindparam(f"{name}_", type_=sa.Text)) for name, column in its.items()
        ]
        self._known = {name: self._knowing(name) for name in SUMS}

    def mend(self, connection: Connection, taken: Mapping[tuple[int, int], tuple[Key, Sums, Sums | None]]) -> None:
        """Look at sums by time and key: whose they are, what was taken out of them, what was put in instead."""
        suspected = [
            (place, dimensions, lost)
            for place, (dimensions, out, put) in sorted(taken.items(), key=lambda each: each[0])
            if (lost := {name: out[at] for name, at in _PLACES.items() if out[at] is not None and _none(put, at)})
            or put is None
        ]
        if not suspected:
            return
        connection.execute(self._delete, [{"time_": time, "key_": key} for (time, key), _, _ in suspected])
        for (time, key), dimensions, lost in suspected:
            left = connection.execute(self._select, {"time_": time, "key_": key}).one_or_none() if lost else None
            if left is None:
                continue
            gone = [
                name
                for name, taken_out in lost.items()
                if (rest := getattr(left, name)) is not None
                and _little(rest, taken_out, name)
                and not self._is_known(connection, time, dimensions, name)
            ]
            if gone:
                blank = [each for each in DEVIATIONS for name in set(gone) & set(BANDED) if each.startswith(name)]
                update = sa.update(self._table).where(self._here).values(dict.fromkeys((*gone, *blank), sa.null()))
                connection.execute(update, [{"time_": time, "key_": key}])

    def _is_known(self, connection: Connection, time: int, dimensions: Key, name: str) -> bool:
        start, end = self._ends(time)
        its = {f"{each}_": value for each, value in zip(self._dimensions, dimensions, strict=True)}
        return connection.execute(self._known[name], {"start_": start, "end_": end, **its}).first() is not None

    def _knowing(self, name: str) -> sa.Select[Any]:
        """Ask for a call in the sums that has the figure; the last ones first, which nobody has looked at yet."""
        return (
            sa.select(calls.c.id)
            .where(
                calls.c.started_at >= sa.bindparam("start_", type_=calls.c.started_at.type),
                calls.c.started_at < sa.bindparam("end_", type_=calls.c.started_at.type),
                calls.c.rolled_up,
                calls.c[name].is_not(None),
                *self._alike,
            )
            .order_by(calls.c.started_at.desc())
            .limit(1)
        )


def _none(sums: Sums | None, at: int) -> bool:
    return sums is None or sums[at] is None


def _little(value: float, taken: float, name: str) -> bool:
    whole = taken / 10**USD_DECIMALS if name == "cost_usd" else taken
    return bool(abs(float(value)) <= _NOTHING * abs(whole))
