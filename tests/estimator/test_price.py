from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import Usage, estimate
from estimator.billing import cost_usd, unpriced_units
from estimator.facts import read_json
from estimator.price import every_price, find_price, matches, price_lists

CONVERSATION = Usage(input_tokens=2000, output_tokens=1000)


@pytest.mark.parametrize(
    ("model", "provider", "usage", "dollars"),
    [
        # 2000 · 2.5 $/M + 1000 · 10 $/M
        ("gpt-4o", "openai", CONVERSATION, "0.015"),
        ("gpt-4o-2024-08-06", "openai", CONVERSATION, "0.015"),
        ("gpt-4o-mini", "openai", CONVERSATION, "0.0009"),
        ("gpt-4o", "openai", Usage(input_tokens=2000, cached_input_tokens=1800, output_tokens=1000), "0.01275"),
        ("claude-sonnet-4-5-20250929", "anthropic", CONVERSATION, "0.021"),
        # 1500 plain · 3 + 1000 read · 0.3 + 500 written · 3.75 + 1000 · 15
        (
            "claude-sonnet-4-5",
            "anthropic",
            Usage(input_tokens=3000, cached_input_tokens=1000, cache_write_tokens=500, output_tokens=1000),
            "0.021675",
        ),
        # the same, 500 written for an hour at 6 $/M
        (
            "claude-sonnet-4-5",
            "anthropic",
            Usage(
                input_tokens=3000,
                cached_input_tokens=1000,
                cache_write_tokens=500,
                output_tokens=1000,
                units={"cache_write_1h_tokens": 500},
            ),
            "0.0228",
        ),
        ("gemini-2.5-pro", "gemini", Usage(input_tokens=200_000, output_tokens=1000), "0.26"),
        # above 200 000 every token pays the long-context price
        ("gemini-2.5-pro", "gemini", Usage(input_tokens=200_001, output_tokens=1000), "0.5150025"),
        ("text-embedding-3-small", "openai", Usage(input_tokens=1_000_000), "0.02"),
        ("whisper-1", "openai", Usage(units={"seconds": 60}), "0.006"),
        ("gpt-4o", "openai", Usage(input_tokens=0, output_tokens=0, units={"web_searches": 2}), "0.02"),
        # Cohere charges fewer tokens than the model read and wrote: 12 · 2.5 + 6 · 10
        (
            "command-a-03-2025",
            "cohere",
            Usage(
                input_tokens=212,
                cached_input_tokens=208,
                output_tokens=8,
                units={"billed_input_tokens": 12, "billed_output_tokens": 6},
            ),
            "0.00009",
        ),
        # a query over more than a hundred documents is several searches
        ("rerank-v3.5", "cohere", Usage(units={"search_units": 3}), "0.006"),
    ],
)
def test_dollars_are_exact(model, provider, usage, dollars):
    made = estimate(usage, model, provider=provider)
    assert made.cost_usd == Decimal(dollars)
    assert made.price_id is not None


def test_what_is_not_billed_by_itself_is_not_said_to_lack_a_price():
    units = {"billed_input_tokens": 1, "billed_output_tokens": 1, "load_seconds": 1, "compute_seconds": 1}
    made = estimate(Usage(input_tokens=1, output_tokens=1, units=units), "command-a-03-2025", provider="cohere")
    assert "units" not in made.reasons


def test_a_price_is_the_one_in_force_that_day():
    before = estimate(CONVERSATION, "o3", provider="openai", at=datetime(2025, 6, 9, 23, tzinfo=UTC))
    after = estimate(CONVERSATION, "o3", provider="openai", at=datetime(2025, 6, 10, tzinfo=UTC))
    assert (before.cost_usd, after.cost_usd) == (Decimal("0.06"), Decimal("0.012"))
    assert after.price_id == "openai/o3@2025-06-10"


def test_without_a_day_it_is_the_price_of_the_day_the_list_was_checked():
    for provider in price_lists():
        checked = datetime.fromisoformat(read_json(f"prices/{provider}.json")["checked"]).date()
        for model in {price.model for price in every_price(provider)}:
            price = find_price(model, provider)
            assert price is None or price.valid_from is None or price.valid_from <= checked


def test_a_price_can_hang_on_the_hour():
    night = find_price("deepseek-chat", "deepseek", at=datetime(2025, 6, 1, 18, tzinfo=UTC))
    day = find_price("deepseek-chat", "deepseek", at=datetime(2025, 6, 1, 12, tzinfo=UTC))
    assert night is not None
    assert day is not None
    assert night.rates["input"][0][1] < day.rates["input"][0][1]


@pytest.mark.parametrize(
    ("tier", "dollars"), [("batch", "0.0075"), ("PRIORITY", "0.0255"), ("default", "0.015"), ("unheard-of", "0.015")]
)
def test_the_tier_served_decides(tier, dollars):
    made = estimate(CONVERSATION, "gpt-4o", provider="openai", service_tier=tier)
    assert made.cost_usd == Decimal(dollars)
    assert ("service_tier" in made.reasons) == (tier == "unheard-of")


def test_rows_are_taken_by_their_day_and_not_by_their_place_in_the_file():
    for day, starts in ((15, 14), (25, 20), (30, 29)):
        at = datetime(2026, 10, day, tzinfo=UTC)
        price = find_price("mistral-large-4", "mistral", at=at, service_tier="batch")
        assert price is not None
        assert price.valid_from is not None
        assert price.valid_from.day == starts


@pytest.mark.parametrize(
    ("model", "provider", "region", "dollars"),
    [
        ("gpt-5.4", "openai", "eu", "0.022"),  # (2000 · 2.5 + 1000 · 15) · 1.1
        ("gpt-5.4", "openai", "US", "0.022"),
        ("gpt-5.4", "openai", "mars", "0.02"),
        ("gpt-4o-2024-08-06", "azure", "eu", "0.0165"),
        ("anthropic.claude-haiku-4-5-20251001-v1:0", "bedrock", "us-gov-west-1", "0.0084"),  # 1.2 and 6 $/M
        ("claude-opus-4-6", "anthropic", "us", "0.0385"),
    ],
)
def test_a_region_can_have_a_price_of_its_own(model, provider, region, dollars):
    assert estimate(CONVERSATION, model, provider=provider, region=region).cost_usd == Decimal(dollars)


def test_a_regions_surcharge_is_on_tokens_alone():
    usage = Usage(input_tokens=2000, output_tokens=1000, units={"web_searches": 2})
    assert estimate(usage, "gpt-5.4", provider="openai", region="eu").cost_usd == Decimal("0.042")


@pytest.mark.parametrize(
    ("model", "provider", "why"),
    [
        ("nobody-knows", "openai", "no price for 'nobody-knows' at openai"),
        ("nobody-knows", None, "unknown"),
        ("llama-3.1-8b", None, "open weights"),
        ("llama3.1", "ollama", "local server"),
        ("gpt-4o", "a-provider-of-my-own", "no price"),
    ],
)
def test_no_price_is_none_with_a_reason(model, provider, why):
    made = estimate(CONVERSATION, model, provider=provider)
    assert made.cost_usd is None
    assert made.price_id is None
    assert why in made.reasons["cost_usd"]


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "bedrock"),
        ("gpt-4o", "azure"),
        ("claude-sonnet-4-5@20250929", "vertex"),
        ("openai/gpt-4o", "openrouter"),
        ("llama-3.3-70b-versatile", "groq"),
        ("grok-4", "xai"),
        ("mistral-small-latest", "mistral"),
        ("deepseek/deepseek-chat", None),
        ("gemini-2.5-flash", None),
    ],
)
def test_popular_models_are_priced_where_they_are_sold(model, provider):
    assert estimate(CONVERSATION, model, provider=provider).cost_usd is not None


def test_a_price_by_the_minute_says_nothing_of_a_call_without_minutes():
    made = estimate(Usage(input_tokens=10, output_tokens=0), "whisper-1", provider="openai")
    assert made.cost_usd is None
    assert "lacks a rate" in made.reasons["cost_usd"]


def test_a_unit_without_a_price_is_named():
    price = find_price("gpt-4o", "openai")
    assert price is not None
    assert unpriced_units(Usage(units={"web_searches": 1, "moon_phases": 3}), price) == ("moon_phases",)
    made = estimate(Usage(input_tokens=1, output_tokens=1, units={"moon_phases": 3}), "gpt-4o", provider="openai")
    assert "moon_phases" in made.reasons["units"]


PRICED = [price for provider in price_lists() for price in every_price(provider) if "input" in price.rates]


@settings(deadline=None)
@given(
    st.sampled_from(PRICED),
    st.integers(0, 500_000),
    st.integers(0, 500_000),
    st.integers(0, 50_000),
    st.integers(0, 50_000),
)
def test_reading_from_a_cache_never_costs_more_than_reading_afresh(price, fresh, cached, n_out, reasoning):
    rates = price.rates
    usage = Usage(
        input_tokens=fresh + cached,
        cached_input_tokens=cached,
        output_tokens=n_out + reasoning,
        reasoning_tokens=reasoning,
    )
    plain = Usage(input_tokens=fresh + cached, output_tokens=n_out + reasoning)
    got, all_fresh = cost_usd(usage, price), cost_usd(plain, price)
    if "reasoning" in rates:
        return  # such a price puts reasoning apart, above or below the output price
    if got is not None and all_fresh is not None:
        assert 0 <= got <= all_fresh


@settings(deadline=None)
@given(st.sampled_from(PRICED), st.integers(0, 100_000), st.integers(0, 100_000), st.integers(1, 1000))
def test_dollars_never_fall_with_tokens(price, n_in, n_out, more):
    def dollars(read, written):
        return cost_usd(Usage(input_tokens=read, output_tokens=written), price)

    base = dollars(n_in, n_out)
    for other in (dollars(n_in + more, n_out), dollars(n_in, n_out + more)):
        if base is not None and other is not None:
            assert other >= base


@pytest.mark.parametrize(
    ("rule", "name", "holds"),
    [
        (["=gpt-4o", "^gpt-4o-2024"], "gpt-4o", True),
        (["=gpt-4o", "^gpt-4o-2024"], "gpt-4o-mini", False),
        ([["^claude", "*opus"]], "claude-opus-4", True),
        ([["^claude", "*opus"]], "claude-haiku", False),
        ([["^claude", ["*opus", "$haiku"]]], "claude-haiku", True),
        (["~^o\\d$"], "o3", True),
    ],
)
def test_name_rules_nest_or_and_or(rule, name, holds):
    assert matches(rule, name, anywhere=True) is holds


def test_every_shipped_provider_with_a_list_has_prices():
    assert {"openai", "anthropic", "gemini", "mistral", "bedrock", "azure", "openrouter"} <= price_lists()


def test_audio_costs_its_own_rate_or_the_estimate_says_whose():
    usage = Usage(input_tokens=1000, audio_input_tokens=800, output_tokens=500, audio_output_tokens=400)
    priced = estimate(usage, "gpt-4o-audio-preview")
    assert priced.cost_usd == Decimal("0.0655")  # 200 · 2.5 + 800 · 40 + 100 · 10 + 400 · 80 µ$
    assert "audio" not in priced.reasons
    spoken = estimate(usage, "openai/gpt-audio", provider="openrouter")
    assert spoken.cost_usd == Decimal("0.0075")
    assert "audio_input and audio_output" in spoken.reasons["audio"]
