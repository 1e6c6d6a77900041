"""Calls in the order in which they started, so many at a time: a long stretch is read in bounded memory.

Each page is a question of its own, that goes on behind the last row of the page before. No transaction stays open
meanwhile, so a slow reader keeps no database from cleaning up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.sql.expression import ColumnElement

from proxy.ledger.tables import call_columns, calls, usage_lines

Row = Sequence[Any]

CALLS = tuple(column.name for column in call_columns)
LINES = (*(column.name for column in usage_lines.columns), "started_at")  # a line's call's, which the line has not


@dataclass(frozen=True, slots=True)
class Page:
    """Rows of ``calls`` with the columns CALLS, and those of ``usage_lines`` that belong to them, with LINES.

    JSON columns are text. A line may come in two pages where calls started in the same microsecond.
    """

    calls: Sequence[Row]
    lines: Sequence[Row]


def pages(engine: Engine, start: datetime, end: datetime, *, size: int, lines: bool = False) -> Iterator[Page]:
    """Give the calls started in [start, end), up to ``size`` at a time; their lines only where asked for."""
    at, name = calls.c.started_at, calls.c.id
    select = sa.select(*map(_as_text, call_columns)).where(at < end).order_by(at, name).limit(size)
    place = (CALLS.index("started_at"), CALLS.index("id"))
    behind: ColumnElement[bool] = at >= start
    while True:
        with engine.connect() as connection:
            rows = connection.execute(select.where(behind)).all()
            if not rows:
                return
            (first, _), (last, last_id) = ([row[each] for each in place] for row in (rows[0], rows[-1]))
            found = _lines(connection, first, last) if lines else ()
        yield Page(rows, found)
        if len(rows) < size:
            return
        # The first condition is the one that an index on the time alone can use.
        behind = sa.and_(at >= last, sa.or_(at > last, name > last_id))


def _lines(connection: sa.Connection, first: datetime, last: datetime) -> Sequence[Row]:
    at = calls.c.started_at
    select = (
        sa.select(*map(_as_text, usage_lines.columns), at)
        .join_from(usage_lines, calls, usage_lines.c.call_id == calls.c.id)
        .where(at >= first, at <= last)
    )
    return connection.execute(select).all()


def _as_text(column: sa.Column[Any]) -> ColumnElement[Any]:
    return sa.cast(column, sa.Text).label(column.name) if isinstance(column.type, sa.JSON) else column
