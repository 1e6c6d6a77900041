"""Closed models: a Monte Carlo over what nobody publishes, boiled down to three deployments.

Parameters, GPUs, precision and batch are drawn from stated priors. For each of the 5, 50 and 95 %
points the one sampled deployment is kept whose energy follows that quantile best over a spread of
workloads, with a factor that removes what is left. An estimate then costs three rooflines, and
whatever holds for a roofline (rises with tokens, falls with cached ones) holds for the band.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import repeat
from operator import mul, truediv
from statistics import NormalDist
from typing import Final, NamedTuple

from estimator.deployments import Deployment, Gpu, Precision, find_gpu, find_precision, gpus_needed
from estimator.energy import Roofline
from estimator.fits import constants, find_fit
from estimator.models import Kind, surrogate
from estimator.ranges import NINETY, Band, combined

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
Span = tuple[float, float]  # of parameters, low and high
_NORMAL: Final = NormalDist()
_VARIABLES: Final = 10


@dataclass(frozen=True, slots=True, eq=False)
class Likeness:
    """A deployment that stands for one quantile, with the factors that bring it onto the quantile."""

    roofline: Roofline
    gpu_factor: float
    it_factor: float
    facility_factor: float


class _Surroundings(NamedTuple):
    """What one sample draws whatever the model is: where its size lies in its range, and everything around it."""

    u_active: float
    u_total: float
    gpu: Gpu
    precision: Precision
    replica: int  # how many times as many GPUs as the weights need
    fullness: float  # the batch, in medians
    error: float  # of the formula, in standard deviations
    host_share: float
    reserve: float
    pue_factor: float


class _Sample(NamedTuple):
    roofline: Roofline
    residual: float
    around: _Surroundings


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


@lru_cache(maxsize=32)
def _surroundings(
    gpu: str | None, precision: str | None, host_share: float | None, reserve: float | None, *, pue_known: bool
) -> tuple[_Surroundings, ...]:
    priors, defaults = constants()["priors"], constants()["defaults"]
    count: int = priors["samples"]
    columns = [[(i + 0.5) / count for i in column] for column in strata()]
    pue_middle = sum(defaults["pue_band"]) / 2
    return tuple(
        _Surroundings(
            u_active=u_active,
            u_total=u_total,
            gpu=find_gpu(gpu) if gpu else _pick(priors["gpus"], u_gpu),
            precision=find_precision(precision or ("fp8" if u_precision < priors["fp8_share"] else "bfloat16")),
            replica=2 if u_count < 0.5 else 1,
            fullness=math.exp(priors["batch_sigma"] * _normal(u_batch)),
            error=_normal(u_residual),
            host_share=host_share if host_share is not None else _between(defaults["host_band"], u_host),
            reserve=reserve if reserve is not None else _between(defaults["reserve_band"], u_reserve),
            pue_factor=1.0 if pue_known else _between(defaults["pue_band"], u_pue) / pue_middle,
        )
        for u_active, u_total, u_batch, u_gpu, u_precision, u_count, u_host, u_reserve, u_pue, u_residual in zip(
            *columns, strict=True
        )
    )


def _draws(total_params: Span, active_params: Span, kind: Kind, known: Deployment) -> list[_Sample]:
    priors, defaults, fit = constants()["priors"], constants()["defaults"], find_fit(known.fit)
    batch_median = defaults["batch_closed_moe" if kind == "moe" else "batch_closed_dense"]
    total_middle = math.sqrt(total_params[0] * total_params[1])
    down, up = priors["total_factor"]
    total_low, total_high = min(total_params[0], total_middle * down), max(total_params[1], total_middle * up)
    # Where even the order of magnitude is unknown, a model with more active parameters has more of them in all.
    together = active_params[1] > priors["together_above"] * active_params[0]
    samples = []
    for around in _surroundings(
        known.gpu, known.precision, known.host_share, known.reserve, pue_known=known.pue is not None
    ):
        gpu, precision = around.gpu, around.precision
        active = active_params[0] * (active_params[1] / active_params[0]) ** around.u_active
        drawn = total_low * (total_high / total_low) ** (around.u_active if together else around.u_total)
        total = max(active, drawn) if kind == "moe" else active
        roofline = Roofline(
            surrogate(total, active, kind),
            gpu,
            known.n_gpus or gpus_needed(total, precision, gpu) * around.replica,
            precision,
            known.batch or max(1.0, batch_median * around.fullness),
            tensor_parallel=known.tensor_parallel,
            kv_bytes=known.kv_bytes,
            speculation=known.speculation,
            stack=known.stack,
            fit=fit,
        )
        centre, sigma = _spread(roofline.band, gpu.band)
        samples.append(_Sample(roofline, math.exp(centre + sigma * around.error), around))
    return samples


@lru_cache(maxsize=256)
def _spread(formula: Band, silicon: Band) -> tuple[float, float]:
    """Return the middle and the standard deviation of an error's logarithm."""
    low, high = combined(formula, silicon)
    return math.log(low * high) / 2, math.log(high / low) / (2 * NINETY)


@lru_cache(maxsize=512)
def likenesses(
    total_params: Span, active_params: Span, kind: Kind, deployment: Deployment | None
) -> tuple[Likeness, Likeness, Likeness]:
    """Return the deployments that stand for the 5, 50 and 95 % points of models whose parameters are in these ranges.

    Takes some twenty milliseconds the first time for a size; deterministic, since the seed is a fact.
    """
    known = deployment or Deployment()
    samples = _draws(total_params, active_params, kind, known)
    defaults = constants()["defaults"]
    host = known.host_share if known.host_share is not None else defaults["host_share"]
    reserve = known.reserve if known.reserve is not None else defaults["reserve"]
    residuals, own_reserves = [one.residual for one in samples], [one.around.reserve for one in samples]
    pue_factors = [one.around.pue_factor for one in samples]
    host_w = [host * one.around.gpu.tdp_w for one in samples]
    own_host_w = [one.around.host_share * one.around.gpu.tdp_w for one in samples]

    # Column by column after the draws, a workload each, and by `map`: a loop over all samples takes twice as long.
    plain_gpu, plain_it, goals = [], [], []
    for column in zip(*[_drawn(one.roofline) for one in samples], strict=True):
        joules, seconds, _, _ = zip(*column, strict=True)
        on_gpu = list(map(mul, joules, residuals))
        on_it = list(map(it_joules, on_gpu, seconds, own_host_w, own_reserves))
        goals.append(list(map(_quantiles, (on_gpu, on_it, list(map(mul, on_it, pue_factors))))))
        plain_gpu.append(joules)
        plain_it.append(list(map(it_joules, joules, seconds, host_w, repeat(reserve))))

    found = []
    for quantile in range(len(QUANTILES)):
        gpu_goal, it_goal, facility_goal = ([goal[stage][quantile] for goal in goals] for stage in range(3))
        misfits = _misfits(plain_it, facility_goal)
        best = misfits.index(min(misfits))
        got = [column[best] for column in plain_it]
        found.append(
            Likeness(
                roofline=samples[best].roofline,
                gpu_factor=_ratio(gpu_goal, [column[best] for column in plain_gpu]),
                it_factor=_ratio(it_goal, got),
                facility_factor=_ratio(facility_goal, got),
            )
        )
    return found[0], found[1], found[2]


def _drawn(roofline: Roofline) -> list[tuple[float, float, float, float]]:
    draw = roofline.drawing()
    return [draw(*work) for work in WORKLOADS]


def it_joules(gpu_joules: float, gpu_seconds: float, host_w: float, reserve: float) -> float:
    """Return the servers' joules: GPUs, the host's watts per GPU for the GPU-seconds, and idle machines kept ready."""
    return (gpu_joules + host_w * gpu_seconds) * reserve


def _pick(weighted: list[tuple[str, float]], u: float) -> Gpu:
    reached = 0.0
    for name, weight in weighted:
        reached += weight
        if u < reached:
            return find_gpu(name)
    return find_gpu(weighted[-1][0])


def _between(band: tuple[float, float], u: float) -> float:
    return band[0] + (band[1] - band[0]) * u


@cache
def _normal(u: float) -> float:
    return _NORMAL.inv_cdf(u)


def _quantiles(values: list[float]) -> list[float]:
    """Return each of :data:`QUANTILES`, between two values by how near it lies to each."""
    ordered = sorted(values)
    found = []
    for q in QUANTILES:
        place = q * (len(ordered) - 1)
        below = int(place)
        above = min(below + 1, len(ordered) - 1)
        found.append(ordered[below] + (ordered[above] - ordered[below]) * (place - below))
    return found


def _ratio(goal: Sequence[float], got: Sequence[float]) -> float:
    """Return the factor that brings ``got`` onto ``goal`` in the geometric mean over the workloads."""
    return math.exp(sum(math.log(g / h) for g, h in zip(goal, got, strict=True)) / len(goal))


def _misfits(columns: list[list[float]], goal: Sequence[float]) -> list[float]:
    """Return for each sample the largest gap to a profile over the workloads, a constant factor counted a tenth."""
    logs = [map(math.log, map(truediv, repeat(g), column)) for g, column in zip(goal, columns, strict=True)]
    found = []
    for row in zip(*logs, strict=True):
        mean = sum(row) / len(row)
        found.append(max(max(row) - mean, mean - min(row)) + 0.1 * abs(mean))
    return found
