"""Many rows at once, by the shortest way each database has: executemany into SQLite, COPY into PostgreSQL.

Both go past SQLAlchemy's types: measured at a third of the time that its Core takes with dictionaries.
"""

from __future__ import annotations

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
_to_json = msgspec.json.Encoder().encode


class Bulk:
    """Writes rows of one table, given as structs whose fields are its columns in order; ``more`` are those behind."""

    def __init__(self, table: sa.Table, dialect: Dialect, more: Values = ()) -> None:
        self._more = more
        quote = dialect.identifier_preparer.quote
        self._sqlite = dialect.name == "sqlite"
        self._columns = ", ".join(quote(column.name) for column in table.columns)
        marks = ", ".join(["?" if self._sqlite else "%s"] * len(table.columns))
        self.insert = f"INSERT INTO {table.name} ({self._columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
        self._copy = f"COPY {table.name} ({self._columns}) FROM STDIN"
        self._converters = [
            (index, convert)
            for index, column in enumerate(table.columns)
            if (convert := _converter(column.type, sqlite=self._sqlite)) is not None
        ]

    def values(self, row: msgspec.Struct) -> Values:
        """Give a row as the driver takes it."""
        values = list(msgspec.structs.astuple(row))
        for index, convert in self._converters:
            if values[index] is not None:
                values[index] = convert(values[index])
        return (*values, *self._more)

    def write(self, connection: Connection, rows: Iterable[msgspec.Struct]) -> bool:
        """Write rows; False where some were there already, and then the caller must roll back: some may be written.

        Raises what the driver raises, which is not always a ``SQLAlchemyError``.
        """
        values = list(map(self.values, rows))
        if self._sqlite:
            return connection.exec_driver_sql(self.insert, values).rowcount == len(values)
        return self._copied(connection, values)

    def _copied(self, connection: Connection, values: Sequence[Values]) -> bool:
        from psycopg.errors import UniqueViolation  # only where PostgreSQL is used is it installed

        cursor: Any = connection.connection.cursor()
        try:
            with cursor.copy(self._copy) as copy:
                for each in values:
                    copy.write_row(each)
        except UniqueViolation:
            return False
        finally:
            cursor.close()
        return True


class BulkUpdate:
    """Changes columns of rows of one table that are found by others, given as structs with these names.

    ``same`` names a column that one value is written to in all rows, which no struct has.
    """

    def __init__(
        self, table: sa.Table, columns: Sequence[str], where: Sequence[str], dialect: Dialect, same: str | None = None
    ) -> None:
        quote = dialect.identifier_preparer.quote
        sqlite = dialect.name == "sqlite"
        mark = "?" if sqlite else "%s"
        changes = ", ".join(f"{quote(name)} = {mark}" for name in ((same, *columns) if same else columns))
        found = " AND ".join(f"{quote(name)} = {mark}" for name in where)
        self._update = f"UPDATE {table.name} SET {changes} WHERE {found}"  # noqa: S608
        names = (*columns, *where)
        self._values = attrgetter(*names)
        self._converters = [
            (index, convert)
            for index, name in enumerate(names)
            if (convert := _converter(table.c[name].type, sqlite=sqlite)) is not None
        ]

    def write(self, connection: Connection, rows: Iterable[object], *same: object) -> None:
        """Change rows; ``same`` is the value for the column of that name, where there is one."""
        written = [(*same, *self._converted(row)) for row in rows]
        if written:
            connection.exec_driver_sql(self._update, written)

    def _converted(self, row: object) -> list[Any]:
        values = list(self._values(row))
        for index, convert in self._converters:
            if values[index] is not None:
                values[index] = convert(values[index])
        return values


def _converter(kind: sa.types.TypeEngine[Any], *, sqlite: bool) -> Callable[[Any], Any] | None:
    """Give what turns a value that is not NULL into the driver's; None where it takes it as it is."""
    if isinstance(kind, UtcDateTime):
        return _utc_text if sqlite else None
    if isinstance(kind, Usd):
        return _dollars_text if sqlite else None
    if isinstance(kind, sa.JSON):
        return lambda value: _to_json(value).decode()
    return None


def _utc_text(value: datetime) -> str:
    if value.tzinfo is None:
        raise ValueError(f"{value!r} has no time zone")
    utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    return utc.isoformat(" ", "microseconds")[:26]  # without its +00:00


def _dollars_text(value: Decimal) -> str:
    return f"{value:.{USD_DECIMALS}f}"
