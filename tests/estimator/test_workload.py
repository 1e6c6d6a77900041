"""Measured rows: the roofline, given the deployment, against watt meters."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.measured import read
from estimator.deployments import known_gpus
from estimator.errors import DeploymentError, EstimatorError, UnknownGpuError
from estimator.fits import constants
from estimator.workload import Workload, compiled, estimate_workload
from estimator.workload_rows import workload_of

LLAMA_8B = {
    "model": "Llama-3.1-8B",
    "kind": "dense",
    "total_params": 8.03e9,
    "active_params": 8.03e9,
    "layers": 32,
    "heads": 32,
    "kv_heads": 8,
    "head_dim": 128,
    "kv_elements": 2048,
    "full_layers": 32,
    "precision": "bfloat16",
    "n_gpus": 1,
    "input_tokens": 250.0,
    "output_tokens": 600.0,
    "output_cv2": 0.9,
}
LLAMA_70B = {
    **LLAMA_8B,
    "model": "Llama-3.1-70B",
    "total_params": 70.55e9,
    "active_params": 70.55e9,
    "layers": 80,
    "heads": 64,
    "full_layers": 80,
    "n_gpus": 4,
}
LLAMA_405B = {
    **LLAMA_8B,
    "model": "Llama-3.1-405B-FP8",
    "total_params": 405.85e9,
    "active_params": 405.85e9,
    "layers": 126,
    "heads": 128,
    "full_layers": 126,
    "n_gpus": 8,
    "precision": "fp8",
}

# model, GPU, batch, measured GPU joules per output token (ML.ENERGY v3.0, chat)
MEASURED = [
    (LLAMA_8B, "H100", 8, 0.455),
    (LLAMA_8B, "H100", 32, 0.165),
    (LLAMA_8B, "H100", 64, 0.119),
    (LLAMA_8B, "H100", 128, 0.095),
    (LLAMA_8B, "H100", 256, 0.077),
    (LLAMA_8B, "B200", 8, 0.391),
    (LLAMA_8B, "B200", 64, 0.110),
    (LLAMA_8B, "B200", 512, 0.060),
    (LLAMA_70B, "H100", 8, 3.759),
    (LLAMA_70B, "H100", 64, 0.797),
    (LLAMA_70B, "H100", 256, 0.479),
    (LLAMA_70B, "H100", 1024, 0.373),
    (LLAMA_405B, "H100", 8, 13.98),
    (LLAMA_405B, "H100", 64, 3.082),
    (LLAMA_405B, "H100", 256, 2.063),
]


@pytest.mark.parametrize(("model", "gpu", "batch", "joules"), MEASURED)
def test_measured_rows_are_met_within_a_factor_of_two(model, gpu, batch, joules):
    made = estimate_workload(Workload(**model, gpu=gpu, batch=batch))
    assert made.tier == "deployment"
    assert 0.5 < made.gpu_joules.mid / (joules * model["output_tokens"]) < 2
    assert made.gpu_joules.mid < made.joules.mid


def test_nine_of_ten_measured_rows_lie_in_the_band():
    inside = [
        joules * model["output_tokens"] in estimate_workload(Workload(**model, gpu=gpu, batch=batch)).gpu_joules
        for model, gpu, batch, joules in MEASURED
    ]
    assert sum(inside) >= 0.9 * len(inside)


def test_the_stack_of_2024_costs_more():
    now = estimate_workload(Workload(**LLAMA_8B, gpu="H100", batch=64))
    then = estimate_workload(Workload(**LLAMA_8B, gpu="H100", batch=64, stack="vllm-2024"))
    assert then.gpu_joules.mid > 1.5 * now.gpu_joules.mid


def test_what_cannot_be_is_refused():
    with pytest.raises(UnknownGpuError, match="known:"):
        estimate_workload(Workload(**LLAMA_8B, gpu="abacus", batch=64))
    with pytest.raises(DeploymentError):
        estimate_workload(Workload(**{**LLAMA_8B, "n_gpus": 0}, gpu="H100", batch=64))


# A row as a table states it: Llama 3.1 8B in chat on one H100.
ROW = {
    "kind": "dense",
    "total_params_b": "8.03",
    "active_params_b": "8.03",
    "layers": "32",
    "n_heads": "32",
    "n_kv_heads": "8",
    "head_dim": "128",
    "kv_elems_per_layer": "2048",
    "full_attn_layers": "32",
    "precision": "bfloat16",
    "gpu": "H100-SXM-80GB",
    "n_gpus": "1",
    "tp": "1",
    "batch_or_concurrency": "64",
    "avg_input_tokens": "250",
    "avg_output_tokens": "600",
    "out_len_cv2": "0.9",
}
DEEPSEEK = {
    **ROW,
    "kind": "moe",
    "total_params_b": "671",
    "active_params_b": "37",
    "layers": "61",
    "full_attn_layers": "61",
    "n_heads": "128",
    "n_kv_heads": "128",
    "kv_elems_per_layer": "576",
    "n_experts": "256",
    "topk": "8",
    "precision": "fp8",
    "gpu": "H200",
    "n_gpus": "16",
    "tp": "",
    "ep": "16",
    "dp": "16",
}


def of(**changed):
    return estimate_workload(workload_of({**ROW, **changed}))


def width(made):
    return made.gpu_joules.high / made.gpu_joules.low


def test_what_the_fit_was_made_of_is_what_the_rows_are():
    works = [row.workload for row in read()]
    seen = constants()["seen"]
    assert set(seen["accelerators"]) == {work.gpu for work in works}
    assert set(seen["precisions"]) == {work.precision for work in works}
    for name, values in (
        ("total_params", [work.total_params for work in works]),
        ("batch", [work.batch for work in works]),
        ("context", [work.input_tokens + work.output_tokens for work in works]),
    ):
        assert seen[name] == pytest.approx([min(values), max(values)], rel=0.01), name
    assert not any(compiled(work).unseen for work in works)


@pytest.mark.parametrize(
    "changed",
    [
        {"gpu": "H200"},
        {"gpu": "L40S"},
        {"gpu": "A100-SXM-80GB"},
        {"gpu": "MI300X"},
        {"batch_or_concurrency": "1"},
        {"batch_or_concurrency": "6000"},
        {"avg_output_tokens": "60000"},
        {"avg_input_tokens": "100000", "batch_or_concurrency": "8"},
        {"total_params_b": "1.2", "active_params_b": "1.2"},
        {"state_bytes_per_seq": "283115520"},
        {"kv_elems_per_layer": "576"},
        {"precision": "int4"},
        {"layers": ""},
    ],
    ids=str,
)
def test_what_the_fit_never_saw_has_a_wider_band(changed):
    made = of(**changed)
    assert made.tier == "deployment"
    assert width(made) > 1.05 * width(of())
    assert 0 < made.gpu_joules.low < made.gpu_joules.mid < made.gpu_joules.high


def test_what_is_new_in_two_ways_is_wider_than_in_one():
    assert width(of(gpu="H200", batch_or_concurrency="1")) > width(of(batch_or_concurrency="1")) > width(of())


def test_what_was_taken_for_granted_is_said():
    assert of().assumptions == ()
    bare = {name: ROW[name] for name in ("total_params_b", "avg_input_tokens", "avg_output_tokens")}
    said = "; ".join(estimate_workload(workload_of(bare)).assumptions)
    for part in ("all parameters", "39 layers", "bfloat16 weights", "H100-SXM-80GB", "1 GPUs", "64 sequences"):
        assert part in said
    assert "accelerator" in "; ".join(of(gpu="L40S").assumptions)
    assert "NVIDIA's" in "; ".join(of(gpu="MI300X").assumptions)


def test_weights_that_do_not_fit_have_the_band_of_an_unknown_machine():
    made = of(total_params_b="405", active_params_b="405")
    assert made.tier == "open_model"
    assert "do not fit" in made.assumptions[0]
    assert width(made) > 10
    assert width(of(precision="")) > width(of())
    crowded = of(avg_input_tokens="1000000")
    assert (crowded.tier, crowded.assumptions[0][:30]) == ("open_model", "the caches of 64 sequences do ")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"n_gpus": "2.5"}, "n_gpus is a count, not 2.5"),
        ({"n_kv_heads": "64"}, "not 64 of 32"),
        ({"n_experts": "8", "topk": "16"}, "active experts are no more than all experts, not 16 of 8"),
        ({"tp": "8"}, "8 ranks needs as many GPUs, not 1"),
        ({"n_experts": "128", "topk": "8", "active_params_b": ""}, "only a part is active"),
        ({"kind": "moe", "active_params_b": ""}, "only a part is active"),
        ({"total_params_b": "8030000000", "active_params_b": "8030000000"}, "billions"),
    ],
    ids=str,
)
def test_cells_that_contradict_each_other_are_refused(changed, why):
    with pytest.raises(EstimatorError, match=why):
        of(**changed)


def test_a_part_of_the_parameters_active_without_experts_is_a_mixture_of_unknown_shape():
    sparse = of(total_params_b="235", active_params_b="22", n_gpus="8", n_experts="0", topk="0", kind="dense")
    assert "128 experts" in sparse.assumptions[0]
    assert sparse.gpu_joules == of(total_params_b="235", active_params_b="22", n_gpus="8", kind="moe").gpu_joules


def test_a_record_of_numbers_is_read_like_one_of_text():
    numbers = {name: float(cell) for name, cell in ROW.items() if name not in {"kind", "precision", "gpu"}}
    words = {"kind": "dense", "precision": None, "gpu": " H100 "}
    assert estimate_workload(workload_of(numbers | words | {" Precision ": "BF16"})) == of()
    assert workload_of({**ROW, "avg_output_tokens": 0}).output_tokens == 0


@pytest.mark.parametrize("missing", ["gpu", "batch_or_concurrency", "n_gpus"])
@pytest.mark.parametrize("nothing", ["", "nan", "None", " NA "])
def test_a_deployment_not_said_is_that_of_an_unknown_host(missing, nothing):
    made = of(**{missing: nothing, "tp": nothing})
    assert made.tier == "open_model"
    assert width(made) > 10


def test_absent_cells_of_a_shape_are_guessed_from_the_size():
    bare = {name: ROW[name] for name in ("total_params_b", "gpu", "n_gpus", "batch_or_concurrency")}
    lengths = {name: ROW[name] for name in ("avg_input_tokens", "avg_output_tokens", "out_len_cv2")}
    made = estimate_workload(workload_of(bare | lengths))
    assert 0.7 < made.gpu_joules.mid / of().gpu_joules.mid < 1.4
    assert width(made) > width(of())
    mixture = estimate_workload(workload_of({**DEEPSEEK, "n_experts": "", "topk": ""}))
    assert 0.5 < mixture.gpu_joules.mid / estimate_workload(workload_of(DEEPSEEK)).gpu_joules.mid < 2


def test_less_than_one_sequence_is_one():
    assert of(batch_or_concurrency="0.4").gpu_joules == of(batch_or_concurrency="1").gpu_joules


def test_experts_over_data_parallel_groups_share_their_weights_and_not_their_caches():
    spread = estimate_workload(workload_of(DEEPSEEK))
    assert spread == estimate_workload(workload_of({**DEEPSEEK, "tp": "1"}))
    together = estimate_workload(workload_of({**DEEPSEEK, "dp": "1", "batch_or_concurrency": "1024"}))
    assert spread.gpu_joules.mid < together.gpu_joules.mid
    assert width(spread) > width(together)


def test_data_parallel_groups_work_alike():
    one, four = of(), of(dp="4", n_gpus="4")
    assert four.gpu_joules == one.gpu_joules


FOREIGN = [gpu.name for gpu in known_gpus() if gpu.vendor != "nvidia"]


@pytest.mark.parametrize("gpu", FOREIGN)
def test_another_vendor_has_a_band_of_a_factor_of_five_at_least(gpu):
    assert width(of(gpu=gpu)) > 5


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("torch.bfloat16", "bfloat16"),
        ("BF16", "bfloat16"),
        ("float16", "bfloat16"),
        ("fp8_e4m3", "fp8"),
        ("awq-int4", "int4"),
        ("Q4_K_M", "int4"),
        ("bnb-4bit", "int4"),
        ("fp8 E4M3", "fp8"),
        ("float8_e4m3fn", "fp8"),
        ("FP4", "nvfp4"),
        (" MXFP4", "mxfp4"),
        ("Q8_0", "w8a16"),
    ],
)
def test_formats_go_by_several_names(name, same):
    assert of(precision=name).gpu_joules == of(precision=same).gpu_joules


cells = st.sampled_from(("", "0", "1", "3", "64", "1e6", "-1", "nan", "x", "0.5"))


@settings(deadline=None, max_examples=300)
@given(
    st.dictionaries(st.sampled_from(sorted(ROW)), cells, max_size=4),
    st.sampled_from(("H100", "MI300X", "B200", "L40S", "A100", "H200", "", "abacus")),
)
def test_any_row_has_a_banded_estimate_or_an_error_of_ours(changed, gpu):
    try:
        made = of(**{**changed, "gpu": gpu})
    except EstimatorError:  # it says why, in the row's column
        return
    for value in (made.gpu_joules, made.joules, made.grams_co2e):
        assert 0 <= value.low <= value.mid <= value.high < math.inf
    assert made.gpu_joules.mid == 0 or made.gpu_joules.low < made.gpu_joules.mid < made.gpu_joules.high
