"""A workload with its model and deployment stated in full: mean lengths in, joules per request out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from estimator.carbon import operational_grams
from estimator.deployments import Deployment, find_gpu, find_precision
from estimator.energy import Roofline
from estimator.errors import WorkloadError
from estimator.fits import Fit, constants, find_fit
from estimator.grid import WORLD, grid
from estimator.models import Architecture
from estimator.overheads import overheads
from estimator.profiles import Tier
from estimator.ranges import Range, combined

_MOST: Final = 1e9
_MOST_PARAMS: Final = 1e15
_OLD_STACKS: Final = ("vllm 0.4", "vllm 0.5", "vllm-0.4", "vllm-0.5", "leaderboard-v2")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Model facts, deployment and mean request; ``output_cv2`` is the output lengths' squared variation.

    ``batch`` is the measured mean of one data-parallel group, so it is not held against the memory;
    ``n_gpus`` are the devices of all ``data_parallel`` groups together.
    """

    model: str
    kind: str
    total_params: float
    active_params: float
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    kv_elements: int
    experts: int = 0
    experts_active: int = 0
    full_layers: int = 0
    window_layers: int = 0
    window: int = 0
    state_bytes: float = 0.0
    precision: str
    gpu: str
    n_gpus: int
    tensor_parallel: int | None = None
    expert_parallel: int = 1
    data_parallel: int = 1
    batch: float
    input_tokens: float
    cached_tokens: float = 0.0
    output_tokens: float
    output_cv2: float = 0.0
    stack: str = "current"

    def __post_init__(self) -> None:
        sizes = (self.total_params, self.active_params, self.layers, self.heads, self.kv_heads, self.head_dim)
        if not all(0 < value <= _MOST_PARAMS for value in sizes):
            msg = "parameters, layers, heads and their width are positive numbers, parameters below 10^15"
            raise WorkloadError(msg)
        lengths = (self.input_tokens, self.cached_tokens, self.output_tokens, self.output_cv2, self.state_bytes)
        if not all(0 <= value <= _MOST for value in lengths):
            msg = "token counts, their variation and the state are numbers from 0 to 10^9"
            raise WorkloadError(msg)
        if self.active_params > self.total_params * 1.0001 or self.cached_tokens > self.input_tokens:
            msg = "active parameters are part of all parameters, cached tokens of the input"
            raise WorkloadError(msg)
        if not 0 < self.batch <= _MOST:
            msg = f"the batch is a positive number of sequences, not {self.batch}"
            raise WorkloadError(msg)
        if self.data_parallel < 1 or self.expert_parallel < 1:
            msg = "data and expert parallelism are counts of at least 1"
            raise WorkloadError(msg)

    @property
    def shape(self) -> Architecture:
        """The model's shape."""
        return Architecture(
            total_params=self.total_params,
            active_params=self.active_params,
            layers=self.layers,
            heads=self.heads,
            kv_heads=self.kv_heads,
            head_dim=self.head_dim,
            kv_elements=self.kv_elements,
            experts=self.experts,
            experts_active=self.experts_active,
            full_layers=self.full_layers,
            window_layers=self.window_layers,
            window=self.window,
            state_bytes=self.state_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadEstimate:
    """Joules and grams of one mean request."""

    tier: Tier
    gpu_joules: Range
    joules: Range
    grams_co2e: Range


def compiled(workload: Workload, fit: Fit | None = None) -> Roofline:
    """Return the roofline of a workload's replica.

    Groups of data-parallel devices work alike, so one of them stands for all; where experts are spread
    over the groups, the devices are one replica whose batch is all groups' together.

    Raises:
        UnknownGpuError, DeploymentError: what the workload names does not exist.

    """
    groups = workload.data_parallel if workload.n_gpus % workload.data_parallel == 0 else 1
    n_gpus, batch = workload.n_gpus, workload.batch
    if groups > 1 and workload.expert_parallel > 1:
        batch *= groups
    elif groups > 1:
        n_gpus //= groups
    Deployment(n_gpus=n_gpus, batch=max(1.0, batch), stack=workload.stack)  # refuses what cannot be
    return Roofline(
        workload.shape,
        find_gpu(workload.gpu),
        n_gpus,
        find_precision(workload.precision),
        batch,
        tensor_parallel=workload.tensor_parallel,
        stack=workload.stack,
        memory_limit=False,
        fit=fit,
    )


def estimate_workload(workload: Workload, *, zone: str | None = None, fit: str | None = None) -> WorkloadEstimate:
    """Estimate a mean request of a workload with generic overheads.

    Raises:
        UnknownGpuError, DeploymentError, UnknownZoneError: what the row names does not exist.

    """
    roofline = compiled(workload, find_fit(fit))
    gpu = roofline.gpu
    draw = roofline.draw(workload.input_tokens, workload.cached_tokens, workload.output_tokens, workload.output_cv2)
    k = constants()
    operator = overheads(None)
    host = k["defaults"]["host_share"] * gpu.tdp_w * draw.gpu_seconds
    facility = (draw.gpu_joules + host) * k["defaults"]["reserve"] * operator.pue.mid
    gpu_band = combined(roofline.band, gpu.band)
    facility_band = combined(gpu_band, k["bands"]["facility"])
    grams = operational_grams(facility, grid(zone or WORLD).grams_per_kwh)
    carbon_band = combined(facility_band, k["bands"]["grid_hourly"])
    return WorkloadEstimate(
        tier="deployment",
        gpu_joules=Range.around(draw.gpu_joules, gpu_band),
        joules=Range.around(facility, facility_band),
        grams_co2e=Range.around(grams, carbon_band),
    )


def workload_of(row: Mapping[str, str | None]) -> Workload:
    """Read a workload from a row of a table, by the columns of ``tests/estimator/data/measured.csv``.

    Optional columns may be absent or empty; others are passed over.

    Raises:
        WorkloadError: a needed column is missing, empty or not a number.

    """

    def text(name: str) -> str:
        return (row.get(name) or "").strip()

    def number(name: str, default: float | None = None) -> float:
        if not text(name):
            if default is None:
                msg = f"column {name} is missing or empty"
                raise WorkloadError(msg)
            return default
        try:
            value = float(text(name))
        except ValueError as error:
            msg = f"column {name} is not a number: {text(name)!r}"
            raise WorkloadError(msg) from error
        if not math.isfinite(value):
            msg = f"column {name} is not a finite number: {text(name)!r}"
            raise WorkloadError(msg)
        return value

    def count(name: str, default: float | None = None) -> int:
        return round(number(name, default))

    if not text("gpu"):
        msg = "column gpu is missing or empty"
        raise WorkloadError(msg)
    source = text("source").lower()
    layers, heads, total = count("layers"), count("n_heads"), number("total_params_b")
    kv_heads = count("n_kv_heads", heads)
    head_dim = count("head_dim", number("d_model", 0) / max(heads, 1))
    windowed = count("swa_layers", 0)
    return Workload(
        model=text("model"),
        kind=text("kind") or ("moe" if count("n_experts", 0) else "dense"),
        total_params=total * 1e9,
        active_params=number("active_params_b", total) * 1e9,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        experts=count("n_experts", 0),
        experts_active=count("topk", 0),
        full_layers=count("full_attn_layers", layers - windowed),
        window_layers=windowed,
        window=count("swa_window", 0),
        kv_elements=count("kv_elems_per_layer", 2 * kv_heads * head_dim),
        state_bytes=number("state_bytes_per_seq", 0),
        precision=text("precision") or "bfloat16",
        gpu=text("gpu"),
        n_gpus=max(1, count("n_gpus", max(1, count("tp", 1)) * max(1, count("dp", 1)) * max(1, count("pp", 1)))),
        tensor_parallel=count("tp", 0) or None,
        expert_parallel=max(1, count("ep", 1)),
        data_parallel=max(1, count("dp", 1)),
        batch=number("batch_or_concurrency"),
        input_tokens=number("avg_input_tokens"),
        cached_tokens=number("avg_cached_tokens", 0),
        output_tokens=number("avg_output_tokens"),
        output_cv2=number("out_len_cv2", 0),
        stack="vllm-2024" if any(name in source for name in _OLD_STACKS) else "current",
    )
