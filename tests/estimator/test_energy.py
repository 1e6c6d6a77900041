"""The roofline against cases worked out by another implementation, and what must hold for every workload."""

import math
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from estimator import Deployment, Speculation, Usage, estimate, resolve
from estimator.deployments import find_gpu, find_precision, known_gpus
from estimator.energy import Roofline
from estimator.errors import DeploymentError
from estimator.fits import find_fit

# model, H100s, precision, batch
PLANTS = {
    "8B": ("Llama-3.1-8B-Instruct", 1, "bf16", 64),
    "70B": ("Llama-3.1-70B-Instruct", 4, "bf16", 64),
    "405B": ("Llama-3.1-405B-Instruct-FP8", 8, "fp8", 64),
    "Qwen3": ("Qwen3-235B-A22B-Instruct-2507", 8, "bf16", 128),
    "gpt-oss": ("gpt-oss-120b", 1, "mxfp4", 64),
    "Gemma": ("gemma-3-27b-it", 2, "bf16", 64),
}
# plant; input, cached, output tokens; GPU, server and facility joules, GPU-seconds, effective batch
# with host 0.30, reserve 1.10, PUE 1.2
GOLDEN = [
    ("8B", 2000, 0, 1000, 188.063426, 292.823296, 351.387955, 0.372093, 64),
    ("8B", 2000, 1800, 1000, 154.222419, 241.34087, 289.609044, 0.310373, 64),
    ("8B", 100, 0, 400, 41.122783, 65.193259, 78.231911, 0.086399, 64),
    ("70B", 2000, 0, 1000, 1229.690883, 1917.447065, 2300.936478, 2.444966, 64),
    ("70B", 2000, 1800, 1000, 935.87917, 1470.53277, 1764.639324, 1.909375, 64),
    ("70B", 100, 0, 400, 324.54907, 512.504564, 615.005477, 0.673163, 64),
    ("405B", 2000, 0, 1000, 4270.970875, 6844.503329, 8213.403994, 9.291928, 64),
    ("405B", 2000, 1800, 1000, 3427.607229, 5563.605508, 6676.32661, 7.762933, 64),
    ("405B", 100, 0, 400, 1296.376997, 2112.111075, 2534.533291, 2.970114, 64),
    ("Qwen3", 2000, 0, 1000, 2030.595633, 3272.004366, 3926.40524, 4.495018, 91.596022),
    ("Qwen3", 2000, 1800, 1000, 1907.331119, 3078.67571, 3694.410852, 4.245071, 91.596022),
    ("Qwen3", 100, 0, 400, 530.944946, 862.888177, 1035.465812, 1.207137, 128),
    ("gpt-oss", 2000, 0, 1000, 296.063182, 470.452204, 564.542645, 0.626765, 64),
    ("gpt-oss", 2000, 1800, 1000, 267.892732, 426.256959, 511.508351, 0.569589, 64),
    ("gpt-oss", 100, 0, 400, 101.400895, 161.766064, 194.119277, 0.217425, 64),
    ("Gemma", 2000, 0, 1000, 545.884129, 851.574628, 1021.889554, 1.087022, 64),
    ("Gemma", 2000, 1800, 1000, 431.655841, 677.822995, 813.387595, 0.878795, 64),
    ("Gemma", 100, 0, 400, 138.569798, 219.106426, 262.927711, 0.288656, 64),
]
MODELS = (
    "llama-3.1-8b-instruct",
    "llama-3.1-70b-instruct",
    "gpt-oss-120b",
    "gemma-3-27b-it",
    "deepseek-v3.1",
    "nemotron-nano-9b-v2",
)
tokens = st.integers(0, 100_000)


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: "-".join(map(str, case[:4])))
def test_worked_cases_are_reproduced(case):
    plant, n_in, n_cached, n_out, gpu_j, it_j, facility_j, gpu_seconds, batch_eff = case
    name, n_gpus, precision, batch = PLANTS[plant]
    made = estimate(
        Usage(input_tokens=n_in, cached_input_tokens=n_cached, output_tokens=n_out),
        name,
        deployment=Deployment(
            gpu="H100",
            n_gpus=n_gpus,
            precision=precision,
            batch=batch,
            host_share=0.30,
            reserve=1.10,
            pue=1.2,
            fit="study",
        ),
    )
    assert made.tier == "deployment"
    assert made.gpu_joules is not None
    assert made.it_joules is not None
    assert made.joules is not None
    assert made.profile is not None
    assert made.gpu_joules.mid == pytest.approx(gpu_j, rel=1e-6)
    assert made.it_joules.mid == pytest.approx(it_j, rel=1e-6)
    assert made.joules.mid == pytest.approx(facility_j, rel=1e-6)
    stages = made.profile.points[0].stages(n_in, n_cached, n_out)
    assert stages.gpu_seconds == pytest.approx(gpu_seconds, abs=1e-6)  # printed with six decimals
    assert stages.batch == pytest.approx(batch_eff, rel=1e-6)


def roofline(name, batch=64.0, gpu="H100", n_gpus=8, precision="bfloat16"):
    card = resolve(name)
    assert card is not None
    assert card.architecture is not None
    return Roofline(card.architecture, find_gpu(gpu), n_gpus, find_precision(precision), batch)


@settings(deadline=None)
@given(st.sampled_from(MODELS), tokens, tokens, tokens, st.integers(1, 10_000), st.integers(1, 10_000))
def test_joules_rise_with_tokens(name, n_in, n_cached, n_out, more_in, more_out):
    assume(n_cached <= n_in)
    plant = roofline(name)
    base = plant.draw(n_in, n_cached, n_out).gpu_joules
    assert plant.draw(n_in + more_in, n_cached, n_out).gpu_joules > base
    assert plant.draw(n_in, n_cached, n_out + more_out).gpu_joules > base


@settings(deadline=None)
@given(st.sampled_from(MODELS), tokens, tokens, tokens, st.integers(1, 10_000))
def test_joules_fall_weakly_with_cached_tokens(name, n_in, n_cached, n_out, more):
    assume(n_cached + more <= n_in)
    plant = roofline(name)
    fewer = plant.draw(n_in, n_cached, n_out).gpu_joules
    assert plant.draw(n_in, n_cached + more, n_out).gpu_joules <= fewer * (1 + 1e-12)


@settings(deadline=None)
@given(st.sampled_from(MODELS), tokens, tokens, st.floats(1, 2000), st.sampled_from(("A100", "H100", "H200", "B200")))
def test_a_gpu_never_draws_more_than_its_design_power(name, n_in, n_out, batch, gpu):
    draw = roofline(name, batch=batch, gpu=gpu).draw(n_in, 0, n_out)
    assert draw.gpu_joules <= draw.gpu_seconds * find_gpu(gpu).tdp_w * (1 + 1e-12)


@settings(deadline=None)
@given(st.sampled_from(MODELS), tokens, st.integers(1, 20_000), st.floats(1, 500), st.floats(1.01, 4))
def test_a_larger_batch_never_costs_more(name, n_in, n_out, batch, factor):
    small = roofline(name, batch=batch).draw(n_in, 0, n_out).gpu_joules
    assert roofline(name, batch=batch * factor).draw(n_in, 0, n_out).gpu_joules <= small * (1 + 1e-9)


@settings(deadline=None)
@given(st.sampled_from(MODELS), tokens, tokens, tokens, st.floats(1, 500))
def test_the_prefill_is_a_part_of_the_whole(name, n_in, n_cached, n_out, batch):
    assume(n_cached <= n_in)
    plant = roofline(name, batch=batch)
    draw = plant.draw(n_in, n_cached, n_out)
    assert 0 <= draw.prefill_joules <= draw.gpu_joules
    assert 0 <= draw.prefill_seconds <= draw.gpu_seconds
    none = plant.draw(n_cached, n_cached, n_out)
    assert (none.prefill_joules, none.prefill_seconds) == (0.0, 0.0)
    all_of_it = plant.draw(n_in, n_cached, 0)
    assert (all_of_it.prefill_joules, all_of_it.prefill_seconds) == (all_of_it.gpu_joules, all_of_it.gpu_seconds)


def test_the_part_of_the_prefill_by_hand():
    plant, gpu = roofline("llama-3.1-8b-instruct", n_gpus=1), find_gpu("H100")
    draw, step, k = plant.draw(2000, 500, 300), plant.step(2000, 500, 300), plant.fit
    power, peak = gpu.tdp_w, gpu.bf16_flops
    prefill = k.s * power * step.prefill_s + k.phi * power / peak * plant.prefill_flops(2000, 500)
    whole = step.floor_j + step.overhead_j + step.arithmetic_j + step.traffic_j
    assert draw.prefill_joules / draw.gpu_joules == pytest.approx(prefill / whole)
    assert draw.prefill_seconds == pytest.approx(step.prefill_s)
    assert 0.02 < prefill / whole < 0.9


def test_two_calls_on_a_cached_prefix_cost_what_one_long_call_costs():
    plant = roofline("llama-3.1-8b-instruct", n_gpus=1)
    one = plant.draw(1000, 0, 400).gpu_joules
    two = plant.draw(1000, 0, 200).gpu_joules + plant.draw(1200, 1200, 200).gpu_joules
    assert two == pytest.approx(one, rel=0.02)


def test_long_context_is_held_to_the_memory():
    draw = roofline("llama-3.1-8b-instruct", n_gpus=1).draw(100_000, 0, 500)
    assert draw.batch == pytest.approx(4.3, abs=0.1)


def test_an_idle_request_draws_nothing():
    assert roofline("llama-3.1-8b-instruct").draw(0, 0, 0).gpu_joules == 0


def test_another_vendor_is_corrected_and_its_band_is_wider():
    usage = Usage(input_tokens=500, output_tokens=500)
    bands = {}
    for gpu in ("H100", "MI300X"):
        made = estimate(usage, "llama-3.1-8b-instruct", deployment=Deployment(gpu=gpu, n_gpus=1, batch=64))
        assert made.gpu_joules is not None
        bands[gpu] = made.gpu_joules.high / made.gpu_joules.low
    assert bands["MI300X"] > 2 * bands["H100"]


def known(**more):
    return Deployment(gpu="H100", n_gpus=1, batch=64, **more)


def gpu_joules(deployment, n_in=500, n_out=500, model="llama-3.1-8b-instruct"):
    made = estimate(Usage(input_tokens=n_in, output_tokens=n_out), model, deployment=deployment)
    assert made.gpu_joules is not None
    return made.gpu_joules.mid


def test_fewer_bits_spare_traffic_but_not_arithmetic():
    plain = gpu_joules(known())
    assert gpu_joules(known(precision="int4")) < plain
    assert gpu_joules(known(kv_bytes=1.0)) < plain
    assert gpu_joules(known(precision="int4"), n_out=0) == pytest.approx(gpu_joules(known(), n_out=0))


def test_speculative_decoding_yields_what_its_source_says():
    draft = Speculation(draft_tokens=4, acceptance=0.8, draft_cost=0.0)
    assert draft.tokens_per_step == pytest.approx(sum(0.8**i for i in range(5)))
    assert Speculation(draft_tokens=1, acceptance=0.0, draft_cost=0.0).tokens_per_step == 1


def test_a_good_draft_spares_energy_at_a_small_batch_and_a_bad_one_costs_some():
    small = Deployment(gpu="H100", n_gpus=1, batch=1)
    good = Speculation(draft_tokens=4, acceptance=0.8, draft_cost=0.05)
    bad = Speculation(draft_tokens=8, acceptance=0.1, draft_cost=0.2)
    plain = gpu_joules(small)
    assert gpu_joules(replace(small, speculation=good)) < 0.6 * plain
    assert gpu_joules(replace(small, speculation=bad)) > plain
    assert gpu_joules(replace(small, speculation=good), n_out=0) == gpu_joules(small, n_out=0)


@pytest.mark.parametrize(
    "wrong", [{"draft_tokens": 0}, {"acceptance": 1.0}, {"acceptance": -0.1}, {"draft_cost": -1.0}]
)
def test_a_draft_that_cannot_be_is_refused(wrong):
    with pytest.raises(DeploymentError):
        Speculation(**{"draft_tokens": 4, "acceptance": 0.8, "draft_cost": 0.1, **wrong})


@pytest.mark.parametrize("gpu", [gpu.name for gpu in known_gpus()])
def test_every_accelerator_gives_joules_and_another_vendor_s_says_so(gpu):
    made = estimate(
        Usage(input_tokens=500, output_tokens=500),
        "llama-3.1-8b-instruct",
        deployment=Deployment(gpu=gpu, n_gpus=4, batch=16),
    )
    assert made.gpu_joules is not None
    assert made.gpu_joules.mid > 0
    foreign = find_gpu(gpu).vendor != "nvidia"
    assert any("NVIDIA" in text for text in made.assumptions) == foreign
    assert (made.gpu_joules.high / made.gpu_joules.low > 6) == foreign
    stages = made.profile.points[0].stages(500, 0, 500)
    assert stages.gpu_joules <= stages.gpu_seconds * find_gpu(gpu).tdp_w * (1 + 1e-9)


def test_the_parts_of_a_step_sum_to_it():
    for fit in ("2026-11-28", "2026-11", "study"):
        card = resolve("llama-3.1-8b-instruct")
        plant = Roofline(card.architecture, find_gpu("H100"), 1, find_precision("bfloat16"), 64, fit=find_fit(fit))
        step = plant.step(2000, 0, 1000)
        roof = math.hypot if find_fit(fit).smooth_roof else max
        assert step.step_s == pytest.approx(roof(step.memory_s, step.arithmetic_s) + step.kv_s + step.overhead_s)
        seconds = plant.draw(2000, 0, 1000).gpu_seconds
        assert seconds == pytest.approx(1000 * step.step_s / 64 + step.prefill_s)
        parts = step.floor_j + step.overhead_j + step.arithmetic_j + step.traffic_j
        cap = find_fit(fit).cap
        capped = (parts**-cap + step.limit_j**-cap) ** (-1 / cap)
        assert plant.draw(2000, 0, 1000).gpu_joules == pytest.approx(capped)


@settings(deadline=None)
@given(st.sampled_from(MODELS), st.integers(0, 20_000), st.integers(0, 5_000), st.floats(1, 500), st.floats(1.001, 10))
def test_joules_rise_with_parameters(name, n_in, n_out, batch, factor):
    assume(n_in + n_out > 0)
    shape = resolve(name).architecture
    larger = replace(shape, total_params=shape.total_params * factor, active_params=shape.active_params * factor)
    sparser = replace(shape, total_params=shape.total_params * factor)
    drawn = [
        Roofline(one, find_gpu("H100"), 64, find_precision("fp8"), batch, memory_limit=False).draw(n_in, 0, n_out)
        for one in (shape, larger, sparser)
    ]
    assert drawn[1].gpu_joules > drawn[0].gpu_joules
    assert drawn[1].gpu_seconds > drawn[0].gpu_seconds
    if shape.experts:
        assert drawn[2].gpu_joules >= drawn[0].gpu_joules * (1 - 1e-12)


@settings(deadline=None)
@given(
    st.sampled_from((*MODELS, "gpt-4o", "claude-opus-4-5")),
    st.integers(0, 50_000),
    st.integers(1, 20_000),
    st.floats(1, 2),
    st.floats(0, 1),
    st.floats(1, 1.5),
    st.sampled_from(("FRA", "POL", "WOR", "aws:us-east-1")),
    st.floats(0, 900),
)
def test_units_carry_from_joules_to_grams_and_liters(name, n_in, n_out, pue, host, reserve, zone, contract):
    deployment = Deployment(
        gpu="H100",
        n_gpus=16,
        batch=32,
        precision="fp8",
        pue=pue,
        host_share=host,
        reserve=reserve,
        market_grams_per_kwh=contract,
    )
    made = estimate(Usage(input_tokens=n_in, output_tokens=n_out), name, deployment=deployment, zone=zone)
    point = made.profile.points[len(made.profile.points) // 2]
    seconds = point.stages(n_in, 0, n_out).gpu_seconds
    place, kwh = made.profile.grid, made.joules.mid / 3.6e6
    if len(made.profile.points) == 1:
        assert made.it_joules.mid == pytest.approx((made.gpu_joules.mid + host * 700 * seconds) * reserve)
    assert made.joules.mid == pytest.approx(made.it_joules.mid * pue * point.factors[2] / point.factors[1])
    assert made.grams_co2e.mid == pytest.approx(kwh * place.grams_per_kwh)
    assert made.market_grams_co2e.mid == pytest.approx(kwh * contract)
    site = made.profile.overheads.site_liters_per_kwh.mid
    assert made.liters.mid == pytest.approx(made.it_joules.mid / 3.6e6 * (site + pue * place.liters_per_kwh))
    assert made.embodied_grams_co2e.mid == pytest.approx(seconds * point.factors[0] * point.embodied_g_per_s)
