"""The audit page, to the printed digit: what stands here is what it prints."""

from decimal import Decimal

import pytest

from estimator import Usage, estimate, resolve
from estimator.audit import (
    at_scale,
    audit_models,
    calculator,
    conversation,
    parameters,
    printed,
    printed_by_script,
    printed_short,
)

# card, active parameters in billions, GFLOP/token, mJ/token, J/conversation, $/conversation, mg on three grids
TABLE = [
    ("gpt-4o", 200, "400", "84.0", "252.00", "$0.015", "30.5", "14.0", "3.5"),
    ("claude-opus-4", 300, "600", "126.0", "378.00", "$0.105", "45.8", "21.0", "5.3"),
    ("claude-sonnet-4", 70, "140", "29.4", "88.20", "$0.021", "10.7", "4.9", "1.2"),
    ("gemini-2.5-pro", 90, "180", "37.8", "113.40", "$0.013", "13.7", "6.3", "1.6"),
    ("llama-3.1-405b", 405, "810", "170.1", "510.30", "$0.0090", "61.8", "28.4", "7.1"),
    ("llama-3.1-8b", 8, "16", "3.4", "10.08", "<$0.001", "1.2", "0.56", "0.14"),
    ("mistral-small-3.1", 24, "48", "10.1", "30.24", None, "3.7", "1.7", "0.42"),
]
CONVERSATION = Usage(input_tokens=2000, output_tokens=1000)


def dollars(value: Decimal) -> str:
    if value < Decimal("0.001"):
        return "<$0.001"
    return "$" + printed(float(value), 4 if value < Decimal("0.01") else 3)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row[0])
def test_static_tables_are_reproduced_as_printed(row):
    name, billions, gflop, millijoules, joules, price, world, hyperscaler, green = row
    card = resolve(name)
    assert card is not None
    page = audit_models()[card.id]
    assert page.active_params == billions * 1e9
    one = conversation(page.active_params, 1, 0, 436, page)
    assert printed(one.flops / 1e9, 0) == gflop
    assert printed(one.joules * 1000, 1) == millijoules

    made = estimate(CONVERSATION, name, method="audit")
    assert made.joules is not None
    assert printed(made.joules.mid, 2) == joules
    grids = parameters()["static"]["grids"]
    milligrams = [
        conversation(page.active_params, 2000, 1000, grids[grid], page).grams_co2e * 1000
        for grid in ("global", "hyperscaler", "green")
    ]
    assert [printed_short(value) for value in milligrams] == [world, hyperscaler, green]
    assert made.grams_co2e is not None
    assert made.grams_co2e.mid * 1000 == milligrams[0]
    if price is not None:
        assert made.cost_usd is not None
        assert dollars(made.cost_usd) == price


def test_calculator_is_reproduced_as_printed():
    one = calculator(200e9, 2048, Decimal("2.5"))
    assert one.attention_flops_per_position == 4_294_967_296
    assert printed(one.attention_flops_per_position / 1e9, 2) == "4.29"
    assert printed(one.parameter_flops_per_token / 1e9, 2) == "400.00"
    assert printed(100 * one.attention_share, 1) == "1.1"
    assert printed(100 * (1 - one.attention_share), 1) == "98.9"
    assert printed(one.flops / 1e12, 2) == "828.00"
    assert printed(one.joules / 1e3, 2) == "579.60"
    assert printed(one.grams_co2e, 2) == "64.40"
    assert printed(float(one.cost_usd), 4) == "0.0051"


def test_calculator_at_a_thousand_queries():
    one = calculator(200e9, 2048, Decimal("2.5"))
    assert printed(one.joules, 2) == "579597.27"  # kJ of a thousand queries
    assert printed(one.grams_co2e, 2) == "64.40"  # kg
    assert printed(float(one.cost_usd * 1000), 2) == "5.12"
    assert printed(one.phone_charges * 1000, 1) == "16099.9"
    assert printed(one.led_hours * 1000, 1) == "16099.9"
    assert printed(one.car_km * 1000, 2) == "536.66"


def test_scale_and_comparisons_are_reproduced_as_printed():
    page = audit_models()
    opus, small = page["claude-opus-4"], page["llama-3.1-8b-instruct"]
    one = conversation(opus.active_params, 2000, 1000, 436, opus)
    year = at_scale(one)
    assert printed(year.annual_mwh, 0) == "38"
    assert printed(year.homes, 0) == "4"
    assert printed(year.annual_tonnes_co2e, 0) == "17"
    assert year.annual_usd is not None
    assert printed(year.annual_usd / 1e6, 1) == "38.3"
    assert year.user_usd is not None
    assert printed_by_script(year.user_usd, 2) == "38.32"
    assert printed(year.per_phone_charge, 0) == "143"
    assert printed(year.per_kettle, 0) == "952"
    eight = conversation(small.active_params, 2000, 1000, 436, small)
    assert printed(one.joules / eight.joules, 0) == "38"
    assert one.cost_usd is not None
    assert eight.cost_usd is not None
    assert printed(float(one.cost_usd / eight.cost_usd), 0) == "583"
    assert printed(436 / 50, 0) == "9"
    assert printed(conversation(opus.active_params, 2000, 0, 436).flops / 1e12, 0) == "1200"


@pytest.mark.parametrize(
    ("value", "digits", "text"), [(5.25, 1, "5.3"), (28.349999999999998, 1, "28.4"), (2.5, 0, "3")]
)
def test_rounding_is_half_up_without_binary_noise(value, digits, text):
    assert printed(value, digits) == text


def test_the_audit_states_that_it_has_no_band():
    made = estimate(CONVERSATION, "gpt-4o", method="audit", zone="FRA")
    assert made.joules is not None
    assert made.joules.low == made.joules.high
    assert any("no band" in text for text in made.assumptions)
    assert made.liters is None
    assert "liters" in made.reasons
    assert made.zone == "FRA"
    assert "0.21 pJ" in made.explain()


def test_a_model_the_page_does_not_name_uses_our_parameters():
    made = estimate(CONVERSATION, "llama-3.3-70b-instruct", method="audit")
    assert made.flops is not None
    assert made.flops.mid == 2 * 70.55e9 * 3000


def test_an_unknown_model_is_unknown_to_the_audit_too():
    made = estimate(CONVERSATION, "nobody-knows", method="audit")
    assert made.tier == "unknown"
    assert made.joules is None
    assert "nobody-knows" in made.reasons["joules"]


def test_the_page_s_split_of_a_token_is_kept():
    made = estimate(Usage(input_tokens=2048, output_tokens=0), "gpt-4o", method="audit")
    shares = {part.name: part.share for part in made.flops_parts}
    assert round(100 * shares["FFN and projections"], 1) == 98.9
    assert round(100 * shares["attention"], 1) == 1.1
    attention = next(part for part in made.flops_parts if part.name == "attention")
    assert attention.prefill / 2048 == 4294967296
    assert "98.9%" in made.explain()
