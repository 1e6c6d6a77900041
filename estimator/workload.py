"""A workload with its model and deployment stated in full: mean lengths in, joules per request out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from estimator.carbon import operational_grams
from estimator.deployments import Deployment, find_gpu, find_precision, gpus_needed
from estimator.energy import Roofline
from estimator.errors import WorkloadError
from estimator.fits import Fit, constants, find_fit
from estimator.grid import WORLD, grid
from estimator.models import Architecture, surrogate
from estimator.novelty import long_context, widening
from estimator.overheads import overheads
from estimator.profiles import Tier
from estimator.ranges import Range, combined

_MOST: Final = 1e9
_MOST_PARAMS: Final = 1e15
_NOTHING: Final = frozenset({"nan", "na", "n/a", "none", "null", "-"})
_DEPLOYED: Final = {"gpu": "gpu", "batch": "batch_or_concurrency"}
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
    assumed: frozenset[str] = frozenset()  # of gpu, n_gpus, batch and shape: what the row did not say

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
    ranks = workload.tensor_parallel or n_gpus // groups
    if groups > 1 and workload.expert_parallel > 1:
        batch *= groups
    elif groups > 1:
        n_gpus //= groups
    Deployment(n_gpus=n_gpus, stack=workload.stack)  # refuses what cannot be
    return Roofline(
        workload.shape,
        find_gpu(workload.gpu),
        n_gpus,
        find_precision(workload.precision),
        batch,
        tensor_parallel=ranks,
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
    blind = not workload.assumed.isdisjoint({"gpu", "n_gpus", "batch"})
    gpu_band = combined(
        k["bands"]["open_model"] if blind else combined(roofline.band, widening(_traits(workload))), gpu.band
    )
    facility_band = combined(gpu_band, k["bands"]["facility"])
    grams = operational_grams(facility, grid(zone or WORLD).grams_per_kwh)
    carbon_band = combined(facility_band, k["bands"]["grid_hourly"])
    return WorkloadEstimate(
        tier="open_model" if blind else "deployment",
        gpu_joules=Range.around(draw.gpu_joules, gpu_band),
        joules=Range.around(facility, facility_band),
        grams_co2e=Range.around(grams, carbon_band),
    )


def _traits(workload: Workload) -> list[str]:
    """Return what sets a workload apart from the measured rows beside its deployment."""
    found = {
        "context": long_context(workload.input_tokens + workload.output_tokens),
        "spread": workload.data_parallel > 1 and workload.expert_parallel > 1,
        "shape": "shape" in workload.assumed,
    }
    return [name for name, new in found.items() if new]


class _Row:
    """A row of a table whose cells may be absent, empty or hold what tables write for nothing."""

    def __init__(self, cells: Mapping[str, str | None]) -> None:
        self._cells = cells

    def text(self, name: str) -> str:
        value = (self._cells.get(name) or "").strip()
        return "" if value.lower() in _NOTHING else value

    def number(self, name: str, default: float | None = None) -> float:
        text = self.text(name)
        if not text:
            if default is None:
                msg = f"column {name} is missing or empty"
                raise WorkloadError(msg)
            return default
        try:
            value = float(text)
        except ValueError as error:
            msg = f"column {name} is not a number: {text!r}"
            raise WorkloadError(msg) from error
        if not math.isfinite(value):
            msg = f"column {name} is not a finite number: {text!r}"
            raise WorkloadError(msg)
        return value

    def count(self, name: str, default: float | None = None) -> int:
        return round(self.number(name, default))


def workload_of(cells: Mapping[str, str | None]) -> Workload:
    """Read a workload from a row of a table, by the columns of ``tests/estimator/data/measured.csv``.

    Parameters and token counts are needed. What is not said of the shape is guessed from the size, of the deployment
    assumed as for an unknown host; both widen the band. Columns of other names are passed over.

    Raises:
        WorkloadError: a needed column is missing or empty, or a cell is not a number.
        UnknownGpuError, DeploymentError: the accelerator or the precision does not exist.

    """
    row, assumed = _Row(cells), set()
    total = row.number("total_params_b") * 1e9
    active = row.number("active_params_b", total / 1e9) * 1e9
    experts = row.count("n_experts", 0)
    kind = row.text("kind") or ("moe" if experts or active < total else "dense")
    if not 0 < active <= total * 1.0001 < _MOST_PARAMS:
        msg = "parameters are positive numbers below 10^15, the active ones a part of them all"
        raise WorkloadError(msg)
    like = surrogate(total, active, "moe" if kind == "moe" else "dense")
    needed = ["layers", "n_heads", *(["n_experts"] if kind == "moe" else []), *(["topk"] if experts else [])]
    if not all(row.text(name) for name in needed):
        assumed.add("shape")
    layers, heads = row.count("layers", like.layers), row.count("n_heads", like.heads)
    head_dim = row.count("head_dim", row.number("d_model", 128 * heads) / max(heads, 1))
    kv_heads = row.count("n_kv_heads", min(heads, like.kv_heads))
    experts = row.count("n_experts", like.experts if kind == "moe" else 0)
    windowed, window = row.count("swa_layers", 0), row.count("swa_window", 0)
    windowed = windowed if window else 0

    defaults = constants()["defaults"]
    gpu = row.text("gpu") or defaults["gpu"]
    precision = row.text("precision") or "bfloat16"
    parallel = [max(1, row.count(name, 1)) for name in ("tp", "dp", "pp")]
    n_gpus = math.prod(parallel)
    if not any(row.text(name) for name in ("n_gpus", "tp", "dp", "pp")):
        assumed.add("n_gpus")
        n_gpus = gpus_needed(total, find_precision(precision), find_gpu(gpu))
    assumed |= {name for name, column in _DEPLOYED.items() if not row.text(column)}
    source = row.text("source").lower()
    return Workload(
        model=row.text("model"),
        kind=kind,
        total_params=total,
        active_params=active,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        experts=experts,
        experts_active=row.count("topk", max(1, round(experts * active / total)) if experts else 0),
        full_layers=row.count("full_attn_layers", layers - windowed),
        window_layers=windowed,
        window=window,
        kv_elements=row.count("kv_elems_per_layer", 2 * kv_heads * head_dim),
        state_bytes=row.number("state_bytes_per_seq", 0),
        precision=precision,
        gpu=gpu,
        n_gpus=row.count("n_gpus", n_gpus),
        tensor_parallel=row.count("tp", 0) or None,
        expert_parallel=max(1, row.count("ep", 1)),
        data_parallel=parallel[1],
        batch=row.number("batch_or_concurrency", defaults["batch"]),
        input_tokens=row.number("avg_input_tokens"),
        cached_tokens=row.number("avg_cached_tokens", 0),
        output_tokens=row.number("avg_output_tokens"),
        output_cv2=row.number("out_len_cv2", 0),
        stack="vllm-2024" if any(name in source for name in _OLD_STACKS) else "current",
        assumed=frozenset(assumed),
    )
