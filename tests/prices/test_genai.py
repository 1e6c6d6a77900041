"""Our copy of the lists against the library they come from: the same dollars for the same call."""

from datetime import UTC, datetime
from decimal import Decimal
from importlib import import_module

import pytest

from estimator import Usage, estimate
from proxy.prices.genai import OURS, genai_listings

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)


def theirs(provider, model, usage):
    price = import_module("genai_prices").calc_price(
        usage, model_ref=model, provider_id=provider, genai_request_timestamp=AT
    )
    return price.total_price


def names():
    for provider in (
        "openai",
        "anthropic",
        "google",
        "mistral",
        "groq",
        "deepseek",
        "x-ai",
        "cohere",
        "aws",
        "moonshotai",
    ):
        for listing in genai_listings()[OURS.get(provider, provider)]:
            if "input" in listing.prices[-1]["rates"] and "requests" not in listing.prices[-1].get("units", {}):
                for rule in listing.match:
                    if isinstance(rule, str) and rule[0] in "=^":
                        yield provider, rule[1:]


@pytest.mark.parametrize(("provider", "model"), sorted(set(names())))
def test_the_same_call_costs_the_same(provider, model):
    usage = import_module("genai_prices").Usage(input_tokens=3000, cache_read_tokens=1000, output_tokens=500)
    expected = theirs(provider, model, usage)
    made = estimate(
        Usage(input_tokens=3000, cached_input_tokens=1000, output_tokens=500),
        model,
        provider=OURS.get(provider, provider),
        at=AT,
    )
    if made.cost_usd is None:
        assert "lacks a rate" in made.reasons["cost_usd"]  # no output price: they call that free, we call it unknown
    else:
        assert made.cost_usd == Decimal(expected)


def test_lists_are_under_our_names():
    lists = genai_listings()
    assert {"openai", "gemini", "bedrock", "xai", "moonshot", "copilot"} <= set(lists)
    assert not any(name.startswith("huggingface_") for name in lists)
