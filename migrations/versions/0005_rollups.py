"""Sums of calls by quarter of an hour and by day, for reports; which calls are in them.

What is there already is taken into the sums by the recorder, in small steps: until then reports read it from its rows.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from proxy.ledger.sqltypes import UsdSum

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_KEYS = {
    "model_keys": ("team", "provider", "model", "estimate_key"),
    "detail_keys": (
        "team", "project", "user", "key_id", "provider", "model", "model_requested", "surface", "outcome",
        "usage_source", "service_tier", "tier", "zone", "grid_source", "estimate_key",
    ),
}  # fmt: skip
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


def upgrade() -> None:
    op.add_column("calls", sa.Column("rolled_up", sa.Boolean, nullable=False, server_default=sa.false()))
    where = sa.text("NOT rolled_up")
    op.create_index("ix_calls_not_rolled_up", "calls", ["started_at"], sqlite_where=where, postgresql_where=where)
    for name, dimensions in _KEYS.items():
        op.create_table(
            name,
            sa.Column("key", sa.BigInteger, nullable=False, autoincrement=False),
            *(sa.Column(each, sa.Text) for each in dimensions),
            sa.PrimaryKeyConstraint("key", name=f"pk_{name}"),
        )
    for name, time in (("calls_by_quarter", "quarter"), ("calls_by_day", "day"), ("details_by_day", "day")):
        op.create_table(
            name,
            sa.Column(time, sa.BigInteger, nullable=False, autoincrement=False),
            sa.Column("key", sa.BigInteger, nullable=False, autoincrement=False),
            sa.Column("calls", sa.BigInteger, nullable=False),
            *(sa.Column(each, sa.BigInteger) for each in _TOKENS),
            *(sa.Column(each, sa.Double) for each in _SUMS),
            sa.Column("cost_usd", UsdSum),
            *(sa.Column(each, sa.BigInteger, nullable=False) for each in _COUNTS),
            *(sa.Column(each, sa.Double) for each in _DEVIATIONS),
            sa.PrimaryKeyConstraint(time, "key", name=f"pk_{name}"),
            sqlite_with_rowid=False,
        )


def downgrade() -> None:
    for name in ("details_by_day", "calls_by_day", "calls_by_quarter", *reversed(_KEYS)):
        op.drop_table(name)
    op.drop_index("ix_calls_not_rolled_up", "calls")
    op.drop_column("calls", "rolled_up")
