"""Sums of calls by hour: days of zones off UTC are put together from them, and from quarters where an hour is cut."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from proxy.ledger.sqltypes import UsdSum

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")
_SUMS = ("flops", "joules", "grams_co2e", "embodied_grams_co2e", "market_grams_co2e", "liters")
_COUNTS = (
    "unpriced_calls", "energy_unknown_calls", "carbon_unknown_calls", "water_unknown_calls",
    "reported_calls", "counted_calls", "inferred_calls", "absent_calls",
)  # fmt: skip
_DEVIATIONS = (
    "joules_shared_down", "joules_shared_up", "joules_own_down", "joules_own_up",
    "grams_co2e_shared_down", "grams_co2e_shared_up", "grams_co2e_own_down", "grams_co2e_own_up",
)  # fmt: skip


_FIGURES = ("calls", *_TOKENS, *_SUMS, "cost_usd", *_COUNTS, *_DEVIATIONS)
_QUARTERS_AN_HOUR = 4


def upgrade() -> None:
    op.create_table(
        "calls_by_hour",
        sa.Column("hour", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("key", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        *(sa.Column(each, sa.BigInteger) for each in _TOKENS),
        *(sa.Column(each, sa.Double) for each in _SUMS),
        sa.Column("cost_usd", UsdSum),
        *(sa.Column(each, sa.BigInteger, nullable=False) for each in _COUNTS),
        *(sa.Column(each, sa.Double) for each in _DEVIATIONS),
        sa.PrimaryKeyConstraint("hour", "key", name="pk_calls_by_hour"),
        sqlite_with_rowid=False,
    )
    hour = f"quarter / {_QUARTERS_AN_HOUR}"
    op.get_bind().exec_driver_sql(
        f"INSERT INTO calls_by_hour (hour, key, {', '.join(_FIGURES)})"  # noqa: S608
        f" SELECT {hour}, key, {', '.join(f'sum({name})' for name in _FIGURES)} FROM calls_by_quarter"
        f" GROUP BY {hour}, key"
    )


def downgrade() -> None:
    op.drop_table("calls_by_hour")
