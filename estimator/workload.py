"""A workload with its model and deployment stated in full: mean lengths in, joules per request out."""

from __future__ import annotations

from dataclasses import dataclass

from estimator.carbon import operational_grams
from estimator.deployments import Deployment, constants, find_gpu, find_precision
from estimator.energy import Roofline
from estimator.grid import WORLD, grid
from estimator.models import Architecture
from estimator.overheads import overheads
from estimator.profiles import Tier
from estimator.ranges import Range, combined


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """Model facts, deployment and mean request; ``output_cv2`` is the output lengths' squared variation.

    ``batch`` is the measured mean, so it is not held against the memory.
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
    batch: float
    input_tokens: float
    cached_tokens: float = 0.0
    output_tokens: float
    output_cv2: float = 0.0
    stack: str = "current"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadEstimate:
    """Joules and grams of one mean request."""

    tier: Tier
    gpu_joules: Range
    joules: Range
    grams_co2e: Range


def estimate_workload(workload: Workload, *, zone: str | None = None) -> WorkloadEstimate:
    """Estimate a mean request of a workload with generic overheads.

    Raises:
        UnknownGpuError, DeploymentError, UnknownZoneError: what the row names does not exist.

    """
    Deployment(n_gpus=workload.n_gpus, batch=max(1.0, workload.batch), stack=workload.stack)  # refuses what cannot be
    shape = Architecture(
        total_params=workload.total_params,
        active_params=workload.active_params,
        layers=workload.layers,
        heads=workload.heads,
        kv_heads=workload.kv_heads,
        head_dim=workload.head_dim,
        kv_elements=workload.kv_elements,
        experts=workload.experts,
        experts_active=workload.experts_active,
        full_layers=workload.full_layers,
        window_layers=workload.window_layers,
        window=workload.window,
        state_bytes=workload.state_bytes,
    )
    gpu = find_gpu(workload.gpu)
    roofline = Roofline(
        shape,
        gpu,
        workload.n_gpus,
        find_precision(workload.precision),
        workload.batch,
        tensor_parallel=workload.tensor_parallel,
        stack=workload.stack,
        memory_limit=False,
    )
    draw = roofline.draw(workload.input_tokens, workload.cached_tokens, workload.output_tokens, workload.output_cv2)
    k = constants()
    operator = overheads(None)
    host = k["defaults"]["host_share"] * gpu.tdp_w * draw.gpu_seconds
    facility = (draw.gpu_joules + host) * k["defaults"]["reserve"] * operator.pue.mid
    gpu_band = combined(k["bands"]["deployment_known"], gpu.band)
    facility_band = combined(gpu_band, k["bands"]["facility"])
    grams = operational_grams(facility, grid(zone or WORLD).grams_per_kwh)
    carbon_band = combined(facility_band, k["bands"]["grid_hourly"])
    return WorkloadEstimate(
        tier="deployment",
        gpu_joules=_banded(draw.gpu_joules, gpu_band),
        joules=_banded(facility, facility_band),
        grams_co2e=_banded(grams, carbon_band),
    )


def _banded(mid: float, band: tuple[float, float]) -> Range:
    return Range(mid * band[0], mid, mid * band[1])
