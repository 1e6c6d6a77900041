"""Writing to the ledger: rows of calls and the journal positions they came from, in one transaction."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, SQLAlchemyError

from proxy.errors import LedgerError, LedgerReplacedError
from proxy.ledger.bulk import Bulk
from proxy.ledger.engine import WRITE, shown
from proxy.ledger.file import identity, sqlite_file
from proxy.ledger.keys import Keys
from proxy.ledger.local_days import keep_days
from proxy.ledger.partitions import Month, Months
from proxy.ledger.revision import migrate
from proxy.ledger.rollups import Rollups, roll_up
from proxy.ledger.row import COUNTED_BEFORE, counted_before
from proxy.ledger.stored import Batch, stored
from proxy.ledger.tables import (
    CallRow,
    LineRow,
    call_columns,
    call_kinds,
    call_rows,
    calls,
    counted_usage,
    facts_versions,
    journal_positions,
    rows_of,
    usage_lines,
)

_log = logging.getLogger("joulegate.ledger")

IDS_AT_ONCE = 500  # in one question: SQLite's oldest limit of parameters is 999
# What the driver raises because of a value, as opposed to because of the database.
_ROW_ERRORS = (IntegrityError, DataError, OverflowError, ValueError, TypeError)
ROLLED_UP_AT_ONCE = 1000
_NO_PARTITION = "23514"  # PostgreSQL's check_violation; the calls have no other check


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far one segment is done, in bytes: see ``journal_positions``."""

    resolved_to: int
    read_to: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What belongs to a call and is not on its row."""

    lines: tuple[LineRow, ...] = ()
    counted_as: str | None = None  # the name under which the call's usage counts once
    shown_again: bool = False  # the call itself generated nothing: where the usage is counted, it is not its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """What became of the rows given: new ones, and ones the database refused, with its reason."""

    new: tuple[CallRow, ...]
    refused: tuple[tuple[CallRow, str], ...]


class Ledger:
    """The writing side of the ledger; not safe for use by two threads at once. Days of ``zone`` it keeps sums of too.

    Every method raises :class:`LedgerError` when the database is away, having changed nothing, and
    :class:`LedgerReplacedError` when it is not the one that was written to. Then begin again with
    ``prepare`` and ``positions``.
    """

    def __init__(self, engine: Engine, zone: ZoneInfo | None = None) -> None:
        self._engine, self._zone = engine, zone
        dialect = engine.dialect
        self._mark = "?" if dialect.paramstyle == "qmark" else "%s"
        driver: Any = dialect.loaded_dbapi
        self._driver_error: type[Exception] = driver.Error
        self._row_errors = (*_ROW_ERRORS, driver.IntegrityError, driver.DataError)
        self._kinds, self._calls = Keys(call_kinds, dialect), Bulk(call_rows, dialect, stored)
        self._lines = Bulk(usage_lines, dialect)
        self._facts_written: set[str] = set()
        self._file = sqlite_file(engine)
        self._identity: tuple[int, int] | None = None  # of the file, once it is known to be a ledger
        self._months, self._rollups = Months(), Rollups(dialect)
        self._written: dict[str, Position] = {}  # what must be found again at each commit
        self.beside_rows: Callable[[Connection, Sequence[CallRow]], None] | None = None  # what they add up to elsewhere

    def prepare(self) -> None:
        """Bring the tables to this release's revision, making the ledger where there is none."""
        migrate(self._engine)
        self._identity = identity(self._file) if self._file is not None else None
        if self._zone is None:
            return
        with self.transaction() as connection:
            since = keep_days(connection, self._zone, datetime.now(UTC))
        if since is not None:
            _log.info("sums are kept by days of %s too, of calls from %s on", self._zone, since)

    def positions(self, journal: str) -> dict[str, Position]:
        """Give how far each segment of a journal is done."""
        self._facts_written.clear()
        self._months.forget()
        self._rollups.forget()
        self._kinds.forget()
        with self.transaction() as connection:
            self._written = self._positions(connection, journal)
        return dict(self._written)

    def require_same(self) -> None:
        """Look whether the ledger's file is still the one that was prepared; costs next to nothing."""
        if self._identity is not None and self._file is not None and identity(self._file) != self._identity:
            raise self._replaced()

    def known(self, ids: Sequence[str]) -> set[str]:
        """Tell which calls have a row."""
        with self.transaction() as connection:
            return self._known(connection, ids)

    def rows(self, ids: Sequence[str]) -> list[CallRow]:
        """Give the rows of those calls that have one, some hundreds in order at a time."""
        found: list[CallRow] = []
        with self.transaction() as connection:
            for at in range(0, len(ids), IDS_AT_ONCE):
                select = sa.select(*call_columns).where(calls.c.id.in_(ids[at : at + IDS_AT_ONCE])).order_by(calls.c.id)
                found += rows_of(connection.execute(select))
        return found

    def commit(
        self,
        rows: Iterable[CallRow],
        *,
        journal: str,
        positions: Mapping[str, Position],
        at: datetime,
        beside: Mapping[str, Beside] = MappingProxyType({}),
        durable: bool = False,
    ) -> Committed:
        """Write rows and positions, all or nothing; a row whose id is there already changes nothing.

        A row the database will not take is left out and given back. A usage that stands on another row already is
        taken out of its row. ``beside``: what belongs to rows, by their ids. ``at``: the time, for the record
        of when facts were first used. ``durable``: return only when this and all earlier commits would
        survive a power cut, as must be before a journal segment is deleted.
        """
        by_id = {row.id: row for row in rows}
        facts = {row.facts_version for row in by_id.values() if row.facts_version is not None} - self._facts_written
        with self.transaction(durable=durable) as connection:
            self._require_written(connection, journal)
            given = self._counted_once(connection, by_id.values(), beside) if beside else list(by_id.values())
            months = self._ensure_months(connection, given)
            new, refused = self._insert_all(connection, Batch.of(given))
            if beside:
                self._insert_lines(connection, new.rows, beside)
            self._write_facts(connection, facts, at)
            self._write_positions(connection, journal, positions)
            self._rollups.add(connection, new)  # last: other machines may wait for these sums
            if self.beside_rows is not None and new.rows:
                self.beside_rows(connection, new.rows)
        self._rollups.committed()
        if self._kinds.fresh:
            self._kinds.remember(new.keys)
        self._months.remember(months)
        self._facts_written |= facts
        self._written |= positions
        return Committed(new=tuple(new.rows), refused=tuple(refused))

    def roll_up(self, limit: int = ROLLED_UP_AT_ONCE) -> int:
        """Take calls into the sums that another release wrote without; gives how many, 0 when there are none left."""
        with self.transaction() as connection:
            done = roll_up(connection, self._rollups, limit)
        self._rollups.committed()
        return done

    def forget(self, journal: str, segments: Iterable[str]) -> None:
        """Drop the positions of segments that were deleted."""
        gone = list(segments)
        for segment in gone:
            self._written.pop(segment, None)
        with self.transaction() as connection:
            for segment in gone:
                connection.exec_driver_sql(
                    f"DELETE FROM journal_positions WHERE journal = {self._mark} AND segment = {self._mark}",  # noqa: S608
                    (journal, segment),
                )

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[Connection]:
        """Write in one transaction; ``durable``: it survives a power cut when it has ended."""
        self.require_same()
        try:
            with (
                self._engine.connect().execution_options(**{WRITE: True}) as connection,
                _synchronous(connection, durable=durable),
                connection.begin(),
            ):
                yield connection
        except (SQLAlchemyError, self._driver_error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            raise LedgerError(f"the ledger {shown(self._engine.url)} cannot be written to: {cause}") from error

    def _positions(self, connection: Connection, journal: str) -> dict[str, Position]:
        table = journal_positions.c
        query = sa.select(table.segment, table.resolved_to, table.read_to).where(table.journal == journal)
        rows = connection.execute(query)
        return {segment: Position(resolved_to=resolved, read_to=read) for segment, resolved, read in rows}

    def _require_written(self, connection: Connection, journal: str) -> None:
        """Find again what was written before: also a file restored in place has the ledger's name."""
        found = self._positions(connection, journal)
        for segment, written in self._written.items():
            there = found.get(segment)
            # Further on is no doubt: a commit may have come through whose answer did not.
            if there is None or there.read_to < written.read_to or there.resolved_to < written.resolved_to:
                raise self._replaced()

    def _replaced(self) -> LedgerReplacedError:
        return LedgerReplacedError(f"the ledger {shown(self._engine.url)} was deleted or replaced while it was in use")

    def _known(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for at in range(0, len(ids), IDS_AT_ONCE):
            some = tuple(ids[at : at + IDS_AT_ONCE])
            marks = ",".join([self._mark] * len(some))
            found.update(connection.exec_driver_sql(f"SELECT id FROM call_rows WHERE id IN ({marks})", some).scalars())  # noqa: S608
        return found

    def _ensure_months(self, connection: Connection, rows: Sequence[CallRow]) -> set[Month]:
        """Let there be a place for every row; only PostgreSQL keeps its months apart."""
        if self._engine.dialect.name != "postgresql" or not rows:
            return set()
        times = [row.started_at for row in rows]
        ends = min(times), max(times)
        return self._months.ensure(connection, ends if Month.of(ends[0]) == Month.of(ends[1]) else times)

    def _insert_all(self, connection: Connection, batch: Batch) -> tuple[Batch, list[tuple[CallRow, str]]]:
        """Give the calls that were not there, and those which the database refused."""
        if self._written_whole(connection, batch):  # the rule: nothing is read twice and nothing is wrong
            return batch, []
        there = self._known(connection, [row.id for row in batch.rows])
        fresh = Batch.of([row for row in batch.rows if row.id not in there])
        if self._written_whole(connection, fresh):
            return fresh, []
        new: list[CallRow] = []
        refused: list[tuple[CallRow, str]] = []
        for row in fresh.rows:  # one of them is bad: find it, keep the others
            one, savepoint = Batch.of([row]), connection.begin_nested()
            try:
                self._kinds.ensure(connection, one.keys)
                connection.exec_driver_sql(self._calls.insert, self._calls.values(next(one.calls())))
            except _ROW_ERRORS as error:
                savepoint.rollback()
                refused.append((row, f"{type(error).__name__}: {getattr(error, 'orig', None) or error}"))
            else:
                savepoint.commit()
                new.append(row)
        return Batch.of(new), refused

    def _written_whole(self, connection: Connection, batch: Batch) -> bool:
        """Write calls; False with none of them written where some are there already, or are refused."""
        if not batch.rows:
            return True
        savepoint = connection.begin_nested()
        try:
            self._kinds.ensure(connection, batch.keys)
            whole = self._calls.write(connection, batch.calls())
        except self._row_errors as error:
            if getattr(error, "sqlstate", None) == _NO_PARTITION:  # dropped since it was looked at
                self._months.forget()
                raise LedgerError(f"the ledger {shown(self._engine.url)} has no place for a row: {error}") from error
            whole = False
        if whole:
            savepoint.commit()
        else:
            savepoint.rollback()
        return whole

    def _counted_once(
        self, connection: Connection, rows: Iterable[CallRow], beside: Mapping[str, Beside]
    ) -> list[CallRow]:
        """Take the usage out of every row whose usage another row has, which may be one of another machine."""
        insert = self._insert_into(counted_usage)
        find = f"SELECT call_id FROM counted_usage WHERE provider = {self._mark} AND counted_as = {self._mark}"  # noqa: S608
        kept: list[CallRow] = []
        for row in rows:
            name = beside[row.id].counted_as if row.id in beside else None
            if name is not None:
                key = (row.provider or "", name)
                connection.exec_driver_sql(insert, (*key, row.id))
                owner = connection.exec_driver_sql(find, key).scalar_one()
                if owner != row.id and beside[row.id].shown_again:
                    row = counted_before(row)
            kept.append(row)
        return kept

    def _insert_lines(self, connection: Connection, rows: Sequence[CallRow], beside: Mapping[str, Beside]) -> None:
        lines = [
            line for row in rows if row.id in beside and row.reason != COUNTED_BEFORE for line in beside[row.id].lines
        ]
        if lines:
            connection.exec_driver_sql(self._lines.insert, list(map(self._lines.values, lines)))

    def _write_facts(self, connection: Connection, facts: Iterable[str], at: datetime) -> None:
        to_time = facts_versions.c.first_used_at.type.dialect_impl(connection.dialect).bind_processor(
            connection.dialect
        )
        for each in sorted(facts):
            first_used_at = to_time(at) if to_time is not None else at
            connection.exec_driver_sql(self._insert_into(facts_versions), (each, first_used_at, version("joulegate")))

    def _write_positions(self, connection: Connection, journal: str, positions: Mapping[str, Position]) -> None:
        statement = self._insert_into(
            journal_positions,
            on_conflict=(
                "(journal, segment) DO UPDATE SET resolved_to = excluded.resolved_to, read_to = excluded.read_to"
            ),
        )
        for segment, position in sorted(positions.items()):
            connection.exec_driver_sql(statement, (journal, segment, position.resolved_to, position.read_to))

    def _insert_into(self, table: sa.Table, on_conflict: str = "DO NOTHING") -> str:
        quote = self._engine.dialect.identifier_preparer.quote
        columns = ", ".join(quote(column.name) for column in table.columns)
        marks = ", ".join([self._mark] * len(table.columns))
        return f"INSERT INTO {table.name} ({columns}) VALUES ({marks}) ON CONFLICT {on_conflict}"  # noqa: S608


@contextlib.contextmanager
def _synchronous(connection: Connection, *, durable: bool) -> Iterator[None]:
    """Let SQLite's commit wait for the disk, which then has every commit before it too."""
    if connection.dialect.name != "sqlite" or not durable:
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA synchronous=FULL")
    try:
        yield
    finally:
        driver.execute("PRAGMA synchronous=NORMAL")
