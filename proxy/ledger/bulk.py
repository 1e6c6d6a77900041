"""Many rows at once, by the shortest way each database has: executemany into SQLite, binary COPY into PostgreSQL.

Both go past SQLAlchemy's types: measured at a third of the time that its Core takes with dictionaries. COPY of text
takes four times the processor time of binary, most of it for floats that are written out and read again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Dialect

from proxy.ledger.sqltypes import USD_DECIMALS, Usd, UtcDateTime

Values = tuple[Any, ...]
Converter = Callable[[Any], Any] | None
Converters = list[tuple[int, Callable[[Any], Any]]]

_to_json = msgspec.json.Encoder().encode
_JSONB_VERSION = b"\x01"  # what PostgreSQL's binary form of it begins with; then comes the text
_SMALL = 2**15
_BINARY = (
    (UtcDateTime, "timestamptz"),
    (Usd, "numeric"),
    (sa.JSON, "bytea"),  # as it is, see _binary_json
    (sa.Boolean, "bool"),
    (sa.SmallInteger, "int2"),
    (sa.BigInteger, "int8"),
    (sa.Double, "float8"),
    (sa.Text, "text"),
)


class Bulk:
    """Writes rows of one table; ``values`` gives those of a row, in the order of the columns."""

    def __init__(
        self, table: sa.Table, dialect: Dialect, values: Callable[[Any], Sequence[Any]] = msgspec.structs.astuple
    ) -> None:
        self._sqlite = dialect.name == "sqlite"
        self._table, self._values = table.name, values
        self._names = [dialect.identifier_preparer.quote(column.name) for column in table.columns]
        self._optional = {place for place, column in enumerate(table.columns) if column.nullable}
        self.insert = self._insert_of(self._names)
        self._copy = f"COPY {table.name} ({', '.join(self._names)}) FROM STDIN (FORMAT BINARY)"
        self._converters = _converters(table.columns, _to_sqlite if self._sqlite else _to_postgresql)
        self._binary = [] if self._sqlite else [_in_binary(column.type) for column in table.columns]
        self._binary_converters = _converters(table.columns, _to_binary)

    def values(self, row: object) -> Values:
        """Give a row as the driver takes it in a statement."""
        return tuple(_converted(list(self._values(row)), self._converters))

    def write(self, connection: Connection, rows: Iterable[object]) -> bool:
        """Write rows; False where some were there already, and then the caller must roll back: some may be written.

        Raises what the driver raises, which is not always a ``SQLAlchemyError``.
        """
        with contextlib.closing(connection.connection.cursor()) as cursor:
            return self._inserted(cursor, rows) if self._sqlite else self._copied(cursor, rows)

    def _insert_of(self, names: Sequence[str]) -> str:
        marks = ", ".join(["?" if self._sqlite else "%s"] * len(names))
        return f"INSERT INTO {self._table} ({', '.join(names)}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608

    def _inserted(self, cursor: Any, rows: Iterable[object]) -> bool:
        """Insert column by column: those in which no row has anything are left out, for a NULL takes Python longest."""
        columns: list[Sequence[Any]] = list(zip(*map(self._values, rows), strict=True))
        if not columns:
            return True
        for place, convert in self._converters:
            columns[place] = [None if value is None else convert(value) for value in columns[place]]
        count = len(columns[0])
        kept = [
            place
            for place, column in enumerate(columns)
            if any(column) or place not in self._optional or column.count(None) < count
        ]
        values = zip(*(columns[place] for place in kept), strict=True)
        cursor.executemany(self._insert_of([self._names[place] for place in kept]), values)
        return bool(cursor.rowcount == count)

    def _copied(self, cursor: Any, rows: Iterable[object]) -> bool:
        from psycopg.errors import UniqueViolation  # only where PostgreSQL is used is it installed

        try:
            with cursor.copy(self._copy) as copy:
                copy.set_types(self._binary)
                for row in rows:
                    copy.write_row(_converted(list(self._values(row)), self._binary_converters))
        except UniqueViolation:
            return False
        return True


class BulkUpdate:
    """Changes columns of rows of one table that are found by others; ``values`` gives the new ones and those to find.

    ``same`` names a column that one value is written to in all rows.
    """

    def __init__(
        self,
        table: sa.Table,
        columns: Sequence[str],
        where: Sequence[str],
        dialect: Dialect,
        same: str | None = None,
        values: Callable[[Any], Sequence[Any]] | None = None,
    ) -> None:
        quote = dialect.identifier_preparer.quote
        sqlite = dialect.name == "sqlite"
        mark = "?" if sqlite else "%s"
        changes = ", ".join(f"{quote(name)} = {mark}" for name in ((same, *columns) if same else columns))
        found = " AND ".join(f"{quote(name)} = {mark}" for name in where)
        self._update = f"UPDATE {table.name} SET {changes} WHERE {found}"  # noqa: S608
        names = (*columns, *where)
        self._values = values or attrgetter(*names)
        self._converters = _converters([table.c[name] for name in names], _to_sqlite if sqlite else _to_postgresql)

    def write(self, connection: Connection, rows: Iterable[object], *same: object) -> None:
        """Change rows; ``same`` is the value for the column of that name, where there is one."""
        written = [(*same, *_converted(list(self._values(row)), self._converters)) for row in rows]
        if written:
            connection.exec_driver_sql(self._update, written)


def _converters(columns: Iterable[sa.Column[Any]], of: Callable[[sa.types.TypeEngine[Any]], Converter]) -> Converters:
    """Give what must be done to values of some of the columns, and the places of these."""
    found = ((index, of(column.type)) for index, column in enumerate(columns))
    return [(index, convert) for index, convert in found if convert is not None]


def _converted(values: list[Any], converters: Converters) -> list[Any]:
    """Turn the values of a row into the driver's, in place."""
    for index, convert in converters:
        if values[index] is not None:
            values[index] = convert(values[index])
    return values


def _to_sqlite(kind: sa.types.TypeEngine[Any]) -> Converter:
    """Give what turns a value that is not NULL into SQLite's; None where it takes it as it is."""
    if isinstance(kind, UtcDateTime):
        return _utc_text
    if isinstance(kind, Usd):
        return _dollars_text
    if isinstance(kind, sa.Boolean):
        return int  # which needs no adapter to be looked for
    return _json_text if isinstance(kind, sa.JSON) else None


def _to_postgresql(kind: sa.types.TypeEngine[Any]) -> Converter:
    """Give what turns a value into what PostgreSQL takes in a statement."""
    return _json_text if isinstance(kind, sa.JSON) else None


def _to_binary(kind: sa.types.TypeEngine[Any]) -> Converter:
    """Give what turns a value into what is left to write as the type that :func:`_in_binary` names."""
    if isinstance(kind, sa.SmallInteger):
        return _small
    return _binary_json if isinstance(kind, sa.JSON) else None


def _in_binary(kind: sa.types.TypeEngine[Any]) -> str:
    """Name the type of PostgreSQL in whose form a column's values are written; no cast helps in a binary COPY."""
    return next(name for type_, name in _BINARY if isinstance(kind, type_))


def _json_text(value: object) -> str:
    return _to_json(value).decode()


def _binary_json(value: object) -> bytes:
    return _JSONB_VERSION + _to_json(value)


def _small(value: int) -> int:
    """Refuse what 16 bits do not hold: the driver would write the lower ones."""
    if not -_SMALL <= value < _SMALL:
        raise OverflowError(f"{value} is out of the range of a small integer")
    return value


def _utc_text(value: datetime) -> str:
    if value.tzinfo is not UTC:
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        value = value.astimezone(UTC)
    return value.isoformat(" ", "microseconds")[:26]  # without its +00:00


def _dollars_text(value: Decimal) -> str:
    return f"{value:.{USD_DECIMALS}f}"
