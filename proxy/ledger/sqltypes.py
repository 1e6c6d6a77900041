"""Column types that mean the same on SQLite and PostgreSQL: UTC times, exact dollars, small JSON."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import sum as sql_sum

USD_DECIMALS = 12  # a price of $0.000001 per million tokens is still exact for one token

Json = sa.JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")


class UtcDateTime(sa.TypeDecorator[datetime]):
    """A point in time: aware in Python, ``timestamptz`` in PostgreSQL, ISO text in UTC in SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone: it would be read as UTC and be hours off."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Usd(sa.TypeDecorator[Decimal]):
    """Dollars, exact to 12 decimals: ``NUMERIC(24, 12)`` in PostgreSQL, decimal text in SQLite.

    SQLite has no exact decimal of its own and its SUM would go through a float, so there ``sum()``
    adds the digits as integers (see the decision record on exact dollars).
    """

    impl = sa.Numeric(24, USD_DECIMALS)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """Store text in SQLite."""
        return dialect.type_descriptor(sa.Text() if dialect.name == "sqlite" else sa.Numeric(24, USD_DECIMALS))

    def process_bind_param(self, value: Decimal | int | None, dialect: Dialect) -> Decimal | str | None:
        """Write all decimals, so that text without its point is the amount in units of the last one."""
        if value is None:
            return None
        return f"{Decimal(value):.{USD_DECIMALS}f}" if dialect.name == "sqlite" else Decimal(value)

    def process_result_value(self, value: Decimal | str | int | None, dialect: Dialect) -> Decimal | None:
        """Read text (a column) or an integer (a sum) of SQLite, a decimal of PostgreSQL."""
        if value is None or isinstance(value, Decimal):
            return value
        return Decimal(value) if isinstance(value, str) else Decimal(value).scaleb(-USD_DECIMALS)


class UsdSum(sa.TypeDecorator[Decimal]):
    """A sum of dollars, exact to 12 decimals: ``NUMERIC(38, 12)`` in PostgreSQL, units of the last one in SQLite."""

    impl = sa.Numeric(38, USD_DECIMALS)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """Store an integer in SQLite."""
        return dialect.type_descriptor(sa.BigInteger() if dialect.name == "sqlite" else sa.Numeric(38, USD_DECIMALS))

    def process_bind_param(self, value: Decimal | int | None, dialect: Dialect) -> Decimal | int | None:
        """Count the units of the last decimal for SQLite."""
        if value is None or dialect.name != "sqlite":
            return None if value is None else Decimal(value)
        return int(Decimal(value).scaleb(USD_DECIMALS))

    def process_result_value(self, value: Decimal | int | None, dialect: Dialect) -> Decimal | None:
        """Read either."""
        return value if value is None or isinstance(value, Decimal) else Decimal(value).scaleb(-USD_DECIMALS)


@compiles(sql_sum, "postgresql")
def _sum_on_postgresql(element: sql_sum[Any], compiler: SQLCompiler, **options: Any) -> str:
    """Keep whole numbers such: of bigints PostgreSQL makes a numeric, which is slow to add up further and to read."""
    summed = compiler.visit_function(element, **options)
    return f"CAST({summed} AS BIGINT)" if isinstance(element.type, sa.Integer) else summed


@compiles(sql_sum, "sqlite")
def _sum_on_sqlite(element: sql_sum[Any], compiler: SQLCompiler, **options: Any) -> str:
    (argument,) = element.clauses
    if isinstance(argument.type, Usd):
        return f"sum(CAST(replace({compiler.process(argument, **options)}, '.', '') AS INTEGER))"
    return compiler.visit_function(element, **options)
