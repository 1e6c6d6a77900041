"""What the calls of one model at one provider, zone, tier and price have in common: an estimate but for its counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from estimator import Centre, Usage, facts_version
from estimator.billing import cost_usd, plain_cost
from estimator.figures import Figures, Reckoned, figures_of, middle_of
from estimator.price import Price
from estimator.profiles import Profile
from estimator.reasons import problem

_STEP = Decimal(1).scaleb(-12)  # of a dollar, as the ledger keeps them


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Known:
    """Everything that an :class:`estimator.Estimate` of such a call says beside its figures."""

    facts_version: str
    method: str
    tier: str
    reason: str | None  # why something is unknown
    zone: str
    grid_source: str
    key: str  # what errs alike
    price: Price | None
    _reckon: Reckoned
    _middle: Callable[[int, int, int], tuple[float, float]]
    _plain: Callable[[int, int, int], Decimal | None] | None
    _reasoning_is_output: bool

    @classmethod
    def of(cls, made: Profile, price: Price | None, reason: str | None) -> Known:
        """Compile a profile and a price; ``reason`` says why there is no price, or whose it is instead."""
        dry = f"no water figure for {made.grid.name}" if made.liters_per_it_joule is None else None
        return cls(
            facts_version=facts_version(),
            method="roofline",
            tier=made.tier,
            reason="; ".join(filter(None, (reason, dry))) or None,
            zone=made.grid.zone,
            grid_source=made.grid.source,
            key=f"{made.card.id}@{made.overheads.operator}",
            price=price,
            _reckon=figures_of(made),
            _middle=middle_of(made),
            _plain=None if price is None else plain_cost(price),
            _reasoning_is_output=price is None or "reasoning" not in price.rates,
        )

    def figures(self, usage: Usage) -> Figures | None:
        """Reckon a call's figures; ``None`` where its counts say too little, and an estimate says why."""
        n_in, n_out = usage.input_tokens, usage.output_tokens
        if n_in is None or n_out is None or usage.units or _spoken(usage) or problem(usage) is not None:
            return None
        return self._reckon(n_in, usage.cached_input_tokens or 0, n_out)

    def centre(self, usage: Usage) -> Centre | None:
        """Reckon the middle of a call's figures and its dollars; ``None`` as for :meth:`figures`."""
        n_in, n_out = usage.input_tokens, usage.output_tokens
        if n_in is None or n_out is None or usage.units or problem(usage) is not None:
            return None
        joules, grams = self._middle(n_in, usage.cached_input_tokens or 0, n_out)
        return Centre(joules, grams, self.cost(usage))

    def cost(self, usage: Usage) -> Decimal | None:
        """Give a call's dollars to 12 decimals; ``None`` where there is no price, or it lacks a rate for the call."""
        if self.price is None:
            return None
        if self._plain is None or not (
            (self._reasoning_is_output or not usage.reasoning_tokens)
            and not usage.cache_write_tokens
            and not usage.audio_input_tokens
            and not usage.image_input_tokens
            and not usage.audio_output_tokens
            and not usage.image_output_tokens
        ):
            dollars = cost_usd(usage, self.price)
            return None if dollars is None else dollars.quantize(_STEP)
        return self._plain(usage.input_tokens or 0, usage.cached_input_tokens or 0, usage.output_tokens or 0)


def _spoken(usage: Usage) -> bool:
    """Tell whether a call has audio, of whose price there may be something to say."""
    return bool(usage.audio_input_tokens or usage.audio_output_tokens)
