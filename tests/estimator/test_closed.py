"""Closed models: the three deployments follow an independent Monte Carlo, and keep what a roofline keeps."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from estimator import Deployment, Usage, estimate, resolve
from estimator.closed import WORKLOADS, _draws, _quantiles, it_joules, likenesses
from estimator.fits import find_fit
from estimator.units import JOULES_PER_WH

# model, input, cached, output tokens, Wh at 5, 50 and 95 %: another implementation's samples
PUBLISHED = [
    ("gpt-4o", 500, 0, 500, 0.1529, 0.5336, 2.786),
    ("gpt-4o", 2000, 0, 1000, 0.4671, 1.404, 5.947),
    ("gpt-4o", 10000, 8000, 500, 0.503, 1.448, 4.822),
    ("gpt-4o-mini", 500, 0, 500, 0.02404, 0.05755, 0.2198),
    ("gpt-4o-mini", 2000, 0, 1000, 0.0744, 0.1603, 0.4968),
    ("gpt-4o-mini", 10000, 8000, 500, 0.08757, 0.1762, 0.4017),
    ("claude-sonnet-4-5", 500, 0, 500, 0.156, 0.5247, 2.807),
    ("claude-sonnet-4-5", 2000, 0, 1000, 0.4525, 1.429, 5.864),
    ("claude-sonnet-4-5", 10000, 8000, 500, 0.493, 1.399, 4.785),
    ("claude-opus-4-5", 500, 0, 500, 0.2278, 0.8573, 4.725),
    ("claude-opus-4-5", 2000, 0, 1000, 0.703, 2.264, 9.801),
    ("claude-opus-4-5", 10000, 8000, 500, 0.7152, 2.404, 8.363),
    ("gpt-5", 500, 0, 500, 0.1107, 0.3446, 1.765),
    ("gpt-5", 2000, 0, 1000, 0.3345, 0.9441, 3.969),
    ("gpt-5", 10000, 8000, 500, 0.3721, 0.9866, 3.048),
    ("gemini-2.5-pro", 500, 0, 500, 0.8153, 3.045, 15.48),
    ("gemini-2.5-pro", 2000, 0, 1000, 2.381, 9.024, 37.53),
    ("gemini-2.5-pro", 10000, 8000, 500, 2.771, 9.939, 34.61),
]
PUE_OF_THE_PUBLISHED = 1.19
tokens = st.integers(0, 200_000)


def facility(name, n_in, n_cached, n_out):
    made = estimate(Usage(input_tokens=n_in, cached_input_tokens=n_cached, output_tokens=n_out), name)
    assert made.joules is not None
    return made


@pytest.mark.parametrize("row", PUBLISHED, ids=lambda row: "-".join(map(str, row[:4])))
def test_intervals_follow_the_published_ones(row):
    name, n_in, n_cached, n_out, low, mid, high = row
    made = facility(name, n_in, n_cached, n_out)
    assert made.joules is not None
    assert made.profile is not None
    scale = PUE_OF_THE_PUBLISHED / made.profile.pue / JOULES_PER_WH
    assert made.tier == "closed_model"
    assert made.joules.mid * scale == pytest.approx(mid, rel=0.22)
    assert made.joules.low * scale == pytest.approx(low, rel=0.35)
    assert made.joules.high * scale == pytest.approx(high, rel=0.35)


# Lengths the three deployments were not chosen on.
OTHER = ((100, 0, 100), (1_000, 0, 300), (5_000, 4_000, 2_000), (50_000, 0, 2_000), (4_000, 0, 10_000), (0, 0, 1_000))


@pytest.mark.parametrize(
    "name",
    ["gpt-4o", "gpt-4o-mini", "claude-opus-4-5", "gpt-5", "gpt-6-luna", "grok-4.7", "nova-micro", "claude-mythos-5-2"],
)
def test_three_deployments_stand_for_all_that_are_drawn(name):
    card = resolve(name)
    samples = _draws(card.total_params, card.active_params, card.kind, Deployment())
    for work in (*WORKLOADS, *OTHER):
        drawn = [
            it_joules(
                draw.gpu_joules * one.residual, draw.gpu_seconds, around.host_share * around.gpu.tdp_w, around.reserve
            )
            for one in samples
            for draw, around in ((one.roofline.draw(*work), one.around),)
        ]
        goals = _quantiles(drawn)
        got = facility(name, *work).it_joules
        assert got.mid == pytest.approx(goals[1], rel=0.2), work
        assert got.low == pytest.approx(goals[0], rel=0.3), work
        assert got.high == pytest.approx(goals[2], rel=0.3), work


def test_where_the_three_meet_the_formula_s_own_error_stays():
    low, mid, high = find_fit().dense[0], 1.0, find_fit().dense[1]
    made = estimate(
        Usage(input_tokens=343_551, cached_input_tokens=343_524, output_tokens=200_000),
        "gemini-2.0-flash",
        deployment=Deployment(gpu="B200", n_gpus=8, batch=32),
    ).joules
    assert made.low <= low * made.mid < mid * made.mid < high * made.mid <= made.high


@settings(deadline=None)
@given(st.sampled_from(("gpt-4o", "gpt-4o-mini", "gemini-2.5-pro")), tokens, tokens, tokens, st.integers(1, 5000))
def test_the_whole_band_rises_with_tokens(name, n_in, n_cached, n_out, more):
    assume(n_cached <= n_in)
    base = facility(name, n_in, n_cached, n_out).joules
    for other in (
        facility(name, n_in + more, n_cached, n_out).joules,
        facility(name, n_in, n_cached, n_out + more).joules,
    ):
        assert other.low > base.low
        assert other.mid > base.mid
        assert other.high > base.high


@settings(deadline=None)
@given(st.sampled_from(("gpt-4o", "claude-sonnet-4-5")), tokens, tokens, tokens, st.integers(1, 5000))
def test_the_whole_band_falls_weakly_with_cached_tokens(name, n_in, n_cached, n_out, more):
    assume(n_cached + more <= n_in)
    base = facility(name, n_in, n_cached, n_out).joules
    other = facility(name, n_in, n_cached + more, n_out).joules
    for point in ("low", "mid", "high"):
        assert getattr(other, point) <= getattr(base, point) * (1 + 1e-12)


def test_the_same_card_gives_the_same_numbers():
    card = resolve("gpt-5")
    first = likenesses(card.total_params, card.active_params, card.kind, None)
    likenesses.cache_clear()
    again = likenesses(card.total_params, card.active_params, card.kind, None)
    assert [like.facility_factor for like in first] == [like.facility_factor for like in again]
    assert [like.roofline.n_gpus for like in first] == [like.roofline.n_gpus for like in again]


def test_models_of_one_size_are_drawn_once():
    card = resolve("gpt-5")
    usage = Usage(input_tokens=500, output_tokens=500)
    one = estimate(usage, card)
    drawn = likenesses.cache_info().misses
    assert estimate(usage, replace(card, id="gpt-5-twin", maker="nobody")).gpu_joules == one.gpu_joules
    assert likenesses.cache_info().misses == drawn


def test_other_silicon_is_a_wider_band_around_the_same_middle():
    usage = Usage(input_tokens=500, output_tokens=500)
    for model, gpu, other in (("llama-3.3-70b-instruct", "together", "groq"), ("gpt-4o", "nobody", "groq")):
        plain, strange = (estimate(usage, model, provider=name) for name in (gpu, other))
        assert strange.joules.mid == plain.joules.mid
        assert strange.joules.high / strange.joules.low > 1.2 * plain.joules.high / plain.joules.low
        assert any("LPU" in text for text in strange.assumptions)


def test_knowing_the_deployment_narrows_the_band():
    usage = Usage(input_tokens=500, output_tokens=500)
    blind = estimate(usage, "gpt-4o").joules
    known = estimate(
        usage, "gpt-4o", deployment=Deployment(gpu="H100", n_gpus=16, precision="fp8", batch=200, pue=1.2)
    ).joules
    assert blind is not None
    assert known is not None
    assert known.high / known.low < 0.5 * blind.high / blind.low
