"""The one estimator of a running service, as its configuration wants it: for the ledger's rows and for reply headers.

Both take it from here, so that what a client reads in a header is what its row in the ledger says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from estimator import Centre, Deployment, Estimate, Evidence, Intensity, PriceList, Usage, estimate, resolve
from estimator.deployments import find_gpu, find_precision
from estimator.dollars import Terms, other_tier, price_of
from estimator.errors import EstimatorError
from estimator.estimate import Unknown
from estimator.fits import constants
from estimator.grid import grid
from estimator.overheads import overheads
from estimator.profiles import profile
from estimator.ranges import Range, combined
from estimator.reasons import problem
from proxy.errors import ConfigError
from proxy.known import Known
from proxy.prices.own import read_price_list
from proxy.sections import Config, DeploymentSection, EvidenceSection

if TYPE_CHECKING:
    from proxy.grids.background import BackgroundGrid

_NAMES_KEPT = 4096  # clients choose the names
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE_US = 60_000_000  # prices change with the day, some with the hour and minute of it


class Hours(Protocol):
    """Who knows the grid's intensity of an hour."""

    def at(self, zone: str, at: datetime) -> Intensity | None:
        """Return the hour's intensity, or ``None`` where the annual figure must do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallTerms:
    """What the configuration says of calls of one model at one provider."""

    model: str  # as the facts call it
    deployment: Deployment | None
    evidence: Stated | None
    region: str | None  # of the provider's price


class ConfiguredEstimator:
    """Estimates calls under one configuration; safe for several threads."""

    def __init__(self, config: Config, hours: Hours | None = None) -> None:
        """Check what the configuration says; raises :class:`ConfigError`. Without ``hours`` an hour is its year's."""
        path = config.estimate.price_list
        self._price_list = read_price_list(Path(path)) if path is not None else None
        self._unknown: Unknown = "widest" if config.estimate.unknown == "widest" else "none"
        self._aliases = {(row.name.lower(), row.provider): row.model for row in config.alias}
        self._deployments = [(row, _deployment(row)) for row in config.deployment]
        self._evidence = tuple(Stated(row) for row in config.evidence)
        # Prices name a region as its cloud does, without the cloud.
        self._regions = {row.name: row.region.partition(":")[2] for row in config.provider if row.region is not None}
        self._zones_by_hour = frozenset(zone for row in config.grid for zone in row.zones)
        self._hours = hours
        self._terms = lru_cache(_NAMES_KEPT)(self._find_terms)
        self._hourly = lru_cache(_NAMES_KEPT)(self._find_hourly)
        self._known = lru_cache(_NAMES_KEPT)(self._find_known)

    def __call__(
        self,
        usage: Usage,
        model: str,
        *,
        provider: str | None,
        zone: str | None,
        at: datetime | None,
        service_tier: str | None,
        region: str | None = None,
    ) -> Estimate:
        """Estimate a call, at the price of the region its provider kept it in; raises what the estimator raises."""
        terms = self._terms(model, provider)
        intensity = None
        if self._hours is not None and at is not None and (place := self._hourly(provider, zone)) is not None:
            intensity = self._hours.at(place, at)
        return estimate(
            usage,
            terms.model,
            provider=provider,
            deployment=terms.deployment,
            zone=zone,
            at=at,
            service_tier=service_tier,
            region=region or terms.region,
            price_list=self._price_list,
            intensity=intensity,
            evidence=terms.evidence.of(usage) if terms.evidence is not None else None,
            unknown=self._unknown,
        )

    def supposed(self, usage: Usage, model: str, provider: str | None) -> Estimate:
        """Estimate a call that somebody supposes, at today's price; raises what the estimator raises."""
        return self(usage, model, provider=provider, zone=None, at=datetime.now(UTC), service_tier=None)

    def known(
        self,
        model: str,
        provider: str | None,
        zone: str | None,
        at_us: int,
        service_tier: str | None,
        region: str | None = None,
    ) -> Known | None:
        """Give what all calls like this one have in common; ``None`` where each needs an estimate of its own.

        Raises what the estimator raises.
        """
        return self._known(model, provider, zone, service_tier, region, at_us // _MINUTE_US)

    def _find_known(
        self,
        model: str,
        provider: str | None,
        zone: str | None,
        service_tier: str | None,
        region: str | None,
        minute: int,
    ) -> Known | None:
        terms = self._terms(model, provider)
        card = resolve(terms.model, provider)
        made = profile(card, terms.deployment, provider, zone) if card is not None else None
        if card is None or made is None or terms.evidence is not None or self._hourly(provider, zone) is not None:
            return None
        at = _EPOCH + timedelta(minutes=minute)
        sold = Terms(provider, at, service_tier, region or terms.region, self._price_list)
        price, unpriced = price_of(terms.model, card, sold)
        return Known.of(made, price, unpriced if price is None else other_tier(price, sold))

    def centre(
        self,
        usage: Usage,
        model: str,
        *,
        provider: str | None,
        zone: str | None,
        at_us: int,
        service_tier: str | None,
        region: str | None = None,
    ) -> Centre:
        """Give the middle of what the row will say; no grams where they wait for the grid's hour."""
        known = self._known(model, provider, zone, service_tier, region, at_us // _MINUTE_US)
        if known is not None and (found := known.centre(usage)) is not None:
            return found
        at = _EPOCH + timedelta(microseconds=at_us)
        made = self(usage, model, provider=provider, zone=zone, at=at, service_tier=service_tier, region=region)
        waits = self._hourly(provider, zone) is not None
        return Centre(_middle(made.joules), None if waits else _middle(made.grams_co2e), made.cost_usd)

    @property
    def price_list(self) -> PriceList | None:
        """The price list of one's own."""
        return self._price_list

    @property
    def machines(self) -> Sequence[tuple[DeploymentSection, Deployment]]:
        """The machines, each with the row that says for what it holds; the first that fits does."""
        return self._deployments

    @property
    def evidence(self) -> Sequence[Stated]:
        """What is stated of joules, each with the row that says for what it holds; the first that fits does."""
        return self._evidence

    @property
    def unknown(self) -> Unknown:
        """What a model nobody knows gets."""
        return self._unknown

    def terms(self, model: str, provider: str | None) -> CallTerms:
        """Say what holds for calls of a model at a provider."""
        return self._terms(model, provider)

    def card_id(self, model: str, provider: str | None) -> str | None:
        """Name a model as the facts do; ``None`` where they do not know it."""
        card = resolve(self._terms(model, provider).model, provider)
        return None if card is None else card.id

    def _find_terms(self, model: str, provider: str | None) -> CallTerms:
        lowered = model.lower()
        known_as = self._aliases.get((lowered, provider)) or self._aliases.get((lowered, None)) or model
        card = resolve(known_as, provider)
        names = {lowered, known_as.lower(), *(() if card is None else (card.id,))}

        def fits(row: DeploymentSection | EvidenceSection) -> bool:
            pattern = row.model.lower()
            return fnmatchcase(provider or "", row.provider) and any(fnmatchcase(each, pattern) for each in names)

        return CallTerms(
            model=known_as,
            deployment=next((made for row, made in self._deployments if fits(row)), None),
            evidence=next((each for each in self._evidence if fits(each.row)), None),
            region=self._regions.get(provider) if provider is not None else None,
        )

    def _find_hourly(self, provider: str | None, zone: str | None) -> str | None:
        """Give the zone whose hours are asked for, ``None`` where the year is all that is wanted."""
        place = grid(zone or overheads(provider).zone).zone
        return place if place in self._zones_by_hour else None


def open_hours(config: Config) -> BackgroundGrid | None:
    """Open the sources of the grid's hours, ``None`` where there are none; raises :class:`ConfigError`."""
    if not config.grid:
        return None
    from proxy.grids.background import open_hours  # an HTTP client, which nothing else needs

    return open_hours(config)


def _middle(figure: Range | None) -> float | None:
    return None if figure is None else figure.mid


class Stated:
    """A row of evidence: a mean over calls, so one call is off it by what one call is off its model's mean.

    ``rates`` are joules of a call, and of an input token, a cached one and an output token; ``band`` are the 90 %
    multipliers of one call, ``per_call`` the part of them that evens out.
    """

    def __init__(self, row: EvidenceSection) -> None:
        self.row = row
        bands = constants()["bands"]
        self.rates = (
            row.joules_per_call,
            row.joules_per_input_token,
            row.joules_per_cached_input_token,
            row.joules_per_output_token,
        )
        try:
            mean = Evidence(kind=row.kind, joules=sum(self.rates), scope=row.scope, source=row.source, band=row.band)
        except EstimatorError as error:
            raise ConfigError(f"evidence `{row.source}`: {error}") from None
        if not any(self.rates):
            raise ConfigError(f"evidence `{row.source}`: states no joules: give joules_per_output_token or its kin")
        self.per_call = bands["own_call"]
        self.band = combined(mean.own_band, self.per_call)

    def of(self, usage: Usage) -> Evidence | None:
        """Reckon a call's joules; ``None`` where its tokens are not known, and the estimate says so."""
        if usage.input_tokens is None or usage.output_tokens is None or problem(usage) is not None:
            return None
        cached = usage.cached_input_tokens or 0
        counts = (1, usage.input_tokens - cached, cached, usage.output_tokens)
        return Evidence(
            kind=self.row.kind,
            joules=sum(rate * count for rate, count in zip(self.rates, counts, strict=True)),
            scope=self.row.scope,
            source=self.row.source,
            band=self.band,
            per_call=self.per_call,
        )


def _deployment(row: DeploymentSection) -> Deployment:
    """Make a deployment of what a row states, which its GPU and precision must be known for."""
    facts: dict[str, Any] = {
        name: value
        for name, value in msgspec.structs.asdict(row).items()
        if value is not None and name not in ("provider", "model")
    }
    try:
        made = Deployment(**facts)
        if made.gpu is not None:
            find_gpu(made.gpu)
        if made.precision is not None:
            find_precision(made.precision)
    except EstimatorError as error:
        raise ConfigError(f"deployment of `{row.model}` at `{row.provider}`: {error}") from None
    return made
