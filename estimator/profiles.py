"""Everything about a (model, deployment, provider, zone) that does not change from call to call, worked out once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, NamedTuple

from estimator.carbon import embodied_grams_per_gpu_second
from estimator.deployments import Deployment, find_gpu, find_precision, gpus_needed
from estimator.energy import Roofline
from estimator.fits import constants, find_fit
from estimator.flops import flops
from estimator.grid import WORLD, GridIntensity, grid
from estimator.models import Architecture, ModelCard, surrogate
from estimator.novelty import long_context, widening
from estimator.overheads import Overheads, other_silicon, overheads
from estimator.price import own_shop
from estimator.ranges import Band, combined
from estimator.water import liters

Tier = Literal["measured", "disclosed", "deployment", "open_model", "closed_model", "unknown"]
ENERGY_SOURCES: Final = ("datasheets", "operators", "owid", "wri", "nvidia-pcf")  # of every estimate, whatever the card
_PLAIN: Final = (1.0, 1.0, 1.0)


class Stages(NamedTuple):
    """One request at one point of the band, stage by stage: each name says which side of the PUE it is on."""

    gpu_joules: float
    it_joules: float
    facility_joules: float
    embodied_grams: float
    gpu_seconds: float
    batch: float
    prefill_share: float  # of the servers' joules, and so of the facility's


class Point(NamedTuple):
    """One deployment compiled: a roofline and the factors that follow it."""

    roofline: Roofline
    factors: tuple[float, float, float]  # on GPU, IT and facility joules; 1 but for a closed model's quantiles
    host_w: float  # watts of host per GPU
    reserve: float
    pue: float
    embodied_g_per_s: float

    def stages(self, n_in: int, n_cached: int, n_out: int) -> Stages:
        """Return a request's joules and embodied grams."""
        draw = self.roofline.draw(n_in, n_cached, n_out)
        on_gpu, on_it, on_facility = self.factors
        drawn = draw.gpu_joules + self.host_w * draw.gpu_seconds
        prefill = draw.prefill_joules + self.host_w * draw.prefill_seconds
        plain = drawn * self.reserve
        return Stages(
            draw.gpu_joules * on_gpu,
            plain * on_it,
            plain * on_facility * self.pue,
            draw.gpu_seconds * on_gpu * self.embodied_g_per_s,
            draw.gpu_seconds,
            draw.batch,
            prefill / drawn if drawn > 0 else 0.0,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """A card on a deployment at a place: one point for open weights, three for a closed model."""

    card: ModelCard
    shape: Architecture
    tier: Tier
    points: tuple[Point, ...]
    overheads: Overheads
    grid: GridIntensity
    pue: float
    market_grams_per_kwh: float | None
    gpu_band: Band
    silicon_band: Band  # of a closed model's three points, where they stand for something else than GPUs
    facility_band: Band
    site_band: Band  # of the liters beside the energy's own
    liters_per_it_joule: float | None
    active_band: Band  # active parameters, low and high over the shape's
    sources: tuple[str, ...]
    assumptions: tuple[str, ...]

    def bands(self, tokens: int) -> tuple[Band, Band]:
        """Return the multipliers on GPU joules and on what follows from them, for a request of so many tokens."""
        if self.tier == "deployment" and long_context(tokens):
            wider = widening(("context",))
            return combined(self.gpu_band, wider), combined(self.facility_band, wider)
        return self.gpu_band, self.facility_band

    def flops_range(self, n_in: int, n_cached: int, n_out: int) -> tuple[float, float, float]:
        """Return FLOPs computed, at the low, middle and high number of active parameters."""
        mid = flops(self.shape, n_in, n_cached, n_out).total
        matmul = 2 * self.shape.active_params * (n_in - n_cached + n_out)
        down, up = self.active_band
        return mid - matmul * (1 - down), mid, mid + matmul * (up - 1)


@lru_cache(maxsize=2048)
def profile(card: ModelCard, deployment: Deployment | None, provider: str | None, zone: str | None) -> Profile | None:
    """Compile a card for calls through one provider, or return ``None`` for a card without a size.

    Raises:
        UnknownZoneError, UnknownGpuError, DeploymentError: what was asked for does not exist.

    """
    known = deployment or Deployment()
    host = provider or own_shop(card.maker) if card.weights == "closed" else provider
    operator = overheads(host)
    place = grid(zone or operator.zone)
    if card.total_params is None or card.active_params is None:
        return None
    k = constants()
    defaults, bands = k["defaults"], k["bands"]
    assumptions: list[str] = []
    pue = known.pue if known.pue is not None else operator.pue.mid
    if known.pue is None:
        assumptions.append(f"PUE {pue:g}, operator {operator.operator} ({operator.source})")
    if zone is None:
        where = "the world's mean electricity" if place.zone == WORLD else f"electricity of {place.name}"
        assumptions.append(f"{where}, where operator {operator.operator} is assumed to run")
    total = math.sqrt(card.total_params[0] * card.total_params[1])
    active = math.sqrt(card.active_params[0] * card.active_params[1])
    shape = card.architecture or surrogate(total, active, card.kind)
    if card.architecture is None:
        assumptions.append(f"shape guessed from the parameter count: {shape.layers} layers")
    elif card.verified_by is None and card.source != "user":
        assumptions.append("shape typed from the public model card, not verified")

    silicon = other_silicon(host) if known.gpu is None else None
    silicon_band: Band = tuple(bands["other_silicon"]) if silicon else (1.0, 1.0)
    if silicon is not None:
        assumptions.append(f"reckoned as if on GPUs, though it is known to run on {silicon}: wider band")

    tier: Tier
    if card.weights == "closed":
        from estimator.closed import likenesses  # only closed models pay for the Monte Carlo's imports

        tier = "closed_model" if card.source != "none" else "unknown"
        assumptions.append(closed_prior(card))
        points = tuple(
            _point(like.roofline, known, pue, (like.gpu_factor, like.it_factor, like.facility_factor))
            for like in likenesses(card.total_params, card.active_params, card.kind, deployment)
        )
        gpu_band = facility = (1.0, 1.0)  # the points carry the band
    else:
        roofline = _open_roofline(card, shape, known, assumptions)
        points = (_point(roofline, known, pue, _PLAIN),)
        tier = "deployment" if known.known and roofline.fits else "open_model"
        unlike = [*roofline.unseen, *(["shape"] if card.architecture is None else [])]
        own = combined(roofline.band, widening(unlike[len(roofline.unseen) :]))
        gpu_band = combined(
            own if tier == "deployment" else tuple(bands["open_model"]), roofline.gpu.band, silicon_band
        )
        facility = combined(gpu_band, bands["facility"])
        if not roofline.fits:
            machine = f"{roofline.n_gpus} × {roofline.gpu.name}"
            assumptions.append(f"the weights do not fit {machine}: reckoned as if, one sequence at a time")
        if tier == "deployment" and unlike:
            assumptions.append(f"no measured row is like it in {', '.join(unlike)}: wider band")
        if known.host_share is None:
            assumptions.append(f"host draws {defaults['host_share']:.0%} of the GPUs' TDP")
        if known.reserve is None:
            assumptions.append(f"idle reserve of {defaults['reserve'] - 1:.0%}")

    site = operator.site_liters_per_kwh
    per_joule, site_band = None, (1.0, 1.0)
    if place.liters_per_kwh is not None:
        off_site = pue * place.liters_per_kwh
        per_joule = liters(1.0, site.mid, pue, place.liters_per_kwh)
        site_band = (site.low + off_site) / (site.mid + off_site), (site.high + off_site) / (site.mid + off_site)
        if place.water_is_world:
            assumptions.append("water of power plants: the world's mean, none of the zone's own")
    return Profile(
        card=card,
        shape=shape,
        tier=tier,
        points=points,
        overheads=operator,
        grid=place,
        pue=pue,
        market_grams_per_kwh=known.market_grams_per_kwh,
        gpu_band=gpu_band,
        silicon_band=silicon_band if card.weights == "closed" else (1.0, 1.0),
        facility_band=facility,
        site_band=site_band,
        liters_per_it_joule=per_joule,
        active_band=(card.active_params[0] / shape.active_params, card.active_params[1] / shape.active_params),
        sources=(
            card.source,
            *((card.verified_by,) if card.verified_by else ()),
            find_fit(known.fit).source,
            *ENERGY_SOURCES,
        ),
        assumptions=tuple(assumptions),
    )


def at_batches(compiled: Profile) -> tuple[Point, ...]:
    """Return the machines a profile's band stands for: a closed model's three, an open one's at other batches."""
    if compiled.tier != "open_model":
        return compiled.points
    point = compiled.points[0]
    return tuple(point._replace(roofline=point.roofline.at_batch(batch)) for batch in constants()["bands"]["batches"])


def _point(roofline: Roofline, known: Deployment, pue: float, factors: tuple[float, float, float]) -> Point:
    defaults = constants()["defaults"]
    host_share = known.host_share if known.host_share is not None else defaults["host_share"]
    return Point(
        roofline=roofline,
        factors=factors,
        host_w=host_share * roofline.gpu.tdp_w,
        reserve=known.reserve if known.reserve is not None else defaults["reserve"],
        pue=pue,
        embodied_g_per_s=embodied_grams_per_gpu_second(roofline.gpu),
    )


def _open_roofline(card: ModelCard, shape: Architecture, known: Deployment, assumptions: list[str]) -> Roofline:
    defaults = constants()["defaults"]
    gpu = find_gpu(known.gpu or defaults["gpu"])
    precision = find_precision(known.precision or card.precision or "bfloat16")
    n_gpus = known.n_gpus or gpus_needed(shape.total_params, precision, gpu)
    batch = known.batch or defaults["batch"]
    if known.gpu is None or known.n_gpus is None:
        assumptions.append(f"{n_gpus} × {gpu.name}" + ("" if known.precision else f", {precision.name} weights"))
    if known.batch is None:
        assumptions.append(f"{batch:g} sequences decoded together")
    if gpu.vendor != "nvidia":
        assumptions.append(
            f"{gpu.name}: the constants are of NVIDIA's devices, corrected where rows are known; wider band"
        )
    if gpu.tdp_assumed:
        assumptions.append(f"{gpu.name} draws up to {gpu.tdp_w:g} W: the maker does not say")
    if known.speculation is not None:
        assumptions.append(
            f"speculative decoding: {known.speculation.tokens_per_step:.3g} tokens a step; modelled, not validated"
        )
    return Roofline(
        shape,
        gpu,
        n_gpus,
        precision,
        batch,
        tensor_parallel=known.tensor_parallel,
        kv_bytes=known.kv_bytes,
        speculation=known.speculation,
        stack=known.stack,
        fit=find_fit(known.fit),
    )


def closed_prior(card: ModelCard) -> str:
    """Return what the parameters of a closed model's card rest on, as a sentence; empty for a card without them."""
    if card.active_params is None or card.total_params is None:
        return ""
    low, high = (f"{value / 1e9:g}" for value in card.active_params)
    if card.source == "none":
        return f"nothing is known of this model: {low} to {high} B active parameters, the widest prior, on any machine"
    active = low if low == high else f"{low}–{high}"
    basis = f"{card.source}, an estimate" if card.list_price is None else card.list_price.sentence
    if card.list_price is not None:
        basis += "; as if a mixture of experts"
    return f"{active} B active parameters ({basis}); GPU, count, precision and batch drawn from priors"
