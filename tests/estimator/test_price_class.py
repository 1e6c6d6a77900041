"""Sizes judged by a price: the lines are those of the data, they find known models again, and each says so."""

import math
from pathlib import Path

import pytest

from bench.fit_price_class import SIZES, factor, fit, joules_left_out, left_out, sized
from estimator import Usage, estimate, known_models, resolve, sources
from estimator.checking import problems
from estimator.facts import read_toml
from estimator.models import _card
from estimator.price_class import covered, fitted, sizes
from estimator.units import JOULES_PER_WH

PAGE = Path(__file__).parents[2] / "docs/methodology/closed-models.md"

# One model at least of each maker that publishes no size of its closed models.
JUDGED = {
    "xai": ("grok-4.7", "grok-4.20", "grok-code-fast-1", "grok-4.1-fast"),
    "amazon": ("nova-micro", "nova-lite", "nova-pro", "nova-premier", "nova-2-lite", "nova-2-pro"),
    "anthropic": ("claude-mythos-5-2", "claude-fable-5-2"),
    "openai": ("gpt-6.1-terra", "gpt-6-astra-pro", "o3", "gpt-realtime", "gpt-6-cyber"),
    "google": ("gemini-4-argon", "gemini-4-hydrogen", "gemini-3-pro-preview", "gemini-1.5-pro"),
    "meta": ("muse-spark-1.3", "muse-wonder"),
    "microsoft": ("mai-thinking-1", "mai-code-1.1-flash"),
    "qwen": ("qwen3.7-max", "qwen3.7-flash", "qwen3-coder-plus"),
    "moonshot": ("moonshot-v1",),
    "cohere": ("command", "command-light"),
    "mistral": ("mistral-large-2402",),
    "zai": ("glm-5-code",),
    "perplexity": ("sonar", "sonar-pro"),
}


@pytest.fixture(scope="module")
def models():
    return sized()


@pytest.fixture(scope="module")
def scored(models):
    return list(joules_left_out(models))


@pytest.mark.parametrize("which", SIZES)
def test_the_lines_are_the_least_squares_of_the_shipped_facts(models, which):
    line, shipped = fit(models, which), read_toml("price_class.toml")[which]
    assert line.at_one_dollar_b == pytest.approx(shipped["at_one_dollar_b"], rel=0.005)
    assert line.power == pytest.approx(shipped["power"], abs=0.0006)
    assert factor(left_out(models, which).values()) == pytest.approx(shipped["factor"], rel=0.005)
    known = [math.exp(model.log(which)) for model in models]
    assert [min(known), max(known)] == pytest.approx(shipped["known_b"], rel=0.005)


def test_the_span_of_prices_is_that_of_the_models(models):
    prices = [model.usd_out for model in models]
    assert [min(prices), max(prices)] == pytest.approx(fitted()["usd_out"], rel=0.005)
    assert fitted()["models"] == len(models)


def test_nothing_is_learnt_from_what_was_judged(models):
    assert all(model.card.list_price is None for model in models)


def test_known_models_are_found_again_by_the_prices_of_other_makers(models, scored):
    """Of nine in ten the joules lie in the band of their price, each maker left out, and the middle leans no way."""
    assert len(scored) == len(models)
    held = sum(inside for _, _, inside in scored) / len(scored)
    assert 0.87 <= held <= 0.97
    assert 0.85 <= math.exp(sum(error for _, error, _ in scored) / len(scored)) <= 1.18
    published = [inside for model, _, inside in scored if model.card.weights == "open"]
    assert sum(published) / len(published) >= 0.85


def test_the_page_of_closed_models_says_how_they_fare(models, scored):
    text = PAGE.read_text(encoding="utf-8")
    groups = {
        "all": scored,
        "open weights: sizes are facts": [row for row in scored if row[0].card.weights == "open"],
        "closed: sizes are EcoLogits'": [row for row in scored if row[0].card.weights == "closed"],
        **{
            maker: [row for row in scored if row[0].card.maker == maker]
            for maker in sorted({m.card.maker for m in models})
        },
    }
    for name, rows in groups.items():
        held = f"{sum(inside for _, _, inside in rows) / len(rows):.0%}".replace("%", " %")
        lean = math.exp(sum(error for _, error, _ in rows) / len(rows))
        assert f"| {name} | {len(rows)} | {held} | {lean:.2f} |" in text
    for which in SIZES:
        line = fitted()[which]
        assert f"{which:6} billions = {line['at_one_dollar_b']} · dollars^{line['power']}" in text
        assert f"within a factor of {line['factor']:.3g}" in text
    made = estimate(Usage(input_tokens=500, output_tokens=500), "grok-4.7", zone="USA").joules
    low, mid, high = (joules / JOULES_PER_WH for joules in (made.low, made.mid, made.high))
    assert f"{low:.2g}, {mid:.2g} and {high:.0f} Wh" in text
    total, active = sizes(10)
    assert f"{active[0]:.0f} to\n{active[1]:.0f} of {total[0]:.0f} to {total[1]:,.0f}".replace(",", " ") in text


def test_the_one_published_size_of_a_maker_that_judged_models_are_of_lies_in_its_range(models):
    (grok,) = (model for model in models if model.card.id == "grok-2")
    for which, size in zip(SIZES, sizes(grok.usd_out), strict=True):
        assert size[0] < math.exp(grok.log(which)) < size[1]


@pytest.mark.parametrize("name", [name for names in JUDGED.values() for name in names])
def test_a_judged_model_has_a_band_and_says_by_what(name):
    card = resolve(name)
    made = estimate(Usage(input_tokens=2000, output_tokens=1000), name)
    assert card.source == "price-class" in sources()
    assert made.tier == "closed_model"
    assert made.sources[0] == "price-class"
    assert any(card.list_price.sentence in text for text in made.assumptions)
    assert f"{card.list_price.usd_out:g} dollars" in card.list_price.sentence
    assert card.list_price.day >= "2026-11-23"
    widest = estimate(Usage(input_tokens=2000, output_tokens=1000), "nobody", unknown="widest").joules
    assert 8 < made.joules.high / made.joules.low < widest.high / widest.low


def test_each_maker_of_the_facts_has_a_range_or_a_size_for_what_it_sells_as_text():
    for name in known_models():
        card = resolve(name)
        if card.list_price is not None:
            assert card.maker in JUDGED


def test_sizes_rise_with_the_price_and_stay_within_what_is_known():
    low, high = fitted()["usd_out"]
    prices = [low * (high / low) ** (step / 20) for step in range(21)]
    for which in (0, 1):
        spans = [sizes(usd)[which] for usd in prices]
        assert spans == sorted(spans)
        least, most = fitted()[SIZES[which]]["known_b"]
        assert all(least <= bottom < top <= most for bottom, top in spans)
    assert covered(low)
    assert not covered(600)


def test_a_price_that_no_list_has_is_a_fault_of_the_facts(monkeypatch):
    row = {"id": "grok-4.7", "kind": "moe", "weights": "closed", "source": "price-class"}
    row["priced"] = {"usd_out": 7, "seller": "xai", "day": "2026-11-23"}
    wrong = _card(row, "xai")
    monkeypatch.setattr(
        "estimator.checking.resolve",
        lambda name, provider=None: wrong if "grok-4.7" in name else resolve(name, provider),
    )
    assert "models: grok-4.7 is judged by 7 dollars, which xai does not ask" in problems()
    row["priced"] = {"usd_out": 600, "seller": "xai", "day": "2026-11-23"}
    wrong = _card(row, "xai")
    assert "models: grok-4.7 is judged by a price that no model of known size is near" in problems()
