"""From a call's usage to its FLOPs, joules, grams, liters and dollars, each with its band and its reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from estimator import audit
from estimator.carbon import operational_grams
from estimator.contract import PriceList
from estimator.deployments import Deployment
from estimator.dollars import Terms, dollars
from estimator.errors import UnknownMethodError
from estimator.evidence import Evidence, staged
from estimator.facts import facts_version
from estimator.fits import constants
from estimator.flops import Part, breakdown
from estimator.grid import grid
from estimator.intensity import Intensity
from estimator.models import ModelCard, own_name, resolve
from estimator.overheads import Overheads, overheads
from estimator.profiles import Profile, Tier, profile
from estimator.ranges import Range, combined
from estimator.uncertainty import Uncertain, uncertain
from estimator.usage import Usage
from estimator.water import liters

METHODS: Final = ("roofline", "audit")
# More tokens than any call can have: a provider's slip, not a workload.
MOST_TOKENS: Final = 1_000_000_000
Unknown = Literal["none", "widest"]
# Whatever a model could be: from a phone's to the largest anybody has claimed.
WIDEST: Final = ModelCard(
    id="unknown",
    maker="",
    kind="moe",
    weights="closed",
    total_params=(1e9, 2e12),
    active_params=(1e9, 2e11),
    source="none",
)
_HINT: Final = "no card for {!r}: add an entry to estimator/data/models or pass a ModelCard"


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one call took; ``None`` is unknown and ``reasons`` says why, it is never zero.

    ``gpu_joules`` are the accelerators', ``it_joules`` the servers', ``joules`` the facility's, PUE
    included; ``grams_co2e`` is operational and location-based, ``market_grams_co2e`` by contract.
    """

    model_id: str | None
    method: str
    tier: Tier
    zone: str | None
    facts_version: str
    grid_source: str | None = None  # whose grams per kWh: the annual table's or that of an hour
    grams_per_kwh: float | None = None
    flops: Range | None = None
    gpu_joules: Range | None = None
    it_joules: Range | None = None
    joules: Range | None = None
    grams_co2e: Range | None = None
    embodied_grams_co2e: Range | None = None
    market_grams_co2e: Range | None = None
    liters: Range | None = None
    cost_usd: Decimal | None = None
    price_id: str | None = None
    sources: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    reasons: dict[str, str] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage, repr=False)
    profile: Profile | None = field(default=None, repr=False)
    evidence: Evidence | None = None

    @property
    def key(self) -> str:
        """What shares this estimate's errors: the model at its operator."""
        operator = self.profile.overheads.operator if self.profile is not None else "nobody"
        return f"{self.model_id or 'unknown'}@{operator}"

    def uncertain(self, quantity: str = "joules") -> Uncertain | None:
        """Return a figure for sums, shared and own error apart, or ``None`` where it is unknown."""
        value: Range | None = getattr(self, quantity)
        return None if value is None else uncertain(value, self.key)

    @property
    def flops_parts(self) -> tuple[Part, ...]:
        """The FLOPs by part of the network, or by the audit page's own split; empty where they are unknown."""
        n_in, n_cached = self.usage.input_tokens or 0, self.usage.cached_input_tokens or 0
        n_out = self.usage.output_tokens or 0
        if self.method == "audit" and self.flops is not None:
            return audit.parts(self.flops.mid, n_in, n_out)
        if self.profile is None or self.flops is None:
            return ()
        return breakdown(self.profile.shape, n_in, n_cached, n_out)

    def explain(self) -> str:
        """Return the chain from tokens to dollars as text, each step with its numbers."""
        from estimator.explain import explain

        return explain(self)


@dataclass(frozen=True, slots=True)
class Centre:
    """The middle of an estimate's bands, for where only one figure fits."""

    joules: float | None
    grams_co2e: float | None
    cost_usd: Decimal | None


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
    problem = _problem(usage)
    terms = Terms(provider, at, service_tier, region, price_list)
    if method == "audit":
        return _audited(usage, model, card, zone, terms, problem)
    if evidence is not None:
        plain = estimate(
            usage,
            model,
            provider=provider,
            deployment=deployment,
            zone=zone,
            at=at,
            service_tier=service_tier,
            region=region,
            price_list=price_list,
            intensity=intensity,
        )
        return _evidenced(plain, evidence, deployment, provider, zone, intensity)
    priced = card
    if unknown == "widest" and (card is None or card.total_params is None):
        card = WIDEST
    made = profile(card, deployment, provider, zone) if card is not None else None
    reasons: dict[str, str] = {}
    cost, price = dollars(usage, model, priced, terms, problem, reasons)
    if made is None or problem is not None or usage.output_tokens is None:
        why = _why_no_energy(model, card, problem)
        for name in _ENERGY:
            reasons[name] = why
        return Estimate(
            model_id=priced.id if priced is not None else None,
            method=method,
            tier="unknown",
            zone=grid(zone).zone if zone is not None else None,
            facts_version=facts_version(),
            cost_usd=cost,
            price_id=price.id if price is not None else None,
            sources=(price.source,) if price is not None else (),
            reasons=reasons,
            usage=usage,
        )

    n_in, n_cached, n_out = usage.input_tokens or 0, usage.cached_input_tokens or 0, usage.output_tokens
    points = made.points
    per_kwh, carbon_band = made.grid.grams_per_kwh, made.carbon_band
    if intensity is not None:  # the hour itself: no band for the hour against the year
        per_kwh, carbon_band = intensity.grams_per_kwh, made.facility_band
    if len(points) == 1:
        mid = points[0].stages(n_in, n_cached, n_out)
        gpu = _banded(mid.gpu_joules, made.gpu_band)
        servers = _banded(mid.it_joules, made.facility_band)
        facility = _banded(mid.facility_joules, made.facility_band)
        grams = _banded(operational_grams(mid.facility_joules, per_kwh), carbon_band)
        embodied = _banded(mid.embodied_grams, made.embodied_band)
    else:
        low, mid, high = (point.stages(n_in, n_cached, n_out) for point in points)
        gpu = _ordered(low.gpu_joules, mid.gpu_joules, high.gpu_joules)
        servers = _ordered(low.it_joules, mid.it_joules, high.it_joules)
        facility = _ordered(low.facility_joules, mid.facility_joules, high.facility_joules)
        if made.silicon_band is not None:
            gpu, servers, facility = (value.widened(*made.silicon_band) for value in (gpu, servers, facility))
        grams = (facility * operational_grams(1.0, per_kwh)).widened(*carbon_band)
        embodied = _ordered(low.embodied_grams, mid.embodied_grams, high.embodied_grams).widened(*made.embodied_band)
    water = None
    if made.liters_per_it_joule is None:
        reasons["liters"] = f"no water figure for {made.grid.name}"
    elif len(points) == 1:
        water = _banded(mid.it_joules * made.liters_per_it_joule, made.water_band)
    else:
        water = (servers * made.liters_per_it_joule).widened(*made.water_band)
    market, bought = _market(facility, made.market_grams_per_kwh, made.overheads, reasons)
    return Estimate(
        model_id=priced.id if priced is not None else None,
        method=method,
        tier=made.tier,
        zone=made.grid.zone,
        facts_version=facts_version(),
        flops=Range(*made.flops_range(n_in, n_cached, n_out)),
        gpu_joules=gpu,
        it_joules=servers,
        joules=facility,
        grams_co2e=grams,
        embodied_grams_co2e=embodied,
        market_grams_co2e=market,
        liters=water,
        cost_usd=cost,
        price_id=price.id if price is not None else None,
        grid_source=intensity.source if intensity is not None else made.grid.source,
        grams_per_kwh=per_kwh,
        sources=(
            *made.sources,
            *((intensity.source,) if intensity else ()),
            *bought,
            *((price.source,) if price else ()),
        ),
        assumptions=made.assumptions if intensity is None else (*made.assumptions, _of_the_hour(intensity)),
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
    problem = _problem(usage)
    joules = grams = None
    if made is not None and problem is None and usage.output_tokens is not None:
        point = made.points[len(made.points) // 2]
        joules = point.stages(
            usage.input_tokens or 0, usage.cached_input_tokens or 0, usage.output_tokens
        ).facility_joules
        grams = operational_grams(joules, made.grid.grams_per_kwh)
    cost, _ = dollars(usage, model, card, terms, problem, None)
    return Centre(joules, grams, cost)


def _evidenced(
    plain: Estimate,
    evidence: Evidence,
    deployment: Deployment | None,
    provider: str | None,
    zone: str | None,
    intensity: Intensity | None,
) -> Estimate:
    """Put stated joules in the place of estimated ones; what follows from joules follows from them."""
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
        scope: _banded(joules, reckoned if derived else own)
        for scope, (joules, derived) in staged(evidence, ratio, pue).items()
    }
    facility, servers = found["facility"], found["it"]
    reasons = {
        name: why
        for name, why in plain.reasons.items()
        if name not in {"gpu_joules", "it_joules", "joules", "grams_co2e", "liters", "market_grams_co2e"}
    }
    water = None
    if place.liters_per_kwh is None:
        reasons["liters"] = f"no water figure for {place.name}"
    else:
        site = operator.site_liters_per_kwh
        off_site = pue * place.liters_per_kwh
        spread = (site.low + off_site) / (site.mid + off_site), (site.high + off_site) / (site.mid + off_site)
        water = (servers * liters(1.0, site.mid, pue, place.liters_per_kwh)).widened(*spread)
    contract = deployment.market_grams_per_kwh if deployment is not None else None
    market, bought = _market(facility, contract, operator, reasons)
    per_kwh = intensity.grams_per_kwh if intensity is not None else place.grams_per_kwh
    grams = facility * operational_grams(1.0, per_kwh)
    return replace(
        plain,
        tier=evidence.kind,
        zone=place.zone,
        gpu_joules=found["gpu"],
        it_joules=servers,
        joules=facility,
        grams_co2e=grams if intensity is not None else grams.widened(*bands["grid_hourly"]),
        market_grams_co2e=market,
        liters=water,
        grid_source=intensity.source if intensity is not None else place.source,
        grams_per_kwh=per_kwh,
        sources=(evidence.source, *dict.fromkeys((*plain.sources, *bought))),
        assumptions=(f"joules {evidence.kind} at the {evidence.scope}: {evidence.source}", *plain.assumptions),
        reasons=reasons,
        evidence=evidence,
    )


def _market(
    facility: Range, contract: float | None, operator: Overheads, reasons: dict[str, str]
) -> tuple[Range | None, tuple[str, ...]]:
    """Return market-based grams and their source: by a stated contract, else by what the operator publishes."""
    if contract is not None:
        return facility * operational_grams(1.0, contract), ()
    if operator.market_grams_per_kwh is not None:
        return facility * operational_grams(1.0, operator.market_grams_per_kwh), (operator.market_source,)
    reasons["market_grams_co2e"] = (
        f"no contract factor given (Deployment.market_grams_per_kwh), and operator {operator.operator} publishes none"
    )
    return None, ()


def _of_the_hour(intensity: Intensity) -> str:
    boundary = "life cycle" if intensity.boundary == "life_cycle" else "direct emissions alone"
    return (
        f"grid at {intensity.grams_per_kwh:g} g/kWh from {intensity.start:%Y-%m-%dT%H:%M} UTC ({intensity.source},"
        f" {boundary}{', estimated there' if intensity.estimated else ''})"
    )


_ENERGY: Final = (
    "flops",
    "gpu_joules",
    "it_joules",
    "joules",
    "grams_co2e",
    "embodied_grams_co2e",
    "market_grams_co2e",
    "liters",
)


def _problem(usage: Usage) -> str | None:
    """Say why a usage cannot be reckoned with, or ``None``; a missing output count is the caller's to judge."""
    n_in, n_out = usage.input_tokens, usage.output_tokens
    if n_in is None:
        return "the input token count is unknown"
    if not 0 <= n_in <= MOST_TOKENS or (n_out is not None and not 0 <= n_out <= MOST_TOKENS):
        return f"token counts are impossible: {n_in} in, {n_out} out"
    cached, written = usage.cached_input_tokens or 0, usage.cache_write_tokens or 0
    if cached < 0 or written < 0 or cached + written > n_in:
        return f"cached tokens are impossible: {cached} read and {written} written of {n_in} in"
    return None


def _why_no_energy(model: str | ModelCard, card: ModelCard | None, problem: str | None) -> str:
    if card is None:
        return _HINT.format(model)
    if problem is not None:
        return problem
    if card.total_params is None:
        return f"no public figure for the size of {card.id}"
    return "the output token count is unknown"


def _banded(mid: float, band: tuple[float, float]) -> Range:
    return Range(mid * band[0], mid, mid * band[1])


def _ordered(low: float, mid: float, high: float) -> Range:
    return Range(min(low, mid, high), mid, max(low, mid, high))


def _audited(
    usage: Usage,
    model: str | ModelCard,
    card: ModelCard | None,
    zone: str | None,
    terms: Terms,
    problem: str | None,
) -> Estimate:
    """Estimate by the audit page's own method, its parameters where it names the model."""
    page = audit.audit_models().get(card.id) if card is not None else None
    active = page.active_params if page is not None else None
    if active is None and card is not None and card.active_params is not None:
        active = (card.active_params[0] * card.active_params[1]) ** 0.5
    reasons = dict.fromkeys(
        ("embodied_grams_co2e", "market_grams_co2e", "liters"), "the audit's method has no such figure"
    )
    zone_id = grid(zone).zone if zone is not None else None
    if active is None or problem is not None or usage.output_tokens is None:
        reasons.update(dict.fromkeys(_ENERGY, _why_no_energy(model, card, problem)))
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
        cost, price = dollars(usage, model, card, terms, problem, reasons)
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
        ),
        reasons=reasons,
        usage=usage,
    )
