"""Tiers of evidence: a meter before a statement before a model before the widest prior; never a silent zero."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import Deployment, Evidence, Usage, estimate
from estimator.errors import EvidenceError
from estimator.units import JOULES_PER_KWH

USAGE = Usage(input_tokens=2000, output_tokens=1000)
METER = Evidence(kind="measured", joules=200.0, scope="gpu", source="NVML of our own server")


def test_a_meter_replaces_the_model():
    made = estimate(USAGE, "llama-3.1-8b-instruct", evidence=METER, zone="FRA")
    plain = estimate(USAGE, "llama-3.1-8b-instruct", zone="FRA")
    assert made.tier == "measured"
    assert (made.gpu_joules.low, made.gpu_joules.mid, made.gpu_joules.high) == (190, 200, 210)
    assert made.it_joules.mid / made.gpu_joules.mid == pytest.approx(plain.it_joules.mid / plain.gpu_joules.mid)
    assert made.joules.mid == pytest.approx(made.it_joules.mid * made.profile.pue)
    assert made.grams_co2e.mid == pytest.approx(made.joules.mid / JOULES_PER_KWH * 41.44, rel=1e-3)
    assert made.joules.high / made.joules.low < plain.joules.high / plain.joules.low
    assert made.flops == plain.flops
    assert "NVML" in made.explain()


def test_a_disclosure_is_its_own_tier_at_its_own_side_of_the_pue():
    figure = Evidence(kind="disclosed", joules=0.24 * 3600, scope="facility", source="Google, August 2025")
    made = estimate(USAGE, "gemini-2.5-pro", provider="gemini", evidence=figure)
    assert made.tier == "disclosed"
    assert made.joules.mid == pytest.approx(864)
    assert made.gpu_joules.mid < made.it_joules.mid < made.joules.mid
    assert made.it_joules.mid == pytest.approx(864 / made.profile.pue)


def test_a_meter_speaks_for_a_model_nobody_knows():
    made = estimate(USAGE, "our-own-finetune", evidence=METER)
    assert made.tier == "measured"
    assert made.joules.mid > made.it_joules.mid > made.gpu_joules.mid == 200
    assert made.grams_co2e is not None
    assert made.flops is None
    assert "flops" in made.reasons
    assert "joules" not in made.reasons


@settings(deadline=None)
@given(
    st.floats(0, 1e9),
    st.sampled_from(("gpu", "it", "facility")),
    st.sampled_from(("measured", "disclosed")),
    st.sampled_from(("gpt-4o", "llama-3.1-8b-instruct", "nobody-knows")),
)
def test_the_stated_figure_stays_where_it_was_stated(joules, scope, kind, model):
    evidence = Evidence(kind=kind, joules=joules, scope=scope, source="x")
    made = estimate(USAGE, model, evidence=evidence, deployment=Deployment(pue=1.3, market_grams_per_kwh=10.0))
    stated = {"gpu": made.gpu_joules, "it": made.it_joules, "facility": made.joules}[scope]
    assert stated.mid == pytest.approx(joules)
    assert made.joules.mid == pytest.approx(1.3 * made.it_joules.mid)
    assert made.market_grams_co2e.mid == pytest.approx(made.joules.mid / JOULES_PER_KWH * 10)
    for value in (made.gpu_joules, made.it_joules, made.joules, made.grams_co2e, made.liters):
        assert value.low <= value.mid <= value.high


@pytest.mark.parametrize(
    "wrong", [{"joules": -1.0}, {"joules": float("nan")}, {"scope": "rack"}, {"kind": "guessed"}, {"band": (1.1, 1.2)}]
)
def test_evidence_that_cannot_be_is_refused(wrong):
    with pytest.raises(EvidenceError):
        Evidence(**{"kind": "measured", "joules": 1.0, "scope": "gpu", "source": "x", **wrong})


@pytest.mark.parametrize("model", ["nobody-knows", "o1-pro"])
def test_the_widest_prior_is_a_choice_and_says_so(model):
    assert estimate(USAGE, model, provider="openai").joules is None
    made = estimate(USAGE, model, provider="openai", unknown="widest")
    known = estimate(USAGE, "gpt-4o", provider="openai")
    assert made.tier == "unknown"
    assert made.joules.high / made.joules.low > 2 * known.joules.high / known.joules.low
    assert made.joules.low < known.joules.mid < made.joules.high
    assert any("widest prior" in text for text in made.assumptions)
    assert made.model_id == (None if model == "nobody-knows" else model)
    assert estimate(USAGE, "gpt-4o", provider="openai", unknown="widest").joules == known.joules


@pytest.mark.parametrize("model", ["nobody-knows", "o1-pro"])
def test_a_meter_beside_the_widest_prior_keeps_what_the_meter_does_not_see(model):
    made = estimate(USAGE, model, evidence=METER, unknown="widest")
    prior = estimate(USAGE, model, unknown="widest")
    assert made.tier == "measured"
    assert made.gpu_joules.mid == 200
    assert made.flops == prior.flops is not None
    assert made.embodied_grams_co2e == prior.embodied_grams_co2e is not None
    assert "flops" not in made.reasons
    assert any("widest prior" in text for text in made.assumptions)
