"""A workload with its model and deployment stated in full: mean lengths in, joules per request out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from estimator.carbon import operational_grams
from estimator.deployments import Deployment, find_gpu, find_precision
from estimator.energy import Roofline
from estimator.errors import DeploymentError, WorkloadError
from estimator.fits import Fit, constants, find_fit
from estimator.grid import WORLD, grid
from estimator.models import Architecture
from estimator.novelty import long_context, widening
from estimator.overheads import overheads
from estimator.profiles import Tier
from estimator.ranges import Range, combined

_MOST: Final = 1e9
MOST_PARAMS: Final = 1e15
_CROWDED: Final = 10.0  # times the memory that caches may fill before a batch cannot be: measured rows reach 2.8
_BLIND: Final = frozenset({"gpu", "n_gpus", "batch"})


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
    assumed: frozenset[str] = frozenset()  # of gpu, n_gpus, batch, precision, active and shape: what nobody said

    def __post_init__(self) -> None:
        sizes = (self.total_params, self.active_params, self.layers, self.heads, self.kv_heads, self.head_dim)
        if not all(0 < value <= MOST_PARAMS for value in sizes):
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
        if self.kv_heads > self.heads:
            msg = f"heads of K and V are no more than all heads, not {self.kv_heads} of {self.heads}"
            raise WorkloadError(msg)
        if self.experts_active > self.experts:
            msg = f"active experts are no more than all experts, not {self.experts_active} of {self.experts}"
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
    """Joules and grams of one mean request, and what was taken for granted on the way."""

    tier: Tier
    gpu_joules: Range
    joules: Range
    grams_co2e: Range
    assumptions: tuple[str, ...] = ()


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
    if ranks > workload.n_gpus:
        msg = f"tensor parallelism over {ranks} ranks needs as many GPUs, not {workload.n_gpus}"
        raise DeploymentError(msg)
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
    crowded = roofline.crowding(workload.input_tokens + workload.output_tokens / 2)
    blind = not workload.assumed.isdisjoint(_BLIND) or crowded > _CROWDED
    traits = _traits(workload, roofline)
    gpu_band = combined(k["bands"]["open_model"] if blind else combined(roofline.band, widening(traits)), gpu.band)
    facility_band = combined(gpu_band, k["bands"]["facility"])
    grams = operational_grams(facility, grid(zone or WORLD).grams_per_kwh)
    carbon_band = combined(facility_band, k["bands"]["grid_hourly"])
    return WorkloadEstimate(
        tier="open_model" if blind else "deployment",
        gpu_joules=Range.around(draw.gpu_joules, gpu_band),
        joules=Range.around(facility, facility_band),
        grams_co2e=Range.around(grams, carbon_band),
        assumptions=_assumptions(workload, roofline, crowded, () if blind else (*roofline.unseen, *traits)),
    )


def _traits(workload: Workload, roofline: Roofline) -> list[str]:
    """Return what sets a workload apart from the measured rows beside its deployment."""
    found = {
        "context": long_context(workload.input_tokens + workload.output_tokens),
        "spread": workload.data_parallel > 1 and workload.expert_parallel > 1,
        "shape": "shape" in workload.assumed,
        "format": "precision" in workload.assumed and "format" not in roofline.unseen,
    }
    return [name for name, new in found.items() if new]


def _assumptions(workload: Workload, roofline: Roofline, crowded: float, unlike: tuple[str, ...]) -> tuple[str, ...]:
    """Say what nobody said of the workload, what no measured row is like, and what cannot quite be."""
    experts = f", {workload.experts_active} of {workload.experts} experts" if workload.experts else ""
    said = {
        "active": "all parameters are active",
        "shape": f"shape guessed from the size: {workload.layers} layers, {workload.heads} heads{experts}",
        "precision": f"{roofline.precision.name} weights",
        "gpu": roofline.gpu.name,
        "n_gpus": f"{workload.n_gpus} GPUs, as many as hold the weights",
        "batch": f"{workload.batch:g} sequences decoded together",
    }
    found = [text for name, text in said.items() if name in workload.assumed]
    if crowded > _CROWDED:
        what = "weights" if not roofline.fits else f"caches of {workload.batch:g} sequences"
        machine = f"{roofline.n_gpus} × {roofline.gpu.name}"
        found.append(f"the {what} do not fit {machine}: reckoned as if, with the band of an unknown machine")
    if roofline.gpu.vendor != "nvidia":
        found.append(f"{roofline.gpu.name} has the constants of NVIDIA's devices, corrected where rows are known")
    if unlike:
        found.append(f"no measured row is like it in {', '.join(unlike)}: wider band")
    return tuple(found)
