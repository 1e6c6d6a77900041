from decimal import Decimal

import pytest

from estimator import Usage, estimate
from proxy.errors import ConfigError
from proxy.prices.own import read_price_list
from tests.test_docs import ROOT


def guide():
    """The file the how-to shows."""
    text = ROOT.joinpath("docs/how-to/use-your-own-prices.md").read_text(encoding="utf-8")
    return text.split("```toml\n")[1].split("```")[0]


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "prices.toml"
    path.write_text(guide(), encoding="utf-8")
    return path


def test_the_guides_file_prices_a_call_exactly(written):
    made = estimate(
        Usage(input_tokens=2000, output_tokens=1000), "gpt-4o", provider="openai", price_list=read_price_list(written)
    )
    assert made.cost_usd == (2000 * Decimal(2) + 1000 * Decimal("8.5")) * Decimal("1.0823") / 10**6
    assert made.price_id == "acme-2026:openai/gpt-4o*@2026-07-01@EUR2026-07-01"


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("share_off = 0.15", "share_off = 1.5", "discount 1"),
        ('currency = "EUR"', "currency = ", "prices.toml"),
        ("usd = 1.0823", "usd = inf", "rate 1"),
    ],
)
def test_what_is_wrong_names_the_file_and_the_row(written, before, after, says):
    written.write_text(guide().replace(before, after), encoding="utf-8")
    with pytest.raises(ConfigError, match=says):
        read_price_list(written)
    with pytest.raises(ConfigError, match="nowhere"):
        read_price_list(written.with_name("nowhere"))
