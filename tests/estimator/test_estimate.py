import math
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import Architecture, Deployment, ModelCard, Usage, centre, estimate, facts_version, known_models, resolve
from estimator.errors import (
    CardError,
    DeploymentError,
    EstimatorError,
    UnknownGpuError,
    UnknownMethodError,
    UnknownZoneError,
)
from estimator.fits import find_fit
from estimator.units import JOULES_PER_KWH, with_prefix

CONVERSATION = Usage(input_tokens=2000, output_tokens=1000)
ENERGY = ("flops", "gpu_joules", "it_joules", "joules", "grams_co2e", "embodied_grams_co2e", "liters")


def test_the_chain_of_an_open_model_on_a_known_deployment():
    made = estimate(
        CONVERSATION,
        "llama-3.1-8b-instruct",
        deployment=Deployment(gpu="H100", n_gpus=1, batch=64, pue=1.2, fit="study"),
        zone="FRA",
    )
    assert made.tier == "deployment"
    assert made.zone == "FRA"
    assert made.joules is not None
    assert made.it_joules is not None
    assert made.grams_co2e is not None
    assert made.embodied_grams_co2e is not None
    assert made.flops is not None
    assert made.liters is not None
    assert made.joules.mid == pytest.approx(made.it_joules.mid * 1.2)
    assert made.grams_co2e.mid == pytest.approx(made.joules.mid / JOULES_PER_KWH * 41.44, rel=1e-3)
    assert made.embodied_grams_co2e.mid == pytest.approx(0.372093 * 0.0116, rel=0.01)
    # 2 · 8.03e9 · 3000 + attention: 2 · 32 · 4096 · 2000² in prefill, 4 · 32 · 4096 · 2500 a decoded token
    assert made.flops.mid == pytest.approx(2 * 8.03e9 * 3000 + 2 * 4096 * 32 * 2000**2 + 1000 * 4 * 4096 * 32 * 2500)
    assert made.liters.mid == pytest.approx(made.it_joules.mid / JOULES_PER_KWH * (1.0 + 1.2 * 3.6737), rel=1e-3)
    assert made.facts_version == facts_version()


@pytest.mark.parametrize(
    "model", ["llama-3.1-8b-instruct", "gpt-oss-20b", "gpt-4o", "claude-opus-4-5", "command-a-03-2025"]
)
def test_every_quantity_has_an_ordered_band(model):
    made = estimate(CONVERSATION, model)
    for name in ENERGY:
        value = getattr(made, name)
        assert value is not None, name
        assert 0 < value.low <= value.mid <= value.high, name
    assert made.gpu_joules is not None
    assert made.it_joules is not None
    assert made.joules is not None
    assert made.gpu_joules.mid < made.it_joules.mid < made.joules.mid
    assert made.joules.low < made.joules.mid < made.joules.high


def test_less_knowledge_is_a_wider_band():
    known = estimate(CONVERSATION, "llama-3.1-8b-instruct", deployment=Deployment(gpu="H100", n_gpus=1, batch=64))
    blind = estimate(CONVERSATION, "llama-3.1-8b-instruct")
    closed = estimate(CONVERSATION, "gpt-4o")
    assert (known.tier, blind.tier, closed.tier) == ("deployment", "open_model", "closed_model")
    widths = [made.gpu_joules.high / made.gpu_joules.low for made in (known, blind) if made.gpu_joules is not None]
    assert widths == [pytest.approx(find_fit().dense[1] / find_fit().dense[0]), pytest.approx(3.8273 / 0.2483)]


def test_an_unknown_model_is_none_with_a_hint_never_zero():
    made = estimate(CONVERSATION, "nobody-knows", provider="openai")
    assert made.tier == "unknown"
    assert made.model_id is None
    for name in ENERGY:
        assert getattr(made, name) is None
        assert "estimator/data/models" in made.reasons[name]
    assert "nobody-knows" in made.explain()


def test_a_named_model_without_a_public_size_is_still_priced():
    made = estimate(CONVERSATION, "o1-pro", provider="openai")
    assert made.model_id == "o1-pro"
    assert made.joules is None
    assert "size of o1-pro" in made.reasons["joules"]
    assert made.cost_usd == Decimal("0.9")


@pytest.mark.parametrize(
    "usage",
    [
        Usage(),
        Usage(input_tokens=-1, output_tokens=5),
        Usage(input_tokens=10, output_tokens=-5),
        Usage(input_tokens=10**15, output_tokens=5),
        Usage(input_tokens=10, cached_input_tokens=11, output_tokens=5),
        Usage(input_tokens=10, cached_input_tokens=-1, output_tokens=5),
        Usage(input_tokens=10),
    ],
)
@pytest.mark.parametrize("model", ["gpt-4o", "llama-3.1-8b"])
@pytest.mark.parametrize("method", ["roofline", "audit"])
def test_impossible_or_absent_counts_are_none_with_a_reason(usage, model, method):
    made = estimate(usage, model, provider="openai", method=method)
    assert made.joules is None
    assert made.cost_usd is None
    assert made.reasons["joules"]
    assert made.reasons["cost_usd"]
    assert centre(usage, model, provider="openai").joules is None


count = st.none() | st.integers(-5, 10**7) | st.integers()


@settings(deadline=None)
@given(
    st.text(max_size=40) | st.sampled_from(sorted(known_models())),
    st.none() | st.sampled_from(("openai", "gemini", "ollama", "nobody")),
    count,
    count,
    count,
    count,
    count,
    count,
    st.none() | st.text(max_size=10),
    st.dictionaries(st.sampled_from(("seconds", "web_searches", "x")), st.floats(0, 1e6), max_size=2),
)
def test_no_traffic_raises(model, provider, n_in, cached, written, audio, n_out, reasoning, tier, units):
    usage = Usage(
        input_tokens=n_in,
        cached_input_tokens=cached,
        cache_write_tokens=written,
        audio_input_tokens=audio,
        output_tokens=n_out,
        reasoning_tokens=reasoning,
        units=units,
    )
    at = datetime(2026, 1, 1, tzinfo=UTC)
    made = estimate(usage, model, provider=provider, service_tier=tier, at=at)
    assert (made.joules is None) == ("joules" in made.reasons)
    assert (made.cost_usd is None) == ("cost_usd" in made.reasons)
    assert made.cost_usd is None or made.cost_usd >= 0
    assert made.explain()
    middle = centre(usage, model, provider=provider, service_tier=tier, at=at)
    assert middle.joules == (None if made.joules is None else made.joules.mid)
    assert middle.cost_usd == made.cost_usd
    if made.grams_co2e is not None:
        assert middle.grams_co2e == pytest.approx(made.grams_co2e.mid)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"method": "guess"}, UnknownMethodError),
        ({"zone": "XXX"}, UnknownZoneError),
        ({"zone": "aws:nowhere-1"}, UnknownZoneError),
        ({"deployment": Deployment(gpu="H1000")}, UnknownGpuError),
        ({"deployment": Deployment(precision="int3")}, DeploymentError),
    ],
)
@pytest.mark.parametrize("model", ["gpt-4o", "llama-3.1-8b-instruct"])
def test_asking_for_what_does_not_exist_raises(model, arguments, error):
    with pytest.raises(error) as caught:
        estimate(CONVERSATION, model, **arguments)
    assert isinstance(caught.value, EstimatorError)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_gpus": 0},
        {"n_gpus": 1.5},
        {"batch": 0.5},
        {"batch": math.nan},
        {"pue": 0.9},
        {"pue": math.inf},
        {"stack": "x"},
        {"reserve": 0.5},
        {"reserve": math.nan},
        {"host_share": -0.1},
        {"market_grams_per_kwh": -1.0},
        {"tensor_parallel": 0},
        {"tensor_parallel": 2, "n_gpus": 1},
    ],
    ids=str,
)
def test_a_deployment_that_cannot_be_is_refused(wrong):
    with pytest.raises(DeploymentError):
        Deployment(**wrong)


@pytest.mark.parametrize(
    ("total", "active"),
    [((8.0, 8.0), (8.0, 8.0)), ((0.0, 0.0), (0.0, 0.0)), ((80e9, 8e9), (2e9, 2e9)), ((8e9, 8e9), (80e9, 80e9))],
)
def test_a_card_that_cannot_be_is_refused(total, active):
    with pytest.raises(CardError, match=r"^mine: "):
        ModelCard(id="mine", maker="me", kind="moe", weights="open", total_params=total, active_params=active)


def test_a_card_without_a_shape_has_a_wider_band_on_a_known_deployment():
    shaped = resolve("llama-3.1-8b-instruct")
    bare = ModelCard(
        id="mine",
        maker="me",
        kind="dense",
        weights="open",
        total_params=shaped.total_params,
        active_params=shaped.active_params,
        precision="bf16",
    )
    known = Deployment(gpu="H100", n_gpus=1, batch=64)
    made = {card.id: estimate(CONVERSATION, card, deployment=known) for card in (shaped, bare)}
    width = {name: each.joules.high / each.joules.low for name, each in made.items()}
    assert made["mine"].tier == "deployment"
    assert width["mine"] > 1.05 * width[shaped.id]
    assert "no measured row is like it in shape: wider band" in made["mine"].assumptions


def test_a_card_of_ones_own():
    card = ModelCard(
        id="mine",
        maker="me",
        kind="dense",
        weights="open",
        total_params=(8.03e9, 8.03e9),
        active_params=(8.03e9, 8.03e9),
        architecture=Architecture(
            total_params=8.03e9,
            active_params=8.03e9,
            layers=32,
            heads=32,
            kv_heads=8,
            head_dim=128,
            kv_elements=2048,
            full_layers=32,
        ),
        precision="bfloat16",
    )
    mine, shipped = estimate(CONVERSATION, card), estimate(CONVERSATION, "llama-3.1-8b-instruct")
    assert mine.model_id == "mine"
    assert mine.joules.mid == pytest.approx(shipped.joules.mid, rel=1e-12)


def test_the_provider_decides_overheads_and_place():
    openai, azure = (estimate(CONVERSATION, "gpt-4o", provider=name) for name in ("openai", "azure"))
    assert openai.zone == azure.zone == "USA"
    assert openai.joules is not None
    assert azure.joules is not None
    assert azure.joules.mid == pytest.approx(openai.joules.mid * 1.17 / 1.2)
    assert estimate(CONVERSATION, "mistral-small-latest", provider="mistral").zone == "SWE"
    assert estimate(CONVERSATION, "llama-3.1-8b").zone == "WOR"


def test_market_based_carbon_needs_a_contract():
    without = estimate(CONVERSATION, "llama-3.1-8b")
    assert without.market_grams_co2e is None
    assert "contract" in without.reasons["market_grams_co2e"]
    with_contract = estimate(CONVERSATION, "llama-3.1-8b", deployment=Deployment(market_grams_per_kwh=0.0))
    assert with_contract.market_grams_co2e is not None
    assert with_contract.market_grams_co2e.mid == 0


@pytest.mark.parametrize("model", ["gpt-4o", "llama-3.1-8b-instruct", "claude-opus-4-5"])
def test_the_explanation_states_each_figure(model):
    text = estimate(CONVERSATION, model, provider="openai").explain()
    for word in (
        "FLOPs",
        "GPU",
        "servers",
        "facility",
        "carbon",
        "embodied",
        "water",
        "bands",
        "like",
        "assumed",
        "sources",
    ):
        assert word in text


def test_the_audit_s_point_is_not_shown_without_our_band():
    made = estimate(CONVERSATION, "gpt-4o", method="audit")
    ours = estimate(CONVERSATION, "gpt-4o").joules
    (beside,) = (text for text in made.assumptions if "by the roofline" in text)
    for point in (ours.low, ours.mid, ours.high):
        assert with_prefix(point, "J", 3) in beside


def test_weights_that_do_not_fit_are_said():
    sentence = "the weights do not fit 4 × TPU-v6e: reckoned as if, one sequence at a time"
    for gpu, said in (("TPU-v6e", True), ("H100", False)):
        made = estimate(CONVERSATION, "llama-3.1-70b-instruct", deployment=Deployment(gpu=gpu, n_gpus=4, batch=64))
        assert (sentence in made.assumptions) == said
        assert (made.tier == "open_model") == said
