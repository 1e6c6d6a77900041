"""Opening the ledger's database."""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry

from proxy.errors import LedgerError
from proxy.ledger.file import sqlite_file, watch

WRITE = "joulegate_write"  # execution option: the transaction will write, so SQLite locks at its start
BUSY_MS = 10_000
_SERVER_ANSWERS = {  # libpq's words; what the URL says of them holds
    "connect_timeout": 10,  # seconds
    "tcp_user_timeout": 30_000,  # milliseconds: a server that vanished is noticed, not waited for
    "application_name": "joulegate",
}


def open_engine(url: str) -> Engine:
    """Make an engine for ``url``; raises :class:`LedgerError` when the URL cannot be used.

    SQLite: WAL, so that reports read while the recorder writes; ``synchronous=NORMAL``, because
    after a power cut the journal writes the last rows again. No connection is made yet, and no file
    by any: that is for a migration (see :mod:`proxy.ledger.file`). PostgreSQL: a connection is tried before
    it is used, so that who reads does not notice a failover.
    """
    try:
        options = _server_options(sa.make_url(url))
        engine = sa.create_engine(url, json_serializer=_to_json, json_deserializer=msgspec.json.decode, **options)
        file = sqlite_file(engine)
    except (SQLAlchemyError, ImportError) as error:
        raise LedgerError(f"the database URL {shown(url)} cannot be used: {error}") from error
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    if file is not None:
        watch(engine, file)
    return engine


def shown(url: str | sa.URL) -> str:
    """Give a database URL as it may be shown: without its password."""
    try:
        return sa.make_url(url).render_as_string(hide_password=True)
    except (SQLAlchemyError, ValueError):  # the latter for a port that is no number
        return "(not shown: it may hold a password)"


def _server_options(url: sa.URL) -> dict[str, Any]:
    if url.get_driver_name() != "psycopg":
        return {}
    said = {name: value for name, value in _SERVER_ANSWERS.items() if name not in url.query}
    return {"pool_pre_ping": True, "connect_args": said}


def _to_json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _set_up_sqlite(connection: sqlite3.Connection, _: ConnectionPoolEntry) -> None:
    # Transactions are begun by _begin_sqlite: the module's own way begins them late and not around DDL.
    connection.isolation_level = None
    for pragma in (
        f"busy_timeout={BUSY_MS}",
        "journal_mode=WAL",
        "synchronous=NORMAL",
        "foreign_keys=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get(WRITE) else "BEGIN")
