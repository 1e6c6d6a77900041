"""The compiled figures are those of an estimate, to the last digit, for every model there is."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from estimator import Deployment, Intensity, Speculation, Usage, estimate, known_models, resolve
from estimator.billing import cost_usd, plain_cost
from estimator.figures import figures_of
from estimator.price import every_price, price_lists
from estimator.profiles import profile
from estimator.uncertainty import deviations

LENGTHS = (0, 1, 17, 800, 4000, 33_000, 200_000, 1_100_000)
PLACES = ((None, None), ("openai", "SWE"), ("groq", "IND"), ("vertex", None), ("cerebras", "FRA"), ("bedrock", "USA"))


def expected(made) -> tuple[float | None, ...]:
    joules, grams = made.joules, made.grams_co2e
    return (
        made.flops.mid,
        *(joules.low, joules.mid, joules.high),
        made.prefill_joules.mid,
        made.it_joules.mid,
        *(grams.low, grams.mid, grams.high),
        made.embodied_grams_co2e.mid,
        made.market_grams_co2e and made.market_grams_co2e.mid,
        made.liters and made.liters.mid,
        *deviations(joules)[:2],
        *deviations(grams)[:2],
    )


def counts(draw: random.Random) -> tuple[int, int, int]:
    n_in, n_out = (draw.choice((draw.choice(LENGTHS), draw.randrange(1, 20_000))) for _ in range(2))
    return n_in, draw.choice((0, n_in, draw.randrange(n_in + 1))), n_out


def compare(draw: random.Random, card, provider, zone, deployment=None, intensity=None) -> bool:
    made = profile(card, deployment, provider, zone)
    if made is None:
        return False
    n_in, n_cached, n_out = counts(draw)
    usage = Usage(input_tokens=n_in, cached_input_tokens=n_cached, output_tokens=n_out)
    whole = estimate(usage, card, provider=provider, zone=zone, deployment=deployment, intensity=intensity)
    assert whole.joules is not None
    reckon = figures_of(made, intensity.grams_per_kwh if intensity is not None else None)
    assert tuple(reckon(n_in, n_cached, n_out)) == expected(whole), (card.id, provider, zone, n_in, n_cached, n_out)
    return True


def test_every_model_anywhere():
    draw = random.Random(3)
    compared = 0
    for name in known_models():
        card = resolve(name)
        assert card is not None
        for provider, zone in draw.sample(PLACES, 3):
            compared += sum(compare(draw, card, provider, zone) for _ in range(4))
    assert compared > 1000


@pytest.mark.parametrize(
    "deployment",
    [
        Deployment(gpu="H100", n_gpus=2, batch=64, precision="fp8"),
        Deployment(gpu="MI300X", batch=8, pue=1.1, market_grams_per_kwh=12.0),
        Deployment(n_gpus=8, speculation=Speculation(draft_tokens=3, acceptance=0.7, draft_cost=0.1)),
        Deployment(stack="vllm-2024", batch=500),
    ],
)
@pytest.mark.parametrize("model", ["llama-3.1-8b-instruct", "gpt-oss-120b", "gpt-4o", "gemma-3-27b-it"])
def test_a_deployment_that_is_known(model, deployment):
    draw, card = random.Random(4), resolve(model)
    assert card is not None
    assert all(compare(draw, card, "openai", "FRA", deployment) for _ in range(60))


def test_the_grid_of_an_hour():
    draw, card = random.Random(5), resolve("gpt-4o")
    begin = datetime(2026, 11, 23, tzinfo=UTC)
    hour = Intensity(
        zone="SWE",
        grams_per_kwh=77.0,
        boundary="life_cycle",
        start=begin,
        end=begin + timedelta(hours=1),
        source="someone",
    )
    assert all(compare(draw, card, "openai", "SWE", intensity=hour) for _ in range(60))


def test_dollars_of_plain_usages_at_every_price():
    draw = random.Random(6)
    compared = by_length = 0
    for provider in sorted(price_lists()):
        for price in every_price(provider):
            plain = plain_cost(price)
            if plain is None:
                continue
            edges = {above + more for steps in price.rates.values() for above, _ in steps[1:] for more in (0, 1)}
            by_length += bool(edges)
            for n_in, n_cached, n_out in (counts(draw), *((edge, edge // 3, 500) for edge in edges)):
                usage = Usage(input_tokens=n_in, cached_input_tokens=n_cached, output_tokens=n_out)
                whole = cost_usd(usage, price)
                rounded = None if whole is None else whole.quantize(Decimal(1).scaleb(-12))
                assert str(plain(n_in, n_cached, n_out)) == str(rounded), (price.id, usage)
            compared += 1
    assert compared > 500
    assert by_length > 10
