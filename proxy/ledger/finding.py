"""Calls that fit, the latest first, and one call with its lines: each reads so many rows and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from proxy.ledger.sources import Where, conditions, dimensions_of
from proxy.ledger.tables import CallRow, LineRow, call_columns, call_kinds, call_rows, calls, rows_of, usage_lines

LOOKED_AT = 20_000  # calls, for one page: however rare what fits is, a question ends

Place = tuple[datetime, str]  # when a call started, and its id


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Calls, and where to go on: ``None`` at the end. ``tired``: it stopped after :data:`LOOKED_AT` calls."""

    calls: Sequence[CallRow]
    after: Place | None
    tired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class OneCall:
    """A call, what it consumed beside its own tokens, and which re-estimation its figures are of (None: none)."""

    row: CallRow
    lines: Sequence[LineRow]
    generation: int | None


def calls_like(
    connection: sa.Connection,
    where: Where,
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    before: Place | None = None,
    limit: int,
) -> Found:
    """Give up to ``limit`` calls started in [start, end) that have these values; KeyError on an unknown dimension.

    ``before``: those that come after that place, which an earlier answer gave.
    """
    at, name = call_rows.c.started_at, call_rows.c.id
    stretch = sa.select(name, at, call_rows.c.kind).order_by(at.desc(), name.desc()).limit(LOOKED_AT)
    if start is not None:
        stretch = stretch.where(at >= start)
    if end is not None:
        stretch = stretch.where(at < end)
    if before is not None:
        # The first condition is the one that an index on the time alone can use.
        stretch = stretch.where(at <= before[0], sa.or_(at < before[0], name < before[1]))
    seen = stretch.subquery()
    select = sa.select(seen.c.started_at, seen.c.id).order_by(seen.c.started_at.desc(), seen.c.id.desc())
    if where:
        select = select.join(call_kinds, seen.c.kind == call_kinds.c.kind)
        select = select.where(*conditions(dimensions_of(call_kinds.c), where))
    places = [(row[0], row[1]) for row in connection.execute(select.limit(limit + 1))]
    shown, after, tired = places[:limit], None, False
    if len(places) > limit:
        after = shown[-1]
    elif (last := connection.execute(_last(stretch)).one_or_none()) is not None:
        after, tired = (last[1], last[0]), True
    return Found(calls=_rows(connection, shown), after=after, tired=tired)


def _last(stretch: sa.Select[Any]) -> sa.Select[Any]:
    """Ask for the last of so many calls that one page looks at; there is none where there are fewer."""
    return stretch.limit(1).offset(LOOKED_AT - 1)


def _rows(connection: sa.Connection, places: Sequence[Place]) -> list[CallRow]:
    if not places:
        return []
    at, name = calls.c.started_at, calls.c.id
    select = sa.select(*call_columns).where(at <= places[0][0], at >= places[-1][0])
    return rows_of(
        connection.execute(select.where(name.in_([each for _, each in places])).order_by(at.desc(), name.desc()))
    )


def one_call(connection: sa.Connection, call_id: str) -> OneCall | None:
    """Read one call; ``None`` where there is none, or no longer."""
    found = connection.execute(sa.select(*call_columns, calls.c.generation).where(calls.c.id == call_id)).one_or_none()
    if found is None:
        return None
    names = LineRow.__struct_fields__
    select = sa.select(*(usage_lines.c[name] for name in names)).where(usage_lines.c.call_id == call_id)
    lines = connection.execute(select.order_by(usage_lines.c.number))
    return OneCall(
        row=rows_of([found[:-1]])[0],
        lines=[msgspec.convert(dict(zip(names, line, strict=True)), LineRow) for line in lines],
        generation=found[-1],
    )
