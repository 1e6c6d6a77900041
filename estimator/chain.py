"""The chain of one call on a compiled profile: from tokens to FLOPs, joules, grams and liters, stage by stage."""

from __future__ import annotations

from typing import Final, NamedTuple

from estimator.carbon import operational_grams
from estimator.fits import constants
from estimator.intensity import Intensity
from estimator.overheads import Overheads
from estimator.profiles import Profile
from estimator.ranges import Band, Range
from estimator.usage import Usage

_NONE: Final = (1.0, 1.0)


class Chain(NamedTuple):
    """One call's figures; each name says on which side of host and PUE it is."""

    flops: Range
    gpu_joules: Range
    it_joules: Range
    joules: Range
    prefill_joules: Range  # of the joules, those of the prompt
    grams_co2e: Range
    embodied_grams_co2e: Range
    liters: Range | None
    grams_per_kwh: float


def chain(usage: Usage, made: Profile, intensity: Intensity | None) -> Chain:
    """Work out a call whose token counts are known and possible; the hour's intensity goes before the year's."""
    n_in, n_cached, n_out = usage.input_tokens or 0, usage.cached_input_tokens or 0, usage.output_tokens or 0
    gpu, servers, facility, embodied, prefill_share = _stages(made, n_in, n_cached, n_out)
    bands = constants()["bands"]
    per_kwh = made.grid.grams_per_kwh if intensity is None else intensity.grams_per_kwh
    grams = facility * operational_grams(1.0, per_kwh)
    return Chain(
        flops=Range(*made.flops_range(n_in, n_cached, n_out)),
        gpu_joules=gpu,
        it_joules=servers,
        joules=facility,
        prefill_joules=facility * prefill_share,
        grams_co2e=grams.widened(*bands["grid_hourly"]) if intensity is None else grams,
        embodied_grams_co2e=embodied.widened(*constants()["embodied"]["band"]),
        liters=None
        if made.liters_per_it_joule is None
        else (servers * made.liters_per_it_joule).widened(*made.site_band),
        grams_per_kwh=per_kwh,
    )


def _stages(made: Profile, n_in: int, n_cached: int, n_out: int) -> tuple[Range, Range, Range, Range, float]:
    """Return joules of GPUs, servers and facility, embodied grams, and the prefill's share of the facility's.

    A band lies around one point, or spans three.
    """
    if len(made.points) == 1:
        one = made.points[0].stages(n_in, n_cached, n_out)
        on_gpu, on_rest = made.bands(n_in + n_out)
        return (
            Range.around(one.gpu_joules, on_gpu),
            Range.around(one.it_joules, on_rest),
            Range.around(one.facility_joules, on_rest),
            Range.around(one.embodied_grams, on_gpu),
            one.prefill_share,
        )
    low, mid, high = (point.stages(n_in, n_cached, n_out) for point in made.points)
    # Far from the workloads they were chosen on, the three may meet; the formula's own error stays.
    least = made.points[1].roofline.band
    found = (
        _spanned(low.gpu_joules, mid.gpu_joules, high.gpu_joules, least),
        _spanned(low.it_joules, mid.it_joules, high.it_joules, least),
        _spanned(low.facility_joules, mid.facility_joules, high.facility_joules, least),
        _spanned(low.embodied_grams, mid.embodied_grams, high.embodied_grams, least),
    )
    if made.silicon_band == _NONE:
        return (*found, mid.prefill_share)
    gpu, servers, facility, embodied = (value.widened(*made.silicon_band) for value in found)
    return gpu, servers, facility, embodied, mid.prefill_share


def _spanned(low: float, mid: float, high: float, least: Band) -> Range:
    return Range(min(low, high, mid * least[0]), mid, max(low, high, mid * least[1]))


def market_grams(
    facility: Range, contract: float | None, operator: Overheads
) -> tuple[Range | None, tuple[str, ...], str]:
    """Return market-based grams, their source, and why there are none: a contract's factor, else a published one."""
    if contract is not None:
        return facility * operational_grams(1.0, contract), (), ""
    if operator.market_grams_per_kwh is not None:
        return facility * operational_grams(1.0, operator.market_grams_per_kwh), (operator.market_source,), ""
    missing = "no contract factor given (Deployment.market_grams_per_kwh), and operator"
    return None, (), f"{missing} {operator.operator} publishes none"
