"""The first tables: calls, which facts they were estimated with, how far the journals were read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Spelled out here, not imported: a revision must stay as it was when the code moves on.
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
USD = sa.Numeric(24, 12).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("operation_id", sa.Text, nullable=False),
        sa.Column("attempt", sa.SmallInteger, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("team", sa.Text),
        sa.Column("project", sa.Text),
        sa.Column("user", sa.Text),
        sa.Column("key_id", sa.Text),
        sa.Column("tags", JSON),
        sa.Column("provider", sa.Text),
        sa.Column("surface", sa.Text, nullable=False),
        sa.Column("model_requested", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("stream", sa.Boolean, nullable=False),
        sa.Column("status", sa.SmallInteger),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("provider_request_id", sa.Text),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("cached_input_tokens", sa.BigInteger),
        sa.Column("cache_write_tokens", sa.BigInteger),
        sa.Column("audio_input_tokens", sa.BigInteger),
        sa.Column("image_input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("reasoning_tokens", sa.BigInteger),
        sa.Column("audio_output_tokens", sa.BigInteger),
        sa.Column("image_output_tokens", sa.BigInteger),
        sa.Column("units", JSON),
        sa.Column("usage_source", sa.Text, nullable=False),
        sa.Column("flags", JSON),
        sa.Column("latency_ms", sa.BigInteger),
        sa.Column("time_to_first_token_ms", sa.BigInteger),
        sa.Column("overhead_us", sa.BigInteger),
        sa.Column("request_bytes", sa.BigInteger),
        sa.Column("response_bytes", sa.BigInteger),
        sa.Column("service_tier", sa.Text),
        sa.Column("facts_version", sa.Text),
        sa.Column("method", sa.Text),
        sa.Column("tier", sa.Text, nullable=False),
        sa.Column("estimate_reason", sa.Text),
        sa.Column("zone", sa.Text),
        sa.Column("flops", sa.Double),
        sa.Column("joules_low", sa.Double),
        sa.Column("joules", sa.Double),
        sa.Column("joules_high", sa.Double),
        sa.Column("it_joules", sa.Double),
        sa.Column("grams_co2e_low", sa.Double),
        sa.Column("grams_co2e", sa.Double),
        sa.Column("grams_co2e_high", sa.Double),
        sa.Column("embodied_grams_co2e", sa.Double),
        sa.Column("market_grams_co2e", sa.Double),
        sa.Column("liters", sa.Double),
        sa.Column("cost_usd", USD),
        sa.Column("price_id", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_calls"),
    )
    op.create_index("ix_calls_started_at", "calls", ["started_at"])
    op.create_index("ix_calls_team_started_at", "calls", ["team", "started_at"])
    op.create_table(
        "facts_versions",
        sa.Column("facts_version", sa.Text, nullable=False),
        sa.Column("first_used_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("release", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("facts_version", name="pk_facts_versions"),
    )
    op.create_table(
        "journal_positions",
        sa.Column("journal", sa.Text, nullable=False),
        sa.Column("segment", sa.Text, nullable=False),
        sa.Column("resolved_to", sa.BigInteger, nullable=False),
        sa.Column("read_to", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("journal", "segment", name="pk_journal_positions"),
    )


def downgrade() -> None:
    op.drop_table("journal_positions")
    op.drop_table("facts_versions")
    op.drop_table("calls")
