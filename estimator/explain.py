"""An estimate as a chain of sentences with numbers, from tokens to dollars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from estimator.equivalences import Equivalence, count, equivalences
from estimator.fits import constants
from estimator.flops import Part, flops
from estimator.ranges import Range
from estimator.units import JOULES_PER_KWH, JOULES_PER_WH, with_prefix

if TYPE_CHECKING:
    from estimator.energy import Roofline
    from estimator.profiles import Profile
    from estimator.result import Estimate
    from estimator.usage import Usage


def explain(made: Estimate) -> str:
    """Return one line per step: the formula, its numbers, its band; then what was assumed and what is missing."""
    lines = [
        f"model        {made.model_id or 'unknown'}; method {made.method}; evidence: {made.tier};"
        f" facts {made.facts_version}"
    ]
    usage = made.usage
    lines.append(
        f"tokens       {_count(usage.input_tokens)} in, {_count(usage.cached_input_tokens)} of them cached; "
        f"{_count(usage.output_tokens)} out"
    )
    if made.profile is not None and made.joules is not None:
        lines.extend(_roofline(made, made.profile, usage))
    elif made.joules is not None:
        lines.extend(_audit(made))
    if made.cost_usd is not None:
        lines.append(f"dollars      {made.cost_usd} by price {made.price_id or 'of the audit page'}")
    for like in equivalences():
        many = count(like, joules=made.joules, grams=made.grams_co2e)
        if many is not None:
            lines.append(_like(like, many))
    lines.extend(f"assumed      {text}" for text in made.assumptions)
    for reason in dict.fromkeys(made.reasons.values()):
        fields = ", ".join(name for name, why in made.reasons.items() if why == reason)
        lines.append(f"not known    {fields}: {reason}")
    if made.sources:
        lines.append(f"sources      {', '.join(dict.fromkeys(made.sources))}")
    return "\n".join(lines)


def _roofline(made: Estimate, profile: Profile, usage: Usage) -> list[str]:
    n_in, n_cached, n_out = usage.input_tokens or 0, usage.cached_input_tokens or 0, usage.output_tokens or 0
    counted = flops(profile.shape, n_in, n_cached, n_out)
    point = profile.points[len(profile.points) // 2]
    stages = point.stages(n_in, n_cached, n_out)
    roofline = point.roofline
    on_gpu, on_it, on_facility = point.factors
    grams = profile.grid.grams_per_kwh if made.grams_per_kwh is None else made.grams_per_kwh
    drawn = len(profile.points) > 1
    like = "like " if drawn else ""
    lines = [
        f"FLOPs        prefill {with_prefix(counted.prefill, 'FLOP')} + decode {with_prefix(counted.decode, 'FLOP')}"
        f" = {_range(made.flops, 'FLOP')}; spared by the cache {with_prefix(counted.avoided, 'FLOP')}",
        *(_part(part) for part in made.flops_parts),
        f"runs on      {like}{roofline.n_gpus} × {roofline.gpu.name}, {roofline.precision.name},"
        f" batch {stages.batch:.3g}{_held(roofline, stages.batch)}, {with_prefix(stages.gpu_seconds, 'GPU-s')}",
        *_step(roofline, n_in, n_cached, n_out, stages.prefill_share),
        f"GPU          roofline {with_prefix(stages.gpu_joules / on_gpu, 'J')} × {on_gpu:.3g}"
        f" = {_range(made.gpu_joules, 'J')}",
        f"servers      (GPU + {point.host_w:.0f} W host × {with_prefix(stages.gpu_seconds, 's')})"
        f" × {point.reserve:g} reserve × {on_it:.3g} = {_range(made.it_joules, 'J')}",
        f"facility     servers × PUE {profile.pue:g} = {_range(made.joules, 'J')}"
        + (f" (factor {on_facility:.3g})" if on_facility != on_it else "")
        + f" = {_wh(made.joules)}",
        f"carbon       {stages.facility_joules:.4g} J / {JOULES_PER_KWH:g} × {grams:g} g/kWh"
        f" ({profile.grid.name}, {made.grid_source}) = {_range(made.grams_co2e, 'g')}",
        f"embodied     {with_prefix(stages.gpu_seconds * on_gpu, 'GPU-s')} × {point.embodied_g_per_s:.3g} g/s"
        f" = {_range(made.embodied_grams_co2e, 'g')}",
    ]
    if made.liters is not None:
        lines.append(
            f"water        servers × ({profile.overheads.site_liters_per_kwh.mid:g} on site + {profile.pue:g} ×"
            f" {profile.grid.liters_per_kwh:g} off site) L/kWh = {_range(made.liters, 'L')},"
            f" of it on site {_range(made.site_liters, 'L')}"
        )
    bands, (on_gpu_low, on_gpu_high) = constants()["bands"], profile.bands(n_in + n_out)[0]
    lines.append(
        "bands        90 %: "
        + (
            "Monte Carlo over parameters, GPU, precision and batch"
            if drawn
            else f"GPU × {on_gpu_low:.2f} to {on_gpu_high:.2f}, host, reserve and PUE ×"
            f" {bands['facility'][0]} to {bands['facility'][1]}"
        )
        + f"; grid × {bands['grid_hourly'][0]} to {bands['grid_hourly'][1]}"
    )
    return lines


def _held(roofline: Roofline, batch: float) -> str:
    if batch >= roofline.batch:
        return ""
    return f" of {roofline.batch:.3g}, as the caches fill the memory"


def _part(part: Part) -> str:
    return (
        f"  {part.name:18} {part.share:6.1%}  prefill {with_prefix(part.prefill, 'FLOP')},"
        f" decode {with_prefix(part.decode, 'FLOP')}  ({part.formula})"
    )


def _step(roofline: Roofline, n_in: int, n_cached: int, n_out: int, share: float) -> list[str]:
    """Return the parts of a decode step and of the prefill, by the constants of the set in use."""
    if n_out <= 0:
        return []
    k, step = roofline.fit, roofline.step(n_in, n_cached, n_out)
    reached = k.reached(roofline.gpu.bandwidth) / roofline.gpu.bandwidth
    roof = "root of squares of" if k.smooth_roof else "longer of"
    lines = [
        f"decode step  reads {with_prefix(step.weight_bytes, 'B')} of weights and"
        f" {with_prefix(step.kv_bytes, 'B')} of KV a sequence, computes {with_prefix(step.flops, 'FLOP')} a token",
        f"  {roof} memory {with_prefix(step.memory_s, 's')} (at {reached:.0%} of the bandwidth) and arithmetic"
        f" {with_prefix(step.arithmetic_s, 's')} (at {k.eta_comp:.0%} of the peak), KV {with_prefix(step.kv_s, 's')},"
        f" overhead {with_prefix(step.overhead_s, 's')}: {with_prefix(step.step_s, 's')}",
        f"prefill      {with_prefix(step.prefill_s, 's')} of all {roofline.n_gpus} GPUs,"
        f" {share:.1%} of the servers' joules",
    ]
    if roofline.speculation is None:
        parts = (step.floor_j, step.overhead_j, step.arithmetic_j, step.traffic_j)
        lines.append(
            f"draws        {' + '.join(with_prefix(value, 'J') for value in parts)} = {with_prefix(sum(parts), 'J')}:"
            f" {k.s:.3g} of the TDP always, {k.s_overhead:.3g} in overheads, {k.phi:.3g} at the peak of arithmetic,"
            f" {k.beta_of.get(roofline.gpu.name, k.beta):.3g} at full bandwidth;"
            f" held below {with_prefix(step.limit_j, 'J')}, the TDP, by its power of {k.cap:g}"
        )
    else:
        draft = roofline.speculation
        lines.append(
            f"speculative  (1 − {draft.acceptance:g}^{draft.draft_tokens + 1}) / (1 − {draft.acceptance:g})"
            f" = {draft.tokens_per_step:.3g} tokens a step; a drafted token costs {draft.draft_cost:g} of a plain step"
        )
    return lines


def _audit(made: Estimate) -> list[str]:
    return [
        f"FLOPs        2 × active parameters × all tokens = {_range(made.flops, 'FLOP')}",
        *(_part(part) for part in made.flops_parts),
        f"energy       × 0.21 pJ per FLOP = {_range(made.joules, 'J')}, PUE 1.2 in it",
        f"carbon       = {_range(made.grams_co2e, 'g')}",
    ]


def _like(like: Equivalence, many: Range) -> str:
    amount = with_prefix(like.joules_or_grams, "J", 3) if like.of == "energy" else f"{like.joules_or_grams:g} g CO2e"
    band = "" if many.low == many.high else f" ({many.low:.3g} to {many.high:.3g})"
    return f"like         {many.mid:.3g} {like.name}{band}, {amount} each ({like.source}, {like.year})"


def _count(tokens: int | None) -> str:
    return "an unknown number" if tokens is None else f"{tokens:,}"


def _range(value: Range | None, unit: str) -> str:
    if value is None:
        return "unknown"
    if value.low == value.high:
        return with_prefix(value.mid, unit)
    return f"{with_prefix(value.mid, unit)} ({with_prefix(value.low, unit, 3)} to {with_prefix(value.high, unit, 3)})"


def _wh(value: Range | None) -> str:
    if value is None:
        return "unknown"
    return _range(Range(value.low / JOULES_PER_WH, value.mid / JOULES_PER_WH, value.high / JOULES_PER_WH), "Wh")
