"""From a call's usage to its FLOPs, joules, grams, liters and dollars, each with its band and its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal

from estimator.carbon import operational_grams
from estimator.chain import chain, market_grams
from estimator.deployments import Deployment
from estimator.dollars import Terms, dollars
from estimator.errors import UnknownMethodError
from estimator.facts import facts_version
from estimator.grid import grid
from estimator.intensity import Intensity
from estimator.models import WIDEST, ModelCard, own_name, resolve
from estimator.profiles import profile
from estimator.reasons import ENERGY, problem, why_no_energy
from estimator.result import Centre, Estimate
from estimator.usage import Usage

if TYPE_CHECKING:
    from estimator.contract import PriceList
    from estimator.evidence import Evidence

__all__ = ["METHODS", "Centre", "Estimate", "centre", "estimate"]

METHODS: Final = ("roofline", "audit")
Unknown = Literal["none", "widest"]


def estimate(
    usage: Usage,
    model: str | ModelCard,
    *,
    provider: str | None = None,
    deployment: Deployment | None = None,
    zone: str | None = None,
    at: datetime | None = None,
    method: str = "roofline",
    service_tier: str | None = None,
    region: str | None = None,
    price_list: PriceList | str | None = None,
    aliases: Mapping[str, str] | None = None,
    intensity: Intensity | None = None,
    evidence: Evidence | None = None,
    unknown: Unknown = "none",
) -> Estimate:
    """Estimate one call.

    ``region`` is where the provider keeps the call, for its price; ``price_list`` the operator's own prices, or
    the provider whose list holds; ``aliases`` the operator's own model names, such as Azure deployments;
    ``intensity`` the grid's hour, where somebody asked for it, in the place of the zone's year.

    ``evidence`` are joules of a meter or of the provider, which replace the model's. A model without a card
    or a public size gets no energy, or with ``unknown="widest"`` the widest prior there is, flagged as such.

    Whatever the traffic holds gives an estimate, with ``None`` and a reason where nothing can be
    said: an unknown model, absent or impossible token counts, no price.

    Raises:
        UnknownMethodError, UnknownZoneError, UnknownGpuError, DeploymentError: the caller asked for
            what does not exist.

    """
    if method not in METHODS:
        msg = f"method is one of {', '.join(METHODS)}, not {method!r}"
        raise UnknownMethodError(msg)
    model = own_name(model, aliases)
    card = resolve(model, provider) if isinstance(model, str) else model
    wrong = problem(usage)
    terms = Terms(provider, at, service_tier, region, price_list)
    plain = _estimated(usage, model, card, deployment, zone, terms, wrong, intensity, unknown)
    # What few calls ask for is imported when one does: it would be a tenth of the library's import.
    if method == "audit":
        from estimator.audited import audited

        return audited(usage, model, card, zone, terms, wrong, plain.joules)
    if evidence is None:
        return plain
    from estimator.stated import stated

    return stated(plain, evidence, deployment, provider, zone, intensity)


def _estimated(
    usage: Usage,
    model: str | ModelCard,
    card: ModelCard | None,
    deployment: Deployment | None,
    zone: str | None,
    terms: Terms,
    wrong: str | None,
    intensity: Intensity | None,
    unknown: Unknown,
) -> Estimate:
    reasons: dict[str, str] = {}
    cost, price = dollars(usage, model, card, terms, wrong, reasons)
    # The price is the model's own, whatever stands in for its size.
    sized = WIDEST if unknown == "widest" and (card is None or card.total_params is None) else card
    made = profile(sized, deployment, terms.provider, zone) if sized is not None else None
    if made is None or wrong is not None or usage.output_tokens is None:
        reasons |= dict.fromkeys(ENERGY, why_no_energy(model, sized, wrong))
        return Estimate(
            model_id=card.id if card is not None else None,
            method="roofline",
            tier="unknown",
            zone=grid(zone).zone if zone is not None else None,
            facts_version=facts_version(),
            cost_usd=cost,
            price_id=price.id if price is not None else None,
            sources=(price.source,) if price is not None else (),
            reasons=reasons,
            usage=usage,
        )
    found = chain(usage, made, intensity)
    market, bought, unbought = market_grams(found.joules, made.market_grams_per_kwh, made.overheads)
    if unbought:
        reasons["market_grams_co2e"] = unbought
    if found.liters is None:
        reasons["liters"] = f"no water figure for {made.grid.name}"
    hour = (intensity.source,) if intensity is not None else ()
    return Estimate(
        model_id=card.id if card is not None else None,
        method="roofline",
        tier=made.tier,
        zone=made.grid.zone,
        facts_version=facts_version(),
        flops=found.flops,
        gpu_joules=found.gpu_joules,
        it_joules=found.it_joules,
        joules=found.joules,
        prefill_joules=found.prefill_joules,
        grams_co2e=found.grams_co2e,
        embodied_grams_co2e=found.embodied_grams_co2e,
        market_grams_co2e=market,
        liters=found.liters,
        cost_usd=cost,
        price_id=price.id if price is not None else None,
        grid_source=intensity.source if intensity is not None else made.grid.source,
        grams_per_kwh=found.grams_per_kwh,
        sources=(*made.sources, *hour, *bought, *((price.source,) if price is not None else ())),
        assumptions=made.assumptions if intensity is None else (*made.assumptions, intensity.sentence),
        reasons=reasons,
        usage=usage,
        profile=made,
    )


def centre(
    usage: Usage,
    model: str | ModelCard,
    *,
    provider: str | None = None,
    zone: str | None = None,
    at: datetime | None = None,
    service_tier: str | None = None,
    region: str | None = None,
    price_list: PriceList | str | None = None,
    aliases: Mapping[str, str] | None = None,
) -> Centre:
    """Return the middle joules and grams and the dollars of one call, as :func:`estimate` would.

    Raises:
        UnknownZoneError: the zone does not exist.

    """
    model = own_name(model, aliases)
    card = resolve(model, provider) if isinstance(model, str) else model
    terms = Terms(provider, at, service_tier, region, price_list)
    made = profile(card, None, provider, zone) if card is not None else None
    wrong = problem(usage)
    joules = grams = None
    if made is not None and wrong is None and usage.output_tokens is not None:
        point = made.points[len(made.points) // 2]
        joules = point.stages(
            usage.input_tokens or 0, usage.cached_input_tokens or 0, usage.output_tokens
        ).facility_joules
        grams = operational_grams(joules, made.grid.grams_per_kwh)
    cost, _ = dollars(usage, model, card, terms, wrong, None)
    return Centre(joules, grams, cost)
