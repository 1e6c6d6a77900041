"""An estimate by the audit page's own method, with its parameters where it names the model."""

from __future__ import annotations

from estimator import audit
from estimator.dollars import Terms, dollars
from estimator.facts import facts_version
from estimator.grid import grid
from estimator.models import ModelCard
from estimator.ranges import Range
from estimator.reasons import ENERGY, why_no_energy
from estimator.result import Estimate
from estimator.units import with_prefix
from estimator.usage import Usage


def audited(
    usage: Usage,
    model: str | ModelCard,
    card: ModelCard | None,
    zone: str | None,
    terms: Terms,
    wrong: str | None,
    roofline: Range | None,
) -> Estimate:
    """Estimate a call as the page would: FLOPs by active parameters, one energy per FLOP, no band.

    ``roofline`` are the facility's joules as reckoned here, whose band is said beside the page's point.
    """
    page = audit.audit_models().get(card.id) if card is not None else None
    active = page.active_params if page is not None else None
    if active is None and card is not None and card.active_params is not None:
        active = (card.active_params[0] * card.active_params[1]) ** 0.5
    reasons = dict.fromkeys(
        ("prefill_joules", "embodied_grams_co2e", "market_grams_co2e", "liters"),
        "the audit's method has no such figure",
    )
    zone_id = grid(zone).zone if zone is not None else None
    if active is None or wrong is not None or usage.output_tokens is None:
        reasons.update(dict.fromkeys(ENERGY, why_no_energy(model, card, wrong)))
        reasons["cost_usd"] = reasons["joules"]
        return Estimate(
            model_id=card.id if card is not None else None,
            method="audit",
            tier="unknown",
            zone=zone_id,
            facts_version=facts_version(),
            reasons=reasons,
            usage=usage,
        )
    factor = grid(zone).grams_per_kwh if zone is not None else audit.parameters()["static"]["grams_per_kwh"]
    n_in, n_out = usage.input_tokens or 0, usage.output_tokens
    got = audit.conversation(active, n_in, n_out, factor, page)
    cost, price = got.cost_usd, None
    if cost is None:
        cost, price = dollars(usage, model, card, terms, wrong, reasons)
    return Estimate(
        model_id=card.id if card is not None else None,
        method="audit",
        tier="open_model" if card is not None and card.weights == "open" else "closed_model",
        zone=zone_id,
        facts_version=facts_version(),
        flops=Range.exact(got.flops),
        gpu_joules=Range.exact(got.it_joules),
        it_joules=Range.exact(got.it_joules),
        joules=Range.exact(got.joules),
        grams_co2e=Range.exact(got.grams_co2e),
        cost_usd=cost,
        price_id=price.id if price is not None else None,
        sources=("audit",) if price is None else ("audit", price.source),
        assumptions=(
            f"{active / 1e9:g} B active parameters, every token alike, 0.21 pJ per FLOP with PUE 1.2 in it",
            "the audit states no band: measured GPUs draw about 55 times as much",
            f"grid at {factor:g} g/kWh",
            *(() if roofline is None else (_beside(roofline),)),
        ),
        reasons=reasons,
        usage=usage,
    )


def _beside(joules: Range) -> str:
    low, mid, high = (with_prefix(point, "J", 3) for point in (joules.low, joules.mid, joules.high))
    return f"the same call by the roofline: {mid}, of {low} to {high} (90 %)"
