"""Deleting the rows of old calls and keeping their sums: in small steps, whole months at once on PostgreSQL.

Each step is a transaction of its own, so it may be broken off at any time, and nobody waits for long. No row goes
that the sums lack. What was decided first is written down first: from then on nothing is asked of those rows.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from proxy.errors import LedgerError
from proxy.ledger.engine import WRITE, shown
from proxy.ledger.partitions import Partition, detached, partitions
from proxy.ledger.tables import call_rows, counted_usage, former_estimates, retention, usage_lines
from proxy.ledger.write import Ledger

ROWS_AT_ONCE = 2000
_LOCK_MS = 5000  # how long the dropping of a month waits for those who read it, before it is left for another time


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is older than ``before``: rows, in whole months and single."""

    before: datetime
    rows: int
    months: tuple[str, ...]  # of PostgreSQL's partitions, which go whole
    rows_in_months: int


def cut(now: datetime, keep_days: int) -> datetime:
    """Give the midnight (UTC) before which rows go, so that at least so many days are kept."""
    day = now.astimezone(UTC) - timedelta(days=keep_days)
    return day.replace(hour=0, minute=0, second=0, microsecond=0)


def rows_from(connection: Connection) -> datetime | None:
    """Give from when on the rows of calls are kept; ``None`` where all of them are."""
    found: datetime | None = connection.scalar(sa.select(sa.func.max(retention.c.rows_from)))
    return found


def plan(engine: Engine, before: datetime) -> Plan:
    """Say what would be deleted; raises :class:`LedgerError`."""
    with _said(engine), engine.connect() as connection:
        whole = _whole_months(connection, before)
        old = sa.select(sa.func.count()).select_from(call_rows).where(call_rows.c.started_at < before)
        rows = connection.scalar(old) or 0
        inside = sum(connection.scalar(sa.text(f"SELECT count(*) FROM {each.table}")) or 0 for each in whole)  # noqa: S608
    return Plan(before=before, rows=rows, months=tuple(each.table for each in whole), rows_in_months=inside)


def delete(
    engine: Engine, before: datetime, *, now: datetime, rest: Callable[[float], object] = time.sleep
) -> Iterator[int]:
    """Delete the rows of calls started before ``before``; gives how many went at each step.

    After each step it rests for as long as that took, so that others get their turn. Raises :class:`LedgerError`.
    """
    with _said(engine):
        with _writing(engine) as connection:
            if (rows_from(connection) or datetime.min.replace(tzinfo=UTC)) < before:
                connection.execute(sa.insert(retention).values(rows_from=before, at=now))
        ledger = Ledger(engine)
        while ledger.roll_up():
            pass
        yield from _months(engine, before)
        while True:
            began = time.monotonic()
            with _writing(engine) as connection:
                done = _delete_some(connection, before)
            if not done:
                return
            yield done
            rest(time.monotonic() - began)


def _whole_months(connection: Connection, before: datetime) -> list[Partition]:
    if connection.dialect.name != "postgresql":
        return []
    return [each for each in partitions(connection) if each.end <= before]


def _months(engine: Engine, before: datetime) -> Iterator[int]:
    """Drop the months that are old as a whole; gives how many rows each had."""
    if engine.dialect.name != "postgresql":
        return
    with engine.connect() as connection:
        left, whole = detached(connection), _whole_months(connection, before)
    for table in left:
        yield _drop(engine, table)
    for month in whole:
        if _detach(engine, month):
            yield _drop(engine, month.table)


def _detach(engine: Engine, month: Partition) -> bool:
    """Take a month out without a lock that stops readers or writers; False where a row in it lacks its sums."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        run = connection.exec_driver_sql
        run(f"SET lock_timeout = {_LOCK_MS}")
        try:
            if run(f"SELECT 1 FROM {month.table} WHERE NOT rolled_up LIMIT 1").scalar() is not None:  # noqa: S608
                return False  # written by a release without sums since they were made; the next time
            way = "FINALIZE" if month.leaving else "CONCURRENTLY"
            run(f"ALTER TABLE call_rows DETACH PARTITION {month.table} {way}")
        finally:
            run("RESET lock_timeout")
    return True


def _drop(engine: Engine, table: str) -> int:
    """Drop a month that was taken out, with what belongs to its calls; gives how many rows it had."""
    with _writing(engine) as connection:
        run = connection.exec_driver_sql
        for beside in (usage_lines, counted_usage, former_estimates):
            run(f"DELETE FROM {beside.name} USING {table} WHERE {beside.name}.call_id = {table}.id")  # noqa: S608
        rows = run(f"SELECT count(*) FROM {table}").scalar()  # noqa: S608
        run(f"DROP TABLE {table}")
    return rows or 0


def _delete_some(connection: Connection, before: datetime) -> int:
    old = (
        sa.select(call_rows.c.id, call_rows.c.started_at)
        .where(call_rows.c.started_at < before, call_rows.c.rolled_up)
        .order_by(call_rows.c.started_at)
        .limit(ROWS_AT_ONCE)
    )
    found = connection.execute(old).all()
    if not found:
        return 0
    ids = [row.id for row in found]
    for start in range(0, len(ids), 500):
        some = ids[start : start + 500]
        connection.execute(sa.delete(usage_lines).where(usage_lines.c.call_id.in_(some)))
        connection.execute(sa.delete(counted_usage).where(counted_usage.c.call_id.in_(some)))
        connection.execute(sa.delete(former_estimates).where(former_estimates.c.call_id.in_(some)))
        within = call_rows.c.started_at.between(found[0].started_at, found[-1].started_at)
        connection.execute(sa.delete(call_rows).where(call_rows.c.id.in_(some), within))
    return len(found)


@contextlib.contextmanager
def _writing(engine: Engine) -> Iterator[Connection]:
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        yield connection


@contextlib.contextmanager
def _said(engine: Engine) -> Iterator[None]:
    try:
        yield
    except SQLAlchemyError as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise LedgerError(f"old rows of the ledger {shown(engine.url)} cannot be deleted: {cause}") from error
