"""Invoices worked out by hand from the providers' price pages, to the last digit; amounts in $ per million tokens."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from estimator import Usage, estimate

NOVEMBER = datetime(2026, 11, 20, tzinfo=UTC)
REASONED = Usage(
    input_tokens=10_000,
    cached_input_tokens=8_000,
    output_tokens=1_200,
    reasoning_tokens=700,
    units={"web_searches": 2},
)
HEARD = Usage(
    input_tokens=5_000,
    cached_input_tokens=1_000,
    audio_input_tokens=2_000,
    output_tokens=800,
    units={"web_search_requests": 1},
)
CHAT = Usage(input_tokens=10_000, cached_input_tokens=4_000, output_tokens=2_000)

INVOICES = [
    # 2000 · 2.5 + 8000 · 0.25 + 1200 · 15 = 25 000; searches 2 · 0.01
    ("gpt-5.4", "openai", REASONED, NOVEMBER, None, "0.045"),
    # above 272 000 tokens: 100 000 · 5 + 200 000 · 0.5 + 1000 · 22.5 = 622 500
    (
        "gpt-5.4-2026-03-05",
        "openai",
        Usage(input_tokens=300_000, cached_input_tokens=200_000, output_tokens=1_000),
        NOVEMBER,
        "default",
        "0.6225",
    ),
    # 2000 · 1.25 + 8000 · 0.13 + 1200 · 7.5 = 12 540; searches 0.02
    ("gpt-5.4", "openai", REASONED, NOVEMBER, "flex", "0.03254"),
    # 2000 · 5 + 8000 · 0.5 + 1200 · 30 = 50 000; searches 0.02
    ("gpt-5.4", "openai", REASONED, NOVEMBER, "priority", "0.07"),
    # speech to speech: 300 text · 4 + 200 cached · 0.4 + 500 heard · 32 + 100 text · 16 + 400 spoken · 64 = 44 480
    (
        "gpt-realtime",
        "openai",
        Usage(
            input_tokens=1_000,
            cached_input_tokens=200,
            audio_input_tokens=500,
            output_tokens=500,
            audio_output_tokens=400,
        ),
        NOVEMBER,
        None,
        "0.04448",
    ),
    # an image: 100 text · 5 + 900 image in · 8 + 50 text · 10 + 4000 image out · 32 = 136 200
    (
        "gpt-image-1.5",
        "openai",
        Usage(input_tokens=1_000, image_input_tokens=900, output_tokens=4_050, image_output_tokens=4_000),
        NOVEMBER,
        None,
        "0.1362",
    ),
    # above 200 000: 20 000 · 6 + 180 000 · 0.6 + 30 000 · 7.5 + 20 000 for an hour · 12 + 4000 · 22.5 = 783 000;
    # searches 3 · 0.01
    (
        "claude-sonnet-4-5-20250929",
        "anthropic",
        Usage(
            input_tokens=250_000,
            cached_input_tokens=180_000,
            cache_write_tokens=50_000,
            output_tokens=4_000,
            units={"cache_write_5m_tokens": 30_000, "cache_write_1h_tokens": 20_000, "web_searches": 3},
        ),
        NOVEMBER,
        "standard",
        "0.813",
    ),
    # 2000 · 2.5 + 6000 · 0.25 + 2000 · 3.125 + 1000 · 12.5 = 25 250
    (
        "claude-opus-4-6",
        "anthropic",
        Usage(input_tokens=10_000, cached_input_tokens=6_000, cache_write_tokens=2_000, output_tokens=1_000),
        NOVEMBER,
        "batch",
        "0.02525",
    ),
    # before 13 March 2026 a long context cost more: 300 000 · 10 + 1000 · 37.5 = 3 037 500; since then half
    (
        "claude-opus-4-6",
        "anthropic",
        Usage(input_tokens=300_000, output_tokens=1_000),
        datetime(2026, 3, 12, tzinfo=UTC),
        None,
        "3.0375",
    ),
    ("claude-opus-4-6", "anthropic", Usage(input_tokens=300_000, output_tokens=1_000), NOVEMBER, None, "1.525"),
    # 2000 · 0.3 + 1000 · 0.03 + 2000 heard · 1 + 800 · 2.5 = 4 630; a grounded search 0.035
    ("gemini-2.5-flash", "gemini", HEARD, NOVEMBER, None, "0.03963"),
    # 2000 · 0.54 + 1000 · 0.054 + 2000 · 1.8 + 800 · 4.5 = 8 334; a search 0.035
    ("models/gemini-2.5-flash", "gemini", HEARD, NOVEMBER, "priority", "0.043334"),
    # 6000 · 1.36 + 4000 · 0.14 + 2000 · 4.18 = 17 080, the price of ten days of October
    ("mistral-large-4", "mistral", CHAT, datetime(2026, 10, 25, tzinfo=UTC), None, "0.01708"),
    # 6000 · 0.7 + 4000 · 0.07 + 2000 · 2.1 = 8 680, and half of it in a batch
    ("mistral-large-4", "mistral", CHAT, NOVEMBER, None, "0.00868"),
    ("mistral-large-4", "mistral", CHAT, NOVEMBER, "batch", "0.00434"),
    # 100 · 2 + 400 · 8 + 600 reasoning · 3 = 5 200; 18 queries · 0.005; 20 000 citation tokens · 2
    (
        "sonar-deep-research",
        "perplexity",
        Usage(
            input_tokens=100,
            output_tokens=1_000,
            reasoning_tokens=600,
            units={"search_queries": 18, "citation_tokens": 20_000},
        ),
        NOVEMBER,
        None,
        "0.1352",
    ),
]


@pytest.mark.parametrize(("model", "provider", "usage", "at", "tier", "dollars"), INVOICES)
def test_an_invoice_to_the_last_digit(model, provider, usage, at, tier, dollars):
    made = estimate(usage, model, provider=provider, at=at, service_tier=tier)
    assert made.cost_usd == Decimal(dollars)
    assert "units" not in made.reasons
    assert "service_tier" not in made.reasons


def test_a_cache_life_without_a_rate_is_named():
    usage = Usage(input_tokens=1_000, cache_write_tokens=500, output_tokens=10, units={"cache_write_12h_tokens": 500})
    made = estimate(usage, "gpt-5.6", provider="openai")
    assert made.cost_usd is not None
    assert "cache_write_12h_tokens" in made.reasons["units"]
