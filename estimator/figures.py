"""What a ledger keeps of an estimate, for many calls of one model: the figures of :mod:`estimator.chain`, to the digit.

A profile is compiled into one function of three token counts. It makes no objects on the way and works out
nothing twice, which takes a third of the time that :func:`estimator.estimate` takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

from estimator.carbon import operational_grams
from estimator.fits import constants
from estimator.flops import flops
from estimator.profiles import Point, Profile
from estimator.ranges import Band

_NONE = (1.0, 1.0)


class Figures(NamedTuple):
    """The middles and bands of one call, as :class:`estimator.Estimate` names them; deviations are the shared ones."""

    flops: float
    joules_low: float
    joules: float
    joules_high: float
    prefill_joules: float
    it_joules: float
    grams_co2e_low: float
    grams_co2e: float
    grams_co2e_high: float
    embodied_grams_co2e: float
    market_grams_co2e: float | None
    liters: float | None
    joules_shared_down: float
    joules_shared_up: float
    grams_co2e_shared_down: float
    grams_co2e_shared_up: float


Reckoned = Callable[[int, int, int], Figures]


@lru_cache(maxsize=2048)
def figures_of(made: Profile, grams_per_kwh: float | None = None) -> Reckoned:
    """Compile a profile; ``grams_per_kwh`` is the grid's hour in the place of the zone's year.

    The counts given (input, cached, output) must be possible ones, see :func:`estimator.reasons.problem`.
    """
    total_flops, facility = _flops(made), _facility(made)
    bands = constants()["bands"]
    per_joule = operational_grams(1.0, made.grid.grams_per_kwh if grams_per_kwh is None else grams_per_kwh)
    hourly = bands["grid_hourly"] if grams_per_kwh is None else _NONE
    widen = _widening(hourly)
    by_contract = made.market_grams_per_kwh
    if by_contract is None:
        by_contract = made.overheads.market_grams_per_kwh
    market = None if by_contract is None else operational_grams(1.0, by_contract)
    water = made.liters_per_it_joule
    shared = _shared()
    made_of = partial(tuple.__new__, Figures)  # in half the time of a call of the class

    def reckon(n_in: int, n_cached: int, n_out: int) -> Figures:
        low, joules, high, it_joules, embodied, prefill_share = facility(n_in, n_cached, n_out)
        grams_low, grams, grams_high = low * per_joule, joules * per_joule, high * per_joule
        if grams_per_kwh is None:
            grams_low, grams_high = widen(grams_low, grams, grams_high)
        down, up = shared(low, joules, high)
        grams_down, grams_up = shared(grams_low, grams, grams_high)
        return made_of(
            (
                total_flops(n_in, n_cached, n_out),
                low,
                joules,
                high,
                joules * prefill_share,
                it_joules,
                grams_low,
                grams,
                grams_high,
                embodied,
                None if market is None else joules * market,
                None if water is None else it_joules * water,
                down,
                up,
                grams_down,
                grams_up,
            )
        )

    return reckon


@lru_cache(maxsize=2048)
def middle_of(made: Profile) -> Callable[[int, int, int], tuple[float, float]]:
    """Compile no more of a profile than the middle joules and grams."""
    facility = _joules(made.points[len(made.points) // 2])
    per_joule = operational_grams(1.0, made.grid.grams_per_kwh)

    def middle(n_in: int, n_cached: int, n_out: int) -> tuple[float, float]:
        joules = facility(n_in, n_cached, n_out)
        return joules, joules * per_joule

    return middle


def _flops(made: Profile) -> Callable[[int, int, int], float]:
    shape = made.shape
    if shape.window_layers:
        return lambda n_in, n_cached, n_out: flops(shape, n_in, n_cached, n_out).total
    parameters, full = 2 * shape.active_params, shape.full_layers
    width2, width4 = 2.0 * (shape.heads * shape.head_dim), 4.0 * (shape.heads * shape.head_dim)

    def total(n_in: int, n_cached: int, n_out: int) -> float:
        before = width2 * (full * (n_in * n_in)) - width2 * (full * (n_cached * n_cached))
        during = width4 * (full * (n_in + n_out / 2)) * n_out
        return parameters * (n_in - n_cached) + before + (n_out * parameters + during)

    return total


def _stages(point: Point) -> Callable[[int, int, int], tuple[float, float, float, float]]:
    """Give what :meth:`estimator.profiles.Point.stages` gives.

    These are: facility joules, IT joules, embodied grams and the prefill's share.
    """
    draw = point.roofline.drawing()
    on_gpu, on_it, on_facility = point.factors
    host_w, reserve, pue, embodied = point.host_w, point.reserve, point.pue, point.embodied_g_per_s

    def stages(n_in: int, n_cached: int, n_out: int) -> tuple[float, float, float, float]:
        joules, seconds, part, before = draw(n_in, n_cached, n_out)
        drawn = joules + host_w * seconds
        plain = drawn * reserve
        share = (part + host_w * before) / drawn if drawn > 0 else 0.0
        return plain * on_facility * pue, plain * on_it, seconds * on_gpu * embodied, share

    return stages


def _joules(point: Point) -> Callable[[int, int, int], float]:
    """Give the facility joules at one point alone."""
    draw = point.roofline.drawing()
    host_w, reserve, on_facility, pue = point.host_w, point.reserve, point.factors[2], point.pue

    def joules(n_in: int, n_cached: int, n_out: int) -> float:
        drawn, seconds, _, _ = draw(n_in, n_cached, n_out)
        return (drawn + host_w * seconds) * reserve * on_facility * pue

    return joules


def _facility(made: Profile) -> Callable[[int, int, int], tuple[float, float, float, float, float, float]]:
    """Give the facility's joules with their band, IT joules, embodied grams and the prefill's share."""
    if len(made.points) == 1:
        stages = _stages(made.points[0])

        def around(n_in: int, n_cached: int, n_out: int) -> tuple[float, float, float, float, float, float]:
            joules, it_joules, embodied, share = stages(n_in, n_cached, n_out)
            _, (down, up) = made.bands(n_in + n_out)
            return joules * down, joules, joules * up, it_joules, embodied, share

        return around
    low_point, middle_point, high_point = made.points
    lowest, middle, highest = _joules(low_point), _stages(middle_point), _joules(high_point)
    least_down, least_up = made.points[1].roofline.band
    widen = _widening(made.silicon_band)
    on_gpus = made.silicon_band == _NONE

    def spanned(n_in: int, n_cached: int, n_out: int) -> tuple[float, float, float, float, float, float]:
        one, other = lowest(n_in, n_cached, n_out), highest(n_in, n_cached, n_out)
        joules, it_joules, embodied, share = middle(n_in, n_cached, n_out)
        low, high = (one, other) if one < other else (other, one)
        least, most = joules * least_down, joules * least_up
        if least < low:
            low = least
        if most > high:
            high = most
        if not on_gpus:
            low, high = widen(low, joules, high)
        return low, joules, high, it_joules, embodied, share

    return spanned


def _widening(band: Band) -> Callable[[float, float, float], tuple[float, float]]:
    """Give the ends of a range combined with an independent error, see :meth:`estimator.Range.widened`."""
    log, exp, hypot = math.log, math.exp, math.hypot
    low_factor, high_factor = band
    log_low, log_high = log(low_factor), log(high_factor)

    def widened(low: float, mid: float, high: float) -> tuple[float, float]:
        if low <= 0:
            return low * low_factor, high * high_factor
        return mid * exp(-hypot(log(low / mid), log_low)), mid * exp(hypot(log(high / mid), log_high))

    return widened


def _shared() -> Callable[[float, float, float], tuple[float, float]]:
    """Give the deviations that all calls share, see :func:`estimator.uncertainty.deviations`."""
    bands = constants()["bands"]
    low_factor, high_factor = bands["own_call"]
    most, below, above, sqrt = bands["own_call_most"], 1 - low_factor, high_factor - 1, math.sqrt

    def shared(low: float, mid: float, high: float) -> tuple[float, float]:
        down, up = mid - low, high - mid
        own_down, own_up = mid * below, mid * above
        if most * down < own_down:
            own_down = most * down
        if most * up < own_up:
            own_up = most * up
        left_down, left_up = down * down - own_down * own_down, up * up - own_up * own_up
        return sqrt(left_down) if left_down > 0 else 0.0, sqrt(left_up) if left_up > 0 else 0.0

    return shared
