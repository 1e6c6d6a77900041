from __future__ import annotations

import msgspec

from proxy.ledger.tables import CallRow, calls

OURS = ["rolled_up", "generation"]  # the columns that are for the ledger itself

# The columns of `calls` that the public contract promises, as users' own queries name them.
_PROMISED = """
    id operation_id attempt started_at team project user key_id tags provider surface model_requested model
    stream status outcome provider_request_id
    input_tokens cached_input_tokens cache_write_tokens audio_input_tokens image_input_tokens
    output_tokens reasoning_tokens audio_output_tokens image_output_tokens units usage_source
    latency_ms time_to_first_token_ms overhead_us request_bytes response_bytes service_tier
    facts_version method tier zone flops joules_low joules joules_high it_joules
    grams_co2e_low grams_co2e grams_co2e_high embodied_grams_co2e market_grams_co2e liters cost_usd price_id
"""


def test_every_promised_column_is_there():
    assert set(_PROMISED.split()) <= set(calls.columns.keys())


def test_a_row_in_python_has_the_columns_in_their_order():
    assert msgspec.structs.fields(CallRow)
    names = calls.columns.keys()
    assert [*CallRow.__struct_fields__] == [name for name in names if name not in OURS]
    assert set(OURS) < set(names)


def test_a_row_may_be_none_exactly_where_the_column_may_be_null():
    nullable = {field.name for field in msgspec.structs.fields(CallRow) if "None" in str(field.type)}
    assert nullable == {column.name for column in calls.columns if column.nullable and column.name not in OURS}
