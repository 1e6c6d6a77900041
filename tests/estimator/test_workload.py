"""Measured rows: the roofline, given the deployment, against watt meters."""

import pytest

from estimator.errors import DeploymentError, UnknownGpuError
from estimator.workload import Workload, estimate_workload

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
