"""Joules that a meter or the provider states, put in the place of the estimated ones; the rest follows from them."""

from __future__ import annotations

from dataclasses import replace

from estimator.carbon import operational_grams
from estimator.chain import market_grams
from estimator.deployments import Deployment
from estimator.evidence import Evidence, staged
from estimator.fits import constants
from estimator.grid import grid
from estimator.intensity import Intensity
from estimator.overheads import overheads
from estimator.ranges import Range, combined
from estimator.result import Estimate
from estimator.water import liters

_FOLLOWS = frozenset({"gpu_joules", "it_joules", "joules", "grams_co2e", "liters", "market_grams_co2e"})


def stated(
    plain: Estimate,
    evidence: Evidence,
    deployment: Deployment | None,
    provider: str | None,
    zone: str | None,
    intensity: Intensity | None,
) -> Estimate:
    """Return the estimate with the evidence's joules at their stage and the other stages reckoned from them."""
    bands, defaults = constants()["bands"], constants()["defaults"]
    made = plain.profile
    operator = made.overheads if made is not None else overheads(provider)
    place = made.grid if made is not None else grid(zone or operator.zone)
    given = deployment.pue if deployment is not None else None
    pue = made.pue if made is not None else given or operator.pue.mid
    ratio = defaults["it_over_gpu"]
    if plain.gpu_joules is not None and plain.it_joules is not None and plain.gpu_joules.mid > 0:
        ratio = plain.it_joules.mid / plain.gpu_joules.mid
    own = evidence.own_band
    reckoned = combined(own, bands["facility"])
    found = {
        scope: Range.around(joules, reckoned if derived else own)
        for scope, (joules, derived) in staged(evidence, ratio, pue).items()
    }
    facility, servers = found["facility"], found["it"]
    prefill: Range | None = None
    split: tuple[str, ...] = ()
    if plain.prefill_joules is not None and plain.joules is not None and plain.joules.mid > 0:
        prefill = facility * (plain.prefill_joules.mid / plain.joules.mid)
        split = ("the prefill's part of the joules is that of the roofline",)
    reasons = {name: why for name, why in plain.reasons.items() if name not in _FOLLOWS}
    water = None
    if place.liters_per_kwh is None:
        reasons["liters"] = f"no water figure for {place.name}"
    else:
        site = operator.site_liters_per_kwh
        off_site = pue * place.liters_per_kwh
        spread = (site.low + off_site) / (site.mid + off_site), (site.high + off_site) / (site.mid + off_site)
        water = (servers * liters(1.0, site.mid, pue, place.liters_per_kwh)).widened(*spread)
    contract = deployment.market_grams_per_kwh if deployment is not None else None
    market, bought, unbought = market_grams(facility, contract, operator)
    if unbought:
        reasons["market_grams_co2e"] = unbought
    per_kwh = intensity.grams_per_kwh if intensity is not None else place.grams_per_kwh
    grams = facility * operational_grams(1.0, per_kwh)
    return replace(
        plain,
        tier=evidence.kind,
        zone=place.zone,
        gpu_joules=found["gpu"],
        it_joules=servers,
        joules=facility,
        prefill_joules=prefill,
        grams_co2e=grams if intensity is not None else grams.widened(*bands["grid_hourly"]),
        market_grams_co2e=market,
        liters=water,
        grid_source=intensity.source if intensity is not None else place.source,
        grams_per_kwh=per_kwh,
        sources=(evidence.source, *dict.fromkeys((*plain.sources, *bought))),
        assumptions=(f"joules {evidence.kind} at the {evidence.scope}: {evidence.source}", *split, *plain.assumptions),
        reasons=reasons,
        evidence=evidence,
    )
