"""Sums also by the days of a time zone that the ledger is told; until it is told one, there are none."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from proxy.ledger.sqltypes import UsdSum

revision = "0018"
down_revision = "0017"
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
_SUMS_BY_LOCAL_DAY = ("calls_by_local_day", "details_by_local_day")


def upgrade() -> None:
    op.create_table(
        "local_days",
        sa.Column("quarter", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("tz", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("quarter", name="pk_local_days"),
    )
    for name in _SUMS_BY_LOCAL_DAY:
        op.create_table(
            name,
            sa.Column("quarter", sa.BigInteger, nullable=False, autoincrement=False),
            sa.Column("key", sa.BigInteger, nullable=False, autoincrement=False),
            sa.Column("calls", sa.BigInteger, nullable=False),
            *(sa.Column(each, sa.BigInteger) for each in _TOKENS),
            *(sa.Column(each, sa.Double) for each in _SUMS),
            sa.Column("cost_usd", UsdSum),
            *(sa.Column(each, sa.BigInteger, nullable=False) for each in _COUNTS),
            *(sa.Column(each, sa.Double) for each in _DEVIATIONS),
            sa.PrimaryKeyConstraint("quarter", "key", name=f"pk_{name}"),
            sqlite_with_rowid=False,
        )


def downgrade() -> None:
    for name in (*_SUMS_BY_LOCAL_DAY, "local_days"):
        op.drop_table(name)
