"""Join two price lists: one leads, the other adds what is missing and is held against what is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from estimator.price import matches
from proxy.prices.listing import Listing


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """A price that two sources state differently, in dollars per million tokens."""

    provider: str
    model: str
    bucket: str
    leading: str
    other: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The joint list of one provider, and how the sources compare on the models they share."""

    listings: list[Listing]
    agreeing: int
    disagreements: list[Disagreement]
    added: int
    tiers_added: int


# What is often dearer than the text around it, so that a list without it makes a call too cheap.
_SENSES: Final = {"audio_input": "input", "audio_output": "output", "image_input": "input", "image_output": "output"}


def merge(provider: str, leading: list[Listing], others: Iterable[Listing]) -> Merged:
    """Add to a list the models it lacks; where the text prices agree, service tiers and dearer audio and images too."""
    listings = list(leading)
    agreeing = added = tiers_added = 0
    disagreements: list[Disagreement] = []
    for other in others:
        place = next(
            (
                i
                for i, listing in enumerate(listings)
                if listing.source == "genai-prices" and matches(listing.match, other.id, anywhere=True)
            ),
            None,
        )
        if place is None:
            listings.append(other)
            added += 1
            continue
        mine = listings[place]
        differing = list(_differing(provider, mine, other))
        if differing:
            disagreements.extend(differing)
            continue
        agreeing += 1
        listings[place] = mine = _with_senses(mine, other)
        missing = {tier: _from(entries) for tier, entries in other.tiers.items() if tier not in mine.tiers}
        if missing or other.regions:
            listings[place] = replace(mine, tiers={**mine.tiers, **missing}, regions=mine.regions or other.regions)
            tiers_added += len(missing)
    return Merged(
        listings=listings, agreeing=agreeing, disagreements=disagreements, added=added, tiers_added=tiers_added
    )


def _with_senses(mine: Listing, other: Listing) -> Listing:
    """Add the rates of audio and images that the newest price lacks and the other states as dearer than text."""
    newest = max(range(len(mine.prices)), key=lambda i: ("hours" not in mine.prices[i], i))
    rates, stated = mine.prices[newest]["rates"], other.prices[-1]["rates"]
    lacking = {
        sense: stated[sense]
        for sense, text in _SENSES.items()
        if sense in stated and sense not in rates and text in rates and _first(stated[sense]) > _first(rates[text])
    }
    if not lacking:
        return mine
    prices = list(mine.prices)
    prices[newest] = {**prices[newest], "rates": {**rates, **lacking}}
    return replace(mine, prices=prices)


def _first(rate: str | list[list[Any]]) -> Decimal:
    """Return a rate below every context threshold."""
    return Decimal(rate if isinstance(rate, str) else rate[0][1])


def _from(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**entry, "source": "litellm"} for entry in entries]


def _differing(provider: str, mine: Listing, other: Listing) -> Iterable[Disagreement]:
    """Yield the buckets both state and state differently, at their newest price, below every context threshold."""
    newest = next((entry for entry in reversed(mine.prices) if "hours" not in entry), mine.prices[0])
    for bucket in ("input", "cached_input", "output"):
        here, there = newest["rates"].get(bucket), other.prices[-1]["rates"].get(bucket)
        if here is None or there is None:
            continue
        first, second = (value if isinstance(value, str) else value[0][1] for value in (here, there))
        if first != second:
            yield Disagreement(provider=provider, model=other.id, bucket=bucket, leading=first, other=second)
