"""Stored calls can be estimated anew: generations of estimates, what stood there before, and what an estimate needs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from proxy.ledger.sqltypes import Usd, UtcDateTime

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_COLUMNS = {"summed_calls": sa.BigInteger, "region": sa.Text, "generation": sa.BigInteger}
_FIGURES = (
    "flops", "joules_low", "joules", "joules_high", "it_joules", "grams_co2e_low", "grams_co2e", "grams_co2e_high",
    "embodied_grams_co2e", "market_grams_co2e", "liters",
)  # fmt: skip
_DEVIATIONS = ("joules_shared_down", "joules_shared_up", "grams_co2e_shared_down", "grams_co2e_shared_up")


def upgrade() -> None:
    for name, kind in _COLUMNS.items():
        op.add_column("calls", sa.Column(name, kind))
    op.add_column("usage_lines", sa.Column("summed_calls", sa.BigInteger))
    op.create_table(
        "estimate_generations",
        sa.Column("generation", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("calls_from", UtcDateTime, nullable=False),
        sa.Column("calls_to", UtcDateTime, nullable=False),
        sa.Column("facts_version", sa.Text, nullable=False),
        sa.Column("settings", sa.Text, nullable=False),
        sa.Column("began_at", UtcDateTime, nullable=False),
        sa.Column("ended_at", UtcDateTime),
        sa.Column("finished", sa.Boolean, nullable=False),
        sa.Column("done_to", UtcDateTime),
        sa.Column("done_to_id", sa.Text),
        sa.Column("looked_at", sa.BigInteger, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("generation", name="pk_estimate_generations"),
    )
    op.create_table(
        "former_estimates",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("number", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("generation", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("facts_version", sa.Text),
        sa.Column("method", sa.Text),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("estimate_reason", sa.Text),
        sa.Column("zone", sa.Text),
        *(sa.Column(name, sa.Double) for name in _FIGURES),
        sa.Column("cost_usd", Usd),
        sa.Column("price_id", sa.Text),
        sa.Column("grid_source", sa.Text),
        sa.Column("estimate_key", sa.Text),
        *(sa.Column(name, sa.Double) for name in _DEVIATIONS),
        sa.PrimaryKeyConstraint("call_id", "number", "generation", name="pk_former_estimates"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("former_estimates")
    op.drop_table("estimate_generations")
    op.drop_column("usage_lines", "summed_calls")
    for name in _COLUMNS:
        op.drop_column("calls", name)
