"""Every shipped model has an estimate that holds together, or says why it has none."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import Deployment, Usage, estimate, known_models, resolve, sources

MODELS = sorted(known_models())
TIERS = {"open": "open_model", "closed": "closed_model"}
QUANTITIES = ("flops", "gpu_joules", "it_joules", "joules", "grams_co2e", "embodied_grams_co2e", "liters")


def holds_together(made, model):
    card = resolve(model)
    assert made.model_id == model
    if card.total_params is None:
        assert made.tier == "unknown"
        assert made.joules is None
        assert "no public figure" in made.reasons["joules"]
        return
    for name in QUANTITIES:
        value = getattr(made, name)
        assert 0 <= value.low <= value.mid <= value.high, (model, name)
    assert made.gpu_joules.low < made.gpu_joules.mid < made.gpu_joules.high
    assert made.gpu_joules.mid < made.it_joules.mid < made.joules.mid
    assert set(made.sources) <= set(sources())
    assert made.sources
    assert made.assumptions
    assert sum(part.share for part in made.flops_parts) == pytest.approx(1)
    assert all(part.share >= 0 for part in made.flops_parts)


@pytest.mark.parametrize("model", MODELS)
def test_the_estimate_of_a_model_holds_together(model):
    made = estimate(Usage(input_tokens=2000, cached_input_tokens=500, output_tokens=1000), model)
    holds_together(made, model)
    if made.joules is not None:
        assert made.tier == TIERS[resolve(model).weights]
    assert estimate(Usage(input_tokens=2000, output_tokens=1000), model, unknown="widest").joules is not None


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(MODELS),
    st.integers(0, 1_000_000),
    st.integers(0, 1_000_000),
    st.integers(1, 200_000),
    st.none() | st.sampled_from(("H100", "A100", "B200", "MI300X", "L40S", "TPU-v6e")),
)
def test_it_holds_together_at_any_length_on_any_machine(model, n_in, n_cached, n_out, gpu):
    usage = Usage(input_tokens=n_in, cached_input_tokens=min(n_in, n_cached), output_tokens=n_out)
    deployment = None if gpu is None else Deployment(gpu=gpu, n_gpus=8, batch=32)
    holds_together(estimate(usage, model, deployment=deployment), model)
