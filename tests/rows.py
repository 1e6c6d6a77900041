"""Ledger rows for tests: a plain good call, to be changed where a test needs it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec
import sqlalchemy as sa

from proxy.ledger.engine import WRITE
from proxy.ledger.keys import Keys
from proxy.ledger.partitions import Months
from proxy.ledger.stored import Batch, stored
from proxy.ledger.tables import CallRow, call_kinds, call_rows

_numbers = itertools.count(1)

PLAIN = CallRow(
    id="",
    operation_id="",
    attempt=1,
    started_at=datetime(2026, 11, 23, 12, 0, tzinfo=UTC),
    team="search",
    project=None,
    user=None,
    key_id=None,
    tags=None,
    provider="openai",
    surface="openai.chat",
    model_requested="gpt-4o",
    model="gpt-4o",
    stream=True,
    status=200,
    outcome="ok",
    reason=None,
    provider_request_id="req_1",
    input_tokens=100,
    cached_input_tokens=40,
    cache_write_tokens=None,
    audio_input_tokens=None,
    image_input_tokens=None,
    output_tokens=50,
    reasoning_tokens=10,
    audio_output_tokens=None,
    image_output_tokens=None,
    units=None,
    usage_source="reported",
    flags=None,
    latency_ms=1500,
    time_to_first_token_ms=250,
    overhead_us=180,
    request_bytes=500,
    response_bytes=4000,
    service_tier=None,
    facts_version="f1",
    method="roofline",
    tier="closed_model",
    estimate_reason=None,
    zone="USA",
    flops=6e13,
    joules_low=100.0,
    joules=400.0,
    joules_high=1600.0,
    it_joules=330.0,
    grams_co2e_low=0.01,
    grams_co2e=0.04,
    grams_co2e_high=0.16,
    embodied_grams_co2e=0.005,
    market_grams_co2e=0.03,
    liters=0.0005,
    cost_usd=Decimal("0.000750"),
    price_id="openai:gpt-4o:2024-10-01",
    grid_source="owid",
    estimate_key="gpt-4o@openai",
    joules_shared_down=300.0,  # all of the band: sums of one key add up their ends
    joules_shared_up=1200.0,
    grams_co2e_shared_down=0.03,
    grams_co2e_shared_up=0.12,
    attributes=None,
    prefill_joules=50.0,
)

UNPRICED = {"model": "house-model", "model_requested": "house-model", "cost_usd": None, "price_id": None}
UNESTIMATED = {
    "tier": "unknown",
    **dict.fromkeys(
        (
            *("flops", "joules_low", "joules", "joules_high", "it_joules", "grams_co2e_low", "grams_co2e"),
            *("grams_co2e_high", "embodied_grams_co2e", "market_grams_co2e", "liters"),
            *("grid_source", "joules_shared_down", "joules_shared_up"),
            *("estimate_key", "grams_co2e_shared_down", "grams_co2e_shared_up", "prefill_joules"),
        )
    ),
}
UNMETERED = {
    "usage_source": "absent",
    **dict.fromkeys(("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "cost_usd")),
    **UNESTIMATED,
}


def call_row(**changes: Any) -> CallRow:
    """A good call with its own id, changed as asked."""
    number = next(_numbers)
    named = {"id": f"00000000-0000-7000-8000-{number:012d}", "operation_id": f"operation-{number}"}
    return msgspec.structs.replace(PLAIN, **(named | changes))


def insert(engine: sa.Engine, *rows: CallRow) -> None:
    """Put calls into a ledger that its sums lack."""
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            Months().ensure(connection, [row.started_at for row in rows])
        batch = Batch.of(rows)
        Keys(call_kinds, engine.dialect).ensure(connection, batch.keys)
        names = call_rows.columns.keys()
        values = [dict(zip(names, stored(call), strict=True)) | {"rolled_up": False} for call in batch.calls()]
        connection.execute(sa.insert(call_rows), values)


def known(models: Collection[str]) -> Callable[[CallRow], str | None]:
    """Know these model names and no alias of them."""

    def name(row: CallRow) -> str | None:
        return next((each for each in (row.model, row.model_requested) if each in models), None)

    return name
