"""What budgets there are, what is used of them, and which machine may use how much of what is left.

Amounts are whole steps of a budget's unit: 10¹² to a dollar, a kilowatt-hour, a gram or a liter; tokens and requests
by the piece.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from proxy.ledger.sqltypes import Json, Usd, UtcDateTime
from proxy.ledger.tables import metadata

_SQLITE_INTEGER_MOST = 2**63 - 1


class Steps(sa.TypeDecorator[int]):
    """A whole number without an end: ``NUMERIC(38, 0)`` in PostgreSQL, an integer in SQLite, beyond 2⁶³ a float."""

    impl = sa.Numeric(38, 0)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> sa.types.TypeEngine[Any]:
        """Store an integer in SQLite."""
        return dialect.type_descriptor(sa.BigInteger() if dialect.name == "sqlite" else sa.Numeric(38, 0))

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | float | Decimal | None:
        """Write it."""
        if value is None:
            return None
        if dialect.name != "sqlite":
            return Decimal(value)
        return value if abs(value) <= _SQLITE_INTEGER_MOST else float(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        """Read it."""
        return None if value is None else int(value)


budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("measure", sa.BigInteger, nullable=False),  # what is counted: a digest of all but limit and mode
    sa.Column("team", sa.Text),
    sa.Column("project", sa.Text),
    sa.Column("user", sa.Text),
    sa.Column("key_id", sa.Text),
    sa.Column("unit", sa.Text, nullable=False),
    sa.Column("amount", Usd, nullable=False),  # the limit, in the unit
    sa.Column("period", sa.Text),  # the window; NULL: of concurrent requests
    sa.Column("tz", sa.Text, nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("thresholds", Json, nullable=False),  # shares of the limit, a list
    sa.Column("managed_by", sa.Text, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("archived_at", UtcDateTime),
    sa.Column("holder", sa.Text),  # of the configuration: the journal directory of the machine whose file says it
    sa.Column("file", sa.Text),  # and that file, by machine and path
)

# One row: the number of the last change of a budget, in the table `changes`.
budget_revision = sa.Table(
    "budget_revision",
    metadata,
    sa.Column("only", sa.SmallInteger, primary_key=True, autoincrement=False),  # 1
    sa.Column("revision", sa.BigInteger, nullable=False),
)

# By bucket of a budget's window, which is named by its first second since the Unix epoch. A bucket that has no row was
# not asked for yet, and is summed up from the calls when it is; bucket 0 says that a rolling window's were.
budget_spent = sa.Table(
    "budget_spent",
    metadata,
    sa.Column("measure", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("bucket", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("amount", Steps, nullable=False),
    sa.Column("unknown_calls", sa.BigInteger, nullable=False),  # whose part nobody knows
)

# How much a machine's calls may use before the ledger knows of it. Used and leased together are no more than the limit.
budget_leases = sa.Table(
    "budget_leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, primary_key=True),  # a journal directory, by its own name
    sa.Column("amount", Steps, nullable=False),
    sa.Column("wanting", sa.Boolean, nullable=False),  # it has calls now
    sa.Column("expires_at", UtcDateTime, nullable=False),
    sa.Column("needed", Steps, nullable=False, server_default="0"),  # with less it refuses calls that it has had lately
)

# Which thresholds were passed, and when that was noticed; of a rolling window at most once a day.
budget_crossings = sa.Table(
    "budget_crossings",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("bucket", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("threshold", sa.Double, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("used", Steps, nullable=False),
)
