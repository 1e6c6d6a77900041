"""From a call to its dollars: whose prices hold, which row of them, what the call took of it, and why there is none."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from estimator.billing import at_the_price_of_text, cost_usd, unpriced_units
from estimator.models import ModelCard
from estimator.price import Price, canonical_tier, find_price, own_shop, price_lists
from estimator.usage import Usage

if TYPE_CHECKING:
    from estimator.contract import PriceList

LOCAL: Final = frozenset({"ollama", "llamacpp", "vllm", "sglang"})


class Terms(NamedTuple):
    """On which terms a call was sold: by whom, when, at which tier, in which region, by whose list."""

    provider: str | None = None
    at: datetime | None = None
    service_tier: str | None = None
    region: str | None = None
    price_list: PriceList | str | None = None


def dollars(
    usage: Usage,
    model: str | ModelCard,
    card: ModelCard | None,
    terms: Terms,
    problem: str | None,
    reasons: dict[str, str] | None,
) -> tuple[Decimal | None, Price | None]:
    """Return the dollars and the price they come from; fill in the reasons for what has none."""
    name = model if isinstance(model, str) else model.id
    why = problem
    if why is None or (usage.input_tokens is None and usage.units):
        price, why = price_of(name, card, terms)
        if price is not None:
            if problem is not None and price.rates:
                why = problem
            elif usage.output_tokens is None and "output" in price.rates and not _embeds(card):
                why = "the output token count is unknown"
            else:
                cost = cost_usd(usage, price)
                if reasons is not None:
                    if usage.units and (left := unpriced_units(usage, price)):
                        reasons["units"] = f"not in the price {price.id}: {', '.join(left)}"
                    if spoken := at_the_price_of_text(usage, price):
                        reasons["audio"] = f"no rate for {' and '.join(spoken)} in {price.id}: that of text is taken"
                    if (other := other_tier(price, terms)) is not None:
                        reasons["service_tier"] = other
                if cost is not None:
                    return cost, price
                why = f"the price {price.id} lacks a rate this call needs"
    if reasons is not None:
        reasons["cost_usd"] = why or "the call took nothing that has a price"
    return None, None


def price_of(name: str, card: ModelCard | None, terms: Terms) -> tuple[Price | None, str]:
    """Return the price that holds for a call, or ``None`` and why there is none."""
    own = terms.price_list
    names = (name,) if card is None or card.id == name else (name, card.id)
    if own is not None and not isinstance(own, str):
        provider = terms.provider or _seller(name, card, None)[0]
        if provider is not None:
            price = own.find(names, provider, at=terms.at, service_tier=terms.service_tier, region=terms.region)
            if price is not None:
                return price, ""
            if own.seller(provider) != provider:
                return None, f"no price for {name!r} at {own.seller(provider)}"
        own = None
    seller, why = (own, "") if own is not None else _seller(name, card, terms.provider)
    if seller is None:
        return None, why
    for each in names:
        price = find_price(each, seller, at=terms.at, service_tier=terms.service_tier, region=terms.region)
        if price is not None:
            return price, ""
    return None, f"no price for {name!r} at {seller}"


def other_tier(price: Price, terms: Terms) -> str | None:
    """Say so where a price is not that of the tier which was served."""
    if price.tier is None and canonical_tier(terms.service_tier) is not None:
        return f"no price for tier {terms.service_tier!r}: the standard one is taken"
    return None


@lru_cache(maxsize=4096)
def _seller(name: str, card: ModelCard | None, provider: str | None) -> tuple[str | None, str]:
    """Return whose price list holds for a model name, or ``None`` and why there is none."""
    if provider is not None:
        if provider in LOCAL:
            return None, f"{provider} is a local server, without a price list"
        return provider, ""
    prefix = name.split("/", 1)[0].lower()
    if "/" in name and prefix in price_lists():
        return prefix, ""
    if card is None:
        return None, f"no price for {name!r}: the model and its provider are unknown"
    if card.weights == "open":
        return None, f"{card.id} has open weights: its price depends on the provider, and none was given"
    return own_shop(card.maker), ""


def _embeds(card: ModelCard | None) -> bool:
    return card is not None and card.kind == "embedding"
