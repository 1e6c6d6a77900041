"""The mirror's side: its tables in ClickHouse, reached through SQLAlchemy like any other database.

Copies of one row stand in ``calls_copied`` until ClickHouse merges them; the view ``calls`` shows the last one only.
It has the ledger's columns, so what is asked of a ledger's calls can be asked of a mirror's.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from proxy.errors import LedgerError
from proxy.ledger.engine import shown
from proxy.ledger.paging import CALLS, LINES, Row
from proxy.ledger.sqltypes import USD_DECIMALS, Usd, UtcDateTime
from proxy.ledger.tables import call_columns, calls, usage_lines

DIALECT = "clickhousedb"
FORM = "clickhousedb://user:password@host:8123/database"
INSTALL = 'install its client with: pip install "joulegate[clickhouse]"'
_TYPES: tuple[tuple[type[sa.types.TypeEngine[Any]], str], ...] = (
    (sa.SmallInteger, "Int16"),
    (sa.BigInteger, "Int64"),
    (sa.Boolean, "Bool"),
    (sa.Double, "Float64"),
    (Usd, f"Decimal(24, {USD_DECIMALS})"),
    (UtcDateTime, "DateTime64(6, 'UTC')"),
    (sa.Text, "String"),
    (sa.JSON, "String"),
)
_CODEC = "CODEC(ZSTD(1))"  # a quarter smaller than ClickHouse's own choice, LZ4: ids and figures are most of a row
_FEW_VALUES = frozenset(
    (
        *("team", "project", "key_id", "provider", "surface", "model_requested", "model", "outcome", "reason"),
        *("usage_source", "service_tier", "facts_version", "method", "tier", "estimate_reason", "zone", "price_id"),
        *("grid_source", "estimate_key", "kind"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copied:
    """One table of the mirror; ``order`` names a row: two of the same are copies of one."""

    table: str
    columns: tuple[str, ...]
    types: tuple[str, ...]
    order: str

    @property
    def ddl(self) -> Iterator[str]:
        """Make the table and its view; columns of later releases are added to a table that is there."""
        columns = [f"`{name}` {kind}" for name, kind in zip(self.columns, self.types, strict=True)]
        yield (
            f"CREATE TABLE IF NOT EXISTS {self.table}_copied ({', '.join(columns)}, copy UInt64)"
            f" ENGINE = ReplacingMergeTree(copy) PARTITION BY toYYYYMM(started_at) ORDER BY ({self.order})"
        )
        yield f"ALTER TABLE {self.table}_copied {', '.join(f'ADD COLUMN IF NOT EXISTS {each}' for each in columns)}"
        names = ", ".join(f"`{name}`" for name in self.columns)
        yield f"CREATE OR REPLACE VIEW {self.table} AS SELECT {names} FROM {self.table}_copied FINAL"  # noqa: S608

    @property
    def insert(self) -> str:
        """The driver takes rows of an insert without marks in its own, columnar format."""
        return f"INSERT INTO {self.table}_copied ({', '.join(f'`{name}`' for name in self.columns)}, copy) VALUES"


def _type(column: sa.Column[Any]) -> str:
    name = next(written for kind, written in _TYPES if isinstance(column.type, kind))
    name = f"Nullable({name})" if column.nullable else name
    return f"{f'LowCardinality({name})' if column.name in _FEW_VALUES else name} {_CODEC}"


_CALLS = _Copied(table="calls", columns=CALLS, types=tuple(map(_type, call_columns)), order="started_at, id")
_LINES = _Copied(
    table="usage_lines",
    columns=LINES,
    types=(*map(_type, usage_lines.columns), _type(calls.c.started_at)),
    order="started_at, call_id, number",
)
_NAME_TABLE = (
    "CREATE TABLE IF NOT EXISTS mirror_name (name String, made DateTime64(6)) ENGINE = MergeTree ORDER BY made"
)


def is_mirror(url: str) -> bool:
    """Tell whether a URL names a database of this kind."""
    return url.partition(":")[0].partition("+")[0] == DIALECT


def open_mirror(url: str) -> Engine:
    """Make an engine for ``url``; raises :class:`LedgerError` when the URL cannot be used. Nothing is connected yet."""
    if not is_mirror(url):
        raise LedgerError(f"{shown(url)} is no mirror: say {FORM}")
    try:
        return sa.create_engine(url)
    except ImportError as error:
        raise LedgerError(f"the mirror {shown(url)} cannot be used ({error}); {INSTALL}") from error
    except SQLAlchemyError as error:
        raise LedgerError(f"the mirror {shown(url)} cannot be used: {error}; say {FORM}") from error
    except ValueError as error:  # a port that is no number; the message may quote a password
        raise LedgerError(f"the mirror's URL cannot be read; say {FORM}") from error


class ClickHouse:
    """Where rows are copied to. Every method raises :class:`LedgerError` when the database is away."""

    def __init__(self, engine: Engine, new_name: Callable[[], str] = lambda: str(uuid.uuid4())) -> None:
        driver: Any = engine.dialect.loaded_dbapi
        self._driver_error: type[Exception] = driver.Error
        self._engine = engine
        self._new_name = new_name

    def prepare(self) -> str:
        """Make or extend the tables; gives the mirror's name, which is another one once they were dropped."""
        with self._connection() as connection:
            for statement in (_NAME_TABLE, *_CALLS.ddl, *_LINES.ddl):
                connection.exec_driver_sql(statement)
            earliest = sa.text("SELECT name FROM mirror_name ORDER BY made, name LIMIT 1")
            name = connection.scalar(earliest)
            if name is None:
                connection.exec_driver_sql(f"INSERT INTO mirror_name SELECT '{self._new_name()}', now64(6)")
                name = connection.scalar(earliest)
        return str(name)

    def write(self, rows: Sequence[Row], lines: Sequence[Row], copy: int) -> None:
        """Add rows of ``calls`` and ``usage_lines``; what is there with a smaller number gives way to them."""
        with self._connection() as connection:
            cursor = connection.connection.cursor()
            for table, some in ((_CALLS, rows), (_LINES, lines)):
                if some:  # SQLAlchemy would make a list of one row the parameters of a statement without marks
                    cursor.executemany(table.insert, [(*row, copy) for row in some])
            cursor.close()

    @contextlib.contextmanager
    def _connection(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except (SQLAlchemyError, self._driver_error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            raise LedgerError(f"the mirror {shown(self._engine.url)} cannot be used: {cause}") from error
