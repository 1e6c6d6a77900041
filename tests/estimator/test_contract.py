import tomllib
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator import Usage, centre, estimate, price_list
from estimator.errors import PriceListError

CONVERSATION = Usage(input_tokens=2000, output_tokens=1000)
OWN = """
name = "house"
currency = "EUR"
[priced_as]
gateway = "openai"
[[rate]]
usd = 1.10
date = 2026-01-01
source = "European Central Bank"
[[rate]]
usd = 1.25
date = 2026-07-01
source = "European Central Bank"
[[price]]
provider = "openai"
model = "gpt-4o*"
from = 2026-03-01
until = 2026-12-31
rates = { input = 2, cached_input = 1, output = 8.0 }
[[price]]
provider = "openai"
model = "gpt-4o*"
tier = "batch"
rates = { input = [[0, 0.9], [128000, 1.8]], output = 4 }
units = { web_searches = 0.01 }
[[discount]]
provider = "anthropic"
model = "*"
from = 2026-03-01
share_off = 0.15
"""


def read(text=OWN):
    return price_list(tomllib.loads(text, parse_float=Decimal))


def cost(model="gpt-4o-2024-08-06", provider="openai", day=(2026, 9, 1), tier=None, usage=CONVERSATION, text=OWN):
    at = datetime(*day, tzinfo=UTC)
    return estimate(usage, model, provider=provider, at=at, service_tier=tier, price_list=read(text))


@pytest.mark.parametrize(
    ("case", "dollars", "price_id"),
    [
        # (2000 · 2 + 1000 · 8) € per million at 1.25 $ for a €
        ({}, "0.015", "house:openai/gpt-4o*@2026-03-01@EUR2026-07-01"),
        ({"day": (2026, 6, 30)}, "0.0132", "house:openai/gpt-4o*@2026-03-01@EUR2026-01-01"),
        # before its first day and after its last one the list price holds
        ({"day": (2026, 2, 28)}, "0.015", "openai/gpt-4o@listed"),
        ({"day": (2027, 1, 1)}, "0.015", "openai/gpt-4o@listed"),
        # the tier served: (2000 · 0.9 + 1000 · 4) € · 1.25
        ({"tier": "batch"}, "0.00725", "house:openai/gpt-4o*@listed#batch@EUR2026-07-01"),
        # a discount is off the list price, of its tier: (2000 · 3 + 1000 · 15) · 0.85
        ({"model": "claude-sonnet-4-5", "provider": "anthropic"}, "0.01785", None),
        ({"model": "claude-sonnet-4-5", "provider": "anthropic", "day": (2026, 2, 1)}, "0.021", None),
        # a provider of one's own whose prices are another's
        ({"model": "o3", "provider": "gateway"}, "0.012", None),
    ],
)
def test_prices_of_ones_own(case, dollars, price_id):
    made = cost(**case)
    assert made.cost_usd == Decimal(dollars)
    if price_id is not None:
        assert made.price_id == price_id


def test_every_part_of_the_chain_is_exact():
    usage = Usage(input_tokens=3, cached_input_tokens=1, output_tokens=7, units={"web_searches": 1})
    # (2 · 0.9 + 1 · 0.9 + 7 · 4)/10⁶ · 1.25 + 0.01 · 1.25: no rate for cached tokens in this tier
    assert cost(usage=usage, tier="batch").cost_usd == Decimal("0.012538375")


def test_a_provider_without_a_list_follows_another_by_its_name():
    assert estimate(CONVERSATION, "gpt-4o", provider="house-gateway", price_list="openai").cost_usd == Decimal("0.015")
    assert estimate(CONVERSATION, "gpt-4o", provider="vllm", price_list="openai").cost_usd == Decimal("0.015")
    missing = estimate(CONVERSATION, "gpt-4o", provider="x", price_list="nobody")
    assert missing.cost_usd is None
    assert "nobody" in missing.reasons["cost_usd"]
    assert centre(CONVERSATION, "gpt-4o", provider="x", price_list="openai").cost_usd == Decimal("0.015")


def test_a_free_name_is_priced_and_estimated_as_the_model_it_stands_for():
    names = {"Prod-Chat": "gpt-4o"}
    made = estimate(CONVERSATION, "prod-chat", provider="azure", aliases=names)
    assert made.model_id == "gpt-4o"
    assert made.cost_usd == Decimal("0.015")
    assert estimate(CONVERSATION, "prod-chat", provider="azure").model_id is None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("currency", 'currency = "EURO"'), "ISO 4217"),
        (("name", "nom = 'x'"), "unknown key 'nom'"),
        (("usd = 1.10", "usd = 0"), "above 0"),
        (("usd = 1.10", "usd = -1"), "not negative"),
        (("usd = 1.10", "usd = nan"), "finite"),
        (("until = 2026-12-31", "until = 2025-12-31"), "comes before"),
        (("input = 2,", "inptu = 2,"), "unknown key 'inptu'"),
        (("input = 2,", 'input = "2",'), "no amount"),
        (("[[0, 0.9], [128000, 1.8]]", "[[1000, 0.9], [128000, 1.8]]"), "begin with 0"),
        (("[[0, 0.9], [128000, 1.8]]", "[[0, 0.9], [0, 1.8]]"), "rise"),
        (("share_off = 0.15", "share_off = 15"), "from 0 to 1"),
        (('model = "*"', ""), "model is missing"),
        (("from = 2026-03-01", 'from = "March"'), "date such as"),
    ],
)
def test_what_is_wrong_is_said(change, says):
    before, after = change
    line = next(line for line in OWN.splitlines() if before in line)
    text = OWN.replace(line, after if before in ("currency", "name") else line.replace(before, after), 1)
    with pytest.raises(PriceListError, match=says):
        read(text)


def test_binary_fractions_and_a_currency_without_a_rate_are_refused():
    with pytest.raises(PriceListError, match="binary fraction"):
        price_list(tomllib.loads(OWN))
    with pytest.raises(PriceListError, match=r"\[\[rate\]\]"):
        read('name = "x"\ncurrency = "INR"')
    with pytest.raises(PriceListError, match="need no"):
        read(OWN.replace('currency = "EUR"\n', ""))


AMOUNTS = st.decimals(0, 1000, places=4)


@given(AMOUNTS, AMOUNTS, st.decimals("0.001", 200, places=6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_converted_dollars_are_the_exact_product(rate_in, rate_out, usd, n_in, n_out):
    table = {
        "name": "x",
        "currency": "CNY",
        "rate": [{"usd": usd, "date": date(2026, 1, 1), "source": "bank"}],
        "price": [{"provider": "*", "model": "m", "rates": {"input": rate_in, "output": rate_out}}],
    }
    usage = Usage(input_tokens=n_in, output_tokens=n_out)
    made = estimate(usage, "m", provider="house", price_list=price_list(table))
    assert made.cost_usd == (n_in * rate_in + n_out * rate_out) * usd / 10**6
