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
Converters = list[tuple[int, Callable[[Any], Any]]]
_to_json = msgspec.json.Encoder().encode


class Bulk:
    """Writes rows of one table; ``values`` gives those of a row, in the order of the columns."""

    def __init__(
        self, table: sa.Table, dialect: Dialect, values: Callable[[Any], Sequence[Any]] = msgspec.structs.astuple
    ) -> None:
        quote = dialect.identifier_preparer.quote
        self._sqlite = dialect.name == "sqlite"
        self._values = values
        columns = ", ".join(quote(column.name) for column in table.columns)
        marks = ", ".join(["?" if self._sqlite else "%s"] * len(table.columns))
        self.insert = f"INSERT INTO {table.name} ({columns}) VALUES ({marks}) ON CONFLICT DO NOTHING"  # noqa: S608
        self._copy = f"COPY {table.name} ({columns}) FROM STDIN"
        self._converters = _converters_of(table.columns, sqlite=self._sqlite)

    def values(self, row: object) -> Values:
        """Give a row as the driver takes it."""
        return tuple(_converted(list(self._values(row)), self._converters))

    def write(self, connection: Connection, rows: Iterable[object]) -> bool:
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
        self._converters = _converters_of([table.c[name] for name in names], sqlite=sqlite)

    def write(self, connection: Connection, rows: Iterable[object], *same: object) -> None:
        """Change rows; ``same`` is the value for the column of that name, where there is one."""
        written = [(*same, *_converted(list(self._values(row)), self._converters)) for row in rows]
        if written:
            connection.exec_driver_sql(self._update, written)


def _converters_of(columns: Iterable[sa.Column[Any]], *, sqlite: bool) -> Converters:
    """Give what must be done to values of some of the columns, and the places of these."""
    found = ((index, _converter(column.type, sqlite=sqlite)) for index, column in enumerate(columns))
    return [(index, convert) for index, convert in found if convert is not None]


def _converted(values: list[Any], converters: Converters) -> list[Any]:
    """Turn the values of a row into the driver's, in place."""
    for index, convert in converters:
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
