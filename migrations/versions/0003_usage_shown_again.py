"""Usage lines beside a call's own, usage counted once however often it is shown, what a request says of its caller."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from proxy.ledger.sqltypes import Json, Usd

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
_FIGURES = (
    "flops", "joules_low", "joules", "joules_high", "it_joules", "grams_co2e_low", "grams_co2e", "grams_co2e_high",
    "embodied_grams_co2e", "market_grams_co2e", "liters",
)  # fmt: skip


def upgrade() -> None:
    op.add_column("calls", sa.Column("attributes", Json))
    op.create_table(
        "usage_lines",
        sa.Column("call_id", sa.Text, nullable=False),
        sa.Column("number", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("model", sa.Text),
        *(sa.Column(name, sa.BigInteger) for name in _TOKENS),
        sa.Column("units", Json),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("estimate_reason", sa.Text),
        *(sa.Column(name, sa.Double) for name in _FIGURES),
        sa.Column("cost_usd", Usd),
        sa.Column("price_id", sa.Text),
        sa.PrimaryKeyConstraint("call_id", "number", name="pk_usage_lines"),
    )
    op.create_table(
        "counted_usage",
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("counted_as", sa.Text, nullable=False),
        sa.Column("call_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("provider", "counted_as", name="pk_counted_usage"),
    )


def downgrade() -> None:
    op.drop_table("counted_usage")
    op.drop_table("usage_lines")
    op.drop_column("calls", "attributes")
