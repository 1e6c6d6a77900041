"""Closed models: a Monte Carlo over what nobody publishes, boiled down to three deployments.

Parameters, GPUs, precision and batch are drawn from stated priors. For each of the 5, 50 and 95 %
points the one sampled deployment is kept whose energy follows that quantile best over a spread of
workloads, with a factor that removes what is left. An estimate then costs three rooflines, and
whatever holds for a roofline (rises with tokens, falls with cached ones) holds for the band.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import NormalDist
from typing import Final

from estimator.deployments import Deployment, Gpu, find_gpu, find_precision, gpus_needed
from estimator.energy import Draw, Roofline
from estimator.fits import constants, find_fit
from estimator.models import ModelCard, surrogate
from estimator.ranges import NINETY, combined

# Input, cached and output tokens: short and long, prompt-heavy and output-heavy, cached and not, chat and agent.
WORKLOADS: Final = (
    (200, 0, 200),
    (500, 0, 500),
    (2_000, 0, 1_000),
    (10_000, 8_000, 500),
    (500, 0, 4_000),
    (20_000, 0, 500),
    (200_000, 0, 500),
    (100_000, 90_000, 1_000),
    (1_000, 0, 30_000),
)
QUANTILES: Final = (0.05, 0.50, 0.95)
_NORMAL: Final = NormalDist()
_VARIABLES: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """A deployment that stands for one quantile, with the factors that bring it onto the quantile."""

    roofline: Roofline
    gpu_factor: float
    it_factor: float
    facility_factor: float


@dataclass(frozen=True, slots=True, eq=False)
class _Sample:
    roofline: Roofline
    residual: float
    host_share: float
    reserve: float
    pue_factor: float


@cache
def strata() -> tuple[tuple[int, ...], ...]:
    """Return which stratum of each variable a sample falls into: ten permutations, in the order they are drawn in.

    One stratified permutation per variable: the quantiles settle with a tenth of the samples.
    """
    priors = constants()["priors"]
    chance = random.Random(priors["seed"])  # noqa: S311 - reproducible sampling, no secret
    columns = []
    for _ in range(_VARIABLES):
        column = list(range(priors["samples"]))
        chance.shuffle(column)
        columns.append(tuple(column))
    return tuple(columns)


def _draws(card: ModelCard, deployment: Deployment | None) -> list[_Sample]:
    if card.total_params is None or card.active_params is None:
        msg = f"{card.id} has no parameter range to draw from"
        raise ValueError(msg)
    known = deployment or Deployment()
    priors, defaults, fit = constants()["priors"], constants()["defaults"], find_fit(known.fit)
    count: int = priors["samples"]
    columns = [[(i + 0.5) / count for i in column] for column in strata()]
    batch_median = defaults["batch_closed_moe" if card.kind == "moe" else "batch_closed_dense"]
    total_middle = math.sqrt(card.total_params[0] * card.total_params[1])
    down, up = priors["total_factor"]
    total_low, total_high = min(card.total_params[0], total_middle * down), max(card.total_params[1], total_middle * up)
    # Where even the order of magnitude is unknown, a model with more active parameters has more of them in all.
    together = card.active_params[1] > priors["together_above"] * card.active_params[0]
    pue_middle = sum(defaults["pue_band"]) / 2
    samples = []
    for u_active, u_total, u_batch, u_gpu, u_precision, u_count, u_host, u_reserve, u_pue, u_residual in zip(
        *columns, strict=True
    ):
        active = card.active_params[0] * (card.active_params[1] / card.active_params[0]) ** u_active
        drawn = total_low * (total_high / total_low) ** (u_active if together else u_total)
        total = max(active, drawn) if card.kind == "moe" else active
        gpu = find_gpu(known.gpu) if known.gpu else _pick(priors["gpus"], u_gpu)
        precision = find_precision(known.precision or ("fp8" if u_precision < priors["fp8_share"] else "bfloat16"))
        n_gpus = known.n_gpus or gpus_needed(total, precision, gpu) * (2 if u_count < 0.5 else 1)
        batch = known.batch or max(1.0, batch_median * math.exp(priors["batch_sigma"] * _normal(u_batch)))
        roofline = Roofline(
            surrogate(total, active, card.kind),
            gpu,
            n_gpus,
            precision,
            batch,
            tensor_parallel=known.tensor_parallel,
            kv_bytes=known.kv_bytes,
            speculation=known.speculation,
            stack=known.stack,
            fit=fit,
        )
        low, high = combined(roofline.band, gpu.band)
        residual_centre, residual_sigma = math.log(low * high) / 2, math.log(high / low) / (2 * NINETY)
        samples.append(
            _Sample(
                roofline=roofline,
                residual=math.exp(residual_centre + residual_sigma * _normal(u_residual)),
                host_share=known.host_share
                if known.host_share is not None
                else _between(defaults["host_band"], u_host),
                reserve=known.reserve if known.reserve is not None else _between(defaults["reserve_band"], u_reserve),
                pue_factor=1.0 if known.pue is not None else _between(defaults["pue_band"], u_pue) / pue_middle,
            )
        )
    return samples


@lru_cache(maxsize=512)
def likenesses(card: ModelCard, deployment: Deployment | None) -> tuple[Likeness, Likeness, Likeness]:
    """Return the deployments that stand for the 5, 50 and 95 % points of a card with a parameter range.

    Takes some thirty milliseconds the first time for a card; deterministic, since the seed is a fact.
    """
    samples = _draws(card, deployment)
    defaults = constants()["defaults"]
    known = deployment or Deployment()
    host = known.host_share if known.host_share is not None else defaults["host_share"]
    reserve = known.reserve if known.reserve is not None else defaults["reserve"]
    draws = [[sample.roofline.draw(*work) for work in WORKLOADS] for sample in samples]
    gpu_rows = [[draw.gpu_joules * s.residual for draw in row] for s, row in zip(samples, draws, strict=True)]
    it_rows = [
        [
            (joules + s.host_share * s.roofline.gpu.tdp_w * draw.gpu_seconds) * s.reserve
            for joules, draw in zip(gpu, row, strict=True)
        ]
        for s, gpu, row in zip(samples, gpu_rows, draws, strict=True)
    ]
    facility_rows = [[joules * s.pue_factor for joules in row] for s, row in zip(samples, it_rows, strict=True)]
    plain_it = [
        [it_joules(draw, s.roofline.gpu, host, reserve) for draw in row] for s, row in zip(samples, draws, strict=True)
    ]

    found = []
    for quantile in QUANTILES:
        gpu_goal = _quantiles(gpu_rows, quantile)
        it_goal = _quantiles(it_rows, quantile)
        facility_goal = _quantiles(facility_rows, quantile)
        best = min(range(len(samples)), key=lambda i: _misfit(plain_it[i], facility_goal))
        found.append(
            Likeness(
                roofline=samples[best].roofline,
                gpu_factor=_ratio(gpu_goal, [draw.gpu_joules for draw in draws[best]]),
                it_factor=_ratio(it_goal, plain_it[best]),
                facility_factor=_ratio(facility_goal, plain_it[best]),
            )
        )
    return found[0], found[1], found[2]


def it_joules(draw: Draw, gpu: Gpu, host_share: float, reserve: float) -> float:
    """Return the servers' joules: GPUs, the host's share per GPU-second, and idle machines kept ready."""
    return (draw.gpu_joules + host_share * gpu.tdp_w * draw.gpu_seconds) * reserve


def _pick(weighted: list[tuple[str, float]], u: float) -> Gpu:
    reached = 0.0
    for name, weight in weighted:
        reached += weight
        if u < reached:
            return find_gpu(name)
    return find_gpu(weighted[-1][0])


def _between(band: tuple[float, float], u: float) -> float:
    return band[0] + (band[1] - band[0]) * u


def _normal(u: float) -> float:
    return _NORMAL.inv_cdf(u)


def _quantiles(rows: list[list[float]], q: float) -> list[float]:
    goals = []
    for column in zip(*rows, strict=True):
        ordered = sorted(column)
        place = q * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        goals.append(ordered[below] + (ordered[above] - ordered[below]) * (place - below))
    return goals


def _ratio(goal: list[float], got: list[float]) -> float:
    """Return the factor that brings ``got`` onto ``goal`` in the geometric mean over the workloads."""
    return math.exp(sum(math.log(g / h) for g, h in zip(goal, got, strict=True)) / len(goal))


def _misfit(got: list[float], goal: list[float]) -> float:
    """Return the largest gap between two profiles over the workloads, a constant factor counted a tenth."""
    logs = [math.log(g / h) for g, h in zip(goal, got, strict=True)]
    mean = sum(logs) / len(logs)
    return max(max(logs) - mean, mean - min(logs)) + 0.1 * abs(mean)
