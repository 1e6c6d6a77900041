"""What an estimate says: figures with their bands, what they stand on, and why some are missing."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from estimator.flops import Part, breakdown
from estimator.profiles import Profile, Tier
from estimator.ranges import Band, Range
from estimator.units import JOULES_PER_KWH
from estimator.usage import Usage

if TYPE_CHECKING:
    from estimator.evidence import Evidence
    from estimator.uncertainty import Uncertain


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one call took; ``None`` is unknown and ``reasons`` says why, it is never zero.

    ``gpu_joules`` are the accelerators', ``it_joules`` the servers', ``joules`` the facility's, PUE included, of which
    ``prefill_joules`` read the prompt, and the rest wrote the output; ``grams_co2e`` is operational and
    location-based, ``market_grams_co2e`` by contract.
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
    prefill_joules: Range | None = None
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
        from estimator.uncertainty import uncertain

        value: Range | None = getattr(self, quantity)
        return None if value is None else uncertain(value, self.key, self.per_call)

    @property
    def site_liters(self) -> Range | None:
        """Of the liters, those of the servers' own site; the others are the power plants'."""
        if self.liters is None or self.it_joules is None or self.profile is None:
            return None
        site = self.profile.overheads.site_liters_per_kwh
        return (self.it_joules * (site.mid / JOULES_PER_KWH)).widened(site.low / site.mid, site.high / site.mid)

    @property
    def per_call(self) -> Band | None:
        """The part of the bands by which one call is off its model's mean, where evidence says so."""
        return self.evidence.per_call if self.evidence is not None else None

    @property
    def flops_parts(self) -> tuple[Part, ...]:
        """The FLOPs by part of the network, or by the audit page's own split; empty where they are unknown."""
        n_in, n_cached = self.usage.input_tokens or 0, self.usage.cached_input_tokens or 0
        n_out = self.usage.output_tokens or 0
        if self.method == "audit" and self.flops is not None:
            from estimator.audit import parts

            return parts(self.flops.mid, n_in, n_out)
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
