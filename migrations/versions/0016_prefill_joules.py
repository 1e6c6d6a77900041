"""Of a call's joules, those that reading its prompt took: beside each estimate, also of lines and former ones."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_TABLES = ("call_rows", "usage_lines", "former_estimates")
_OF_THE_KIND = {
    "team", "project", "user", "key_id", "provider", "surface", "model_requested", "model", "stream", "status",
    "outcome", "reason", "usage_source", "flags", "service_tier", "facts_version", "method", "tier", "estimate_reason",
    "zone", "price_id", "grid_source", "estimate_key", "region",
}  # fmt: skip
_BEFORE = (
    "id", "operation_id", "attempt", "started_at", "team", "project", "user", "key_id", "tags", "provider", "surface",
    "model_requested", "model", "stream", "status", "outcome", "reason", "provider_request_id", "input_tokens",
    "cached_input_tokens", "cache_write_tokens", "audio_input_tokens", "image_input_tokens", "output_tokens",
    "reasoning_tokens", "audio_output_tokens", "image_output_tokens", "units", "usage_source", "flags", "latency_ms",
    "time_to_first_token_ms", "overhead_us", "request_bytes", "response_bytes", "service_tier", "facts_version",
    "method", "tier", "estimate_reason", "zone", "flops", "joules_low", "joules", "joules_high", "it_joules",
    "grams_co2e_low", "grams_co2e", "grams_co2e_high", "embodied_grams_co2e", "market_grams_co2e", "liters",
    "cost_usd", "price_id", "grid_source", "estimate_key", "joules_shared_down", "joules_shared_up",
    "grams_co2e_shared_down", "grams_co2e_shared_up", "attributes", "summed_calls", "region", "rolled_up", "generation",
)  # fmt: skip


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("prefill_joules", sa.Double))
    _view((*_BEFORE, "prefill_joules"))


def downgrade() -> None:
    op.execute("DROP VIEW calls")
    _view(_BEFORE)
    for table in _TABLES:
        op.drop_column(table, "prefill_joules")


def _view(columns: tuple[str, ...]) -> None:
    """Make the view anew; where PostgreSQL can, in its place: others' views may be made of it."""
    selected = ", ".join(
        "coalesce(r.operation_id, r.id) AS operation_id"
        if name == "operation_id"
        else f'{"k" if name in _OF_THE_KIND else "r"}."{name}"'
        for name in columns
    )
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP VIEW IF EXISTS calls")
        create = "CREATE VIEW"
    else:
        create = "CREATE OR REPLACE VIEW"
    op.execute(
        f"{create} calls AS SELECT {selected} FROM call_rows AS r LEFT JOIN call_kinds AS k ON k.kind = r.kind"  # noqa: S608
    )
