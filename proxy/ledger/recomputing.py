"""Estimating stored calls anew, some at a time, each time in one transaction: rows, sums, former values, position.

So it may be killed at any moment and goes on where it stopped, and what reports say is right at each. What is read is
estimated outside of any transaction; a row that has changed since is left to the next run. At most one generation is
under way: the one that began last.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError

from proxy.errors import LedgerError
from proxy.ledger.bulk import Bulk, BulkUpdate
from proxy.ledger.engine import WRITE, shown
from proxy.ledger.keys import Keys
from proxy.ledger.restating import Restating
from proxy.ledger.rollups import Rollups
from proxy.ledger.stored import ESTIMATED, FOUND_BY, Batch, estimated_anew
from proxy.ledger.tables import (
    ESTIMATE,
    CallRow,
    Former,
    LineRow,
    call_columns,
    call_kinds,
    call_rows,
    calls,
    estimate_generations,
    facts_versions,
    former_estimates,
    rows_of,
    usage_lines,
)
from proxy.ledger.write import IDS_AT_ONCE

ROWS_AT_ONCE = 1000
_ESTIMATED = attrgetter(*ESTIMATE)
_OF_A_LINE = tuple(name for name in ESTIMATE if name in usage_lines.c)
_LINE_FIELDS = LineRow.__struct_fields__
# Only a call with a usage of its own, or with lines, can be estimated.
_METERED = sa.or_(
    calls.c.usage_source != "absent",
    sa.exists(sa.select(usage_lines.c.call_id).where(usage_lines.c.call_id == calls.c.id)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """The calls to look at, [start, end), and on which terms: with which facts and which settings, by its digest."""

    start: datetime
    end: datetime
    facts_version: str
    settings: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A recomputation under way: ``done_to`` is the last call that was looked at, its start and its id."""

    number: int
    done_to: tuple[datetime, str] | None = None
    looked_at: int = 0
    changed: int = 0


class Looked(msgspec.Struct, frozen=True):
    """A call as it stands there and as it would be today; ``None`` where that cannot be said."""

    before: CallRow
    lines: tuple[LineRow, ...]
    generation: int | None
    after: CallRow | None
    lines_after: tuple[LineRow, ...]

    @property
    def changes(self) -> bool:
        """Whether today's estimate is another."""
        return self.after is not None and (self.after != self.before or self.lines_after != self.lines)


def metered(engine: Engine, stretch: Stretch, after: tuple[datetime, str] | None = None) -> int:
    """Count the calls that there are to look at."""
    with _said(engine), engine.connect() as connection:
        select = sa.select(sa.func.count()).select_from(calls).where(*_within(stretch, after))
        return connection.scalar(select) or 0


def look(
    engine: Engine,
    stretch: Stretch,
    restating: Restating,
    after: tuple[datetime, str] | None = None,
    *,
    at_once: int = ROWS_AT_ONCE,
) -> Iterator[list[Looked]]:
    """Estimate calls of a stretch anew, some at a time and in their order; nothing is written."""
    while True:
        with _said(engine), engine.connect() as connection:
            found = _read(connection, stretch, after, at_once)
        if not found:
            return
        looked = []
        for row, lines, generation in found:
            made = restating.restated(row, lines)
            looked.append(Looked(row, lines, generation, *((None, ()) if made is None else made)))
        yield looked
        after = (found[-1][0].started_at, found[-1][0].id)


class Recomputing:
    """Writes one generation; every method raises :class:`LedgerError`, having changed nothing by that call."""

    def __init__(self, engine: Engine, stretch: Stretch) -> None:
        self._engine, self._stretch = engine, stretch
        dialect = engine.dialect
        self._rollups = Rollups(dialect)
        self._former = Bulk(former_estimates, dialect)
        self._kinds = Keys(call_kinds, dialect)
        self._calls = BulkUpdate(
            call_rows, ("kind", *ESTIMATED), FOUND_BY, dialect, same="generation", values=estimated_anew
        )
        self._lines = BulkUpdate(usage_lines, _OF_A_LINE, ("call_id", "number"), dialect)
        self._facts_written = False

    def begin(self, at: datetime) -> Generation:
        """Go on with the generation of the same stretch that was broken off, or begin a new one."""
        table, stretch = estimate_generations.c, self._stretch
        with _said(self._engine), self._writing() as connection:
            under_way = sa.select(estimate_generations).where(table.ended_at.is_(None)).with_for_update()
            for row in connection.execute(under_way):
                if (row.calls_from, row.calls_to, row.facts_version, row.settings) == (
                    stretch.start,
                    stretch.end,
                    stretch.facts_version,
                    stretch.settings,
                ):
                    done_to = None if row.done_to is None else (row.done_to, row.done_to_id)
                    return Generation(
                        number=row.generation, done_to=done_to, looked_at=row.looked_at, changed=row.changed
                    )
                _end(connection, row.generation, changed=row.changed, at=at, finished=False)
            number = (connection.scalar(sa.select(sa.func.max(table.generation))) or 0) + 1
            connection.execute(
                sa.insert(estimate_generations).values(
                    generation=number,
                    calls_from=stretch.start,
                    calls_to=stretch.end,
                    facts_version=stretch.facts_version,
                    settings=stretch.settings,
                    began_at=at,
                    finished=False,
                    looked_at=0,
                    changed=0,
                )
            )
            return Generation(number=number)

    def write(self, generation: Generation, looked: Sequence[Looked], at: datetime) -> Generation:
        """Put what was looked at into the ledger; gives how far the generation is now."""
        wanted = [each for each in looked if each.changes]
        last = looked[-1].before
        with _said(self._engine), self._writing() as connection:
            self._hold(connection, generation)
            held = self._as_read(connection, wanted)
            changed = [each for each in wanted if each.before.id in held]
            self._put(connection, generation.number, changed)
            done = replace(
                generation,
                done_to=(last.started_at, last.id),
                looked_at=generation.looked_at + len(looked),
                changed=generation.changed + len(changed),
            )
            connection.execute(
                sa.update(estimate_generations)
                .where(estimate_generations.c.generation == generation.number)
                .values(done_to=last.started_at, done_to_id=last.id, looked_at=done.looked_at, changed=done.changed)
            )
            if changed and not self._facts_written:
                self._write_facts(connection, at)
            summed = [each for each in changed if held[each.before.id]]
            if summed:  # last: other machines may wait for these sums
                before, after = zip(*((each.before, each.after) for each in summed), strict=True)
                self._rollups.replace(connection, before, after)
        self._rollups.committed()
        if self._kinds.fresh:
            self._kinds.remember(Batch.of([each.after for each in changed if each.after is not None]).keys)
        self._facts_written = self._facts_written or bool(changed)
        return done

    def end(self, generation: Generation, at: datetime) -> None:
        """Close a generation that came to the end of its stretch; one that changed nothing leaves no trace."""
        with _said(self._engine), self._writing() as connection:
            self._hold(connection, generation)
            _end(connection, generation.number, changed=generation.changed, at=at, finished=True)

    def _hold(self, connection: Connection, generation: Generation) -> None:
        """Make sure that nobody else goes on with it, nor has begun another."""
        table = estimate_generations.c
        select = sa.select(table.done_to_id).where(table.generation == generation.number, table.ended_at.is_(None))
        found = connection.execute(select.with_for_update()).one_or_none()
        if found is None or found.done_to_id != (generation.done_to[1] if generation.done_to else None):
            raise LedgerError("another `joulegate recompute` is at work on this ledger; this one stops here")

    def _as_read(self, connection: Connection, wanted: Sequence[Looked]) -> dict[str, bool]:
        """Lock rows; gives those that are as they were read, and whether the sums have them."""
        held: dict[str, bool] = {}
        for start in range(0, len(wanted), IDS_AT_ONCE):
            some = {each.before.id: each for each in wanted[start : start + IDS_AT_ONCE]}
            times = [each.before.started_at for each in some.values()]
            select = sa.select(call_rows.c.id, call_rows.c.generation, call_rows.c.rolled_up).where(
                call_rows.c.id.in_(some), call_rows.c.started_at.between(min(times), max(times))
            )
            locked = connection.execute(select.with_for_update())
            held |= {name: rolled_up for name, its, rolled_up in locked if its == some[name].generation}
        return held

    def _put(self, connection: Connection, number: int, changed: Sequence[Looked]) -> None:
        former: list[msgspec.Struct] = []
        after: list[CallRow] = []
        lines: list[LineRow] = []
        for each in changed:
            assert each.after is not None  # noqa: S101 - it would not change
            after.append(each.after)
            former.append(_former(each.before, each.before.id, 0, number))
            for line, new in zip(each.lines, each.lines_after, strict=True):
                if line != new:
                    lines.append(new)
                    former.append(_former(line, line.call_id, line.number, number))
        if former and not self._former.write(connection, former):
            raise LedgerError("former values of these calls are there already under this generation")
        batch = Batch.of(after)
        self._kinds.ensure(connection, batch.keys)
        self._calls.write(connection, batch.calls(), number)
        self._lines.write(connection, lines)

    def _write_facts(self, connection: Connection, at: datetime) -> None:
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        values = {
            "facts_version": self._stretch.facts_version,
            "first_used_at": at,
            "release": version("joulegate"),
        }
        connection.execute(insert(facts_versions).values(values).on_conflict_do_nothing())

    def _writing(self) -> Any:
        return self._engine.execution_options(**{WRITE: True}).begin()


def _of_estimate(row: CallRow | LineRow) -> tuple[Any, ...]:
    return _ESTIMATED(row) if isinstance(row, CallRow) else tuple(getattr(row, name, None) for name in ESTIMATE)


def _former(row: CallRow | LineRow, call_id: str, number: int, generation: int) -> msgspec.Struct:
    made: msgspec.Struct = Former(call_id, number, generation, *_of_estimate(row))
    return made


def _end(connection: Connection, number: int, *, changed: int, at: datetime, finished: bool) -> None:
    here = estimate_generations.c.generation == number
    if changed:
        connection.execute(sa.update(estimate_generations).where(here).values(ended_at=at, finished=finished))
    else:
        connection.execute(sa.delete(estimate_generations).where(here))


def _within(stretch: Stretch, after: tuple[datetime, str] | None) -> list[sa.ColumnElement[bool]]:
    table = calls.c
    within = [table.started_at < stretch.end, _METERED]
    if after is None:
        return [table.started_at >= stretch.start, *within]
    start, name = after
    return [table.started_at >= start, sa.or_(table.started_at > start, table.id > name), *within]


def _read(
    connection: Connection, stretch: Stretch, after: tuple[datetime, str] | None, limit: int
) -> list[tuple[CallRow, tuple[LineRow, ...], int | None]]:
    select = (
        sa.select(*call_columns, calls.c.generation)
        .where(*_within(stretch, after))
        .order_by(calls.c.started_at, calls.c.id)
        .limit(limit)
    )
    found = connection.execute(select).all()
    rows = rows_of(row[:-1] for row in found)
    lines: dict[str, list[LineRow]] = {}
    for start in range(0, len(rows), IDS_AT_ONCE):
        ids = [row.id for row in rows[start : start + IDS_AT_ONCE]]
        of = sa.select(usage_lines).where(usage_lines.c.call_id.in_(ids)).order_by(usage_lines.c.number)
        for each in connection.execute(of):
            line = msgspec.convert(dict(zip(_LINE_FIELDS, each, strict=True)), LineRow)
            lines.setdefault(line.call_id, []).append(line)
    return [(row, tuple(lines.get(row.id, ())), each[-1]) for row, each in zip(rows, found, strict=True)]


@contextlib.contextmanager
def _said(engine: Engine) -> Iterator[None]:
    """Say what the database has against it; rows in bulk go past SQLAlchemy, whose errors are the driver's own."""
    driver: Any = engine.dialect.loaded_dbapi
    try:
        yield
    except IntegrityError as error:
        raise LedgerError("another `joulegate recompute` began at the same moment; try again") from error
    except (SQLAlchemyError, driver.Error) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise LedgerError(f"calls of the ledger {shown(engine.url)} cannot be estimated anew: {cause}") from error
