"""Dollars: dated list prices in exact decimals, by token bucket, context length and service tier."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Final

from estimator.facts import DATA, read_json
from estimator.usage import Usage

_MILLIONTH: Final = -6
_ZERO: Final = Decimal(0)

# Where a provider's price is looked up when its own list does not have the model.
_ALSO: Final = {
    "azure": ("openai",),
    "vertex": ("gemini", "anthropic", "mistral"),
    "google": ("gemini",),
}
# Under which name a maker sells its own models.
_OWN_SHOP: Final = {"google": "gemini", "amazon": "bedrock"}
# How the units of a call are called in price lists, with the divisor from one to the other.
_UNITS: Final = {
    "seconds": ("audio_hours", 3600),
    "audio_seconds": ("audio_hours", 3600),
    "audio_input_seconds": ("audio_hours", 3600),
    "searches": ("web_searches", 1),
    "web_search_requests": ("web_searches", 1),
    "search_queries": ("web_searches", 1),
}
# Tiers as replies name them that are the standard price.
_STANDARD: Final = frozenset({"default", "auto", "standard", "on_demand", "standard_only"})
_TIERS: Final = {"batches": "batch", "on_demand_flex": "flex"}


Rate = tuple[tuple[int, Decimal], ...]  # (above this many input tokens, dollars per token), ascending


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Price:
    """One price of one model at one provider: dollars per token by bucket, dollars per unit."""

    id: str  # provider/model@date, with #tier where it is not the standard one
    provider: str
    model: str
    valid_from: date | None  # None: since the model was listed
    source: str
    rates: dict[str, Rate]
    units: dict[str, Decimal] = field(default_factory=dict)

    def rate(self, bucket: str, input_tokens: int) -> Decimal | None:
        """Return dollars per token of a bucket; above a context threshold all tokens pay its rate."""
        steps = self.rates.get(bucket)
        if steps is None:
            return None
        found = steps[0][1]
        for above, dollars in steps[1:]:
            if input_tokens > above:
                found = dollars
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Row:
    starts: date | None
    hours: tuple[time, time] | None  # UTC
    current: bool  # in force on the day the list was checked, at any hour
    price: Price

    def holds(self, at: datetime | None) -> bool:
        if at is None:
            return self.current
        if self.starts is not None and at.date() < self.starts:
            return False
        if self.hours is None:
            return True
        begin, end = self.hours
        now = at.time()
        return begin <= now < end if begin <= end else now >= begin or now < end


@dataclass(frozen=True, slots=True, eq=False)
class _Listing:
    match: list[Any]
    standard: tuple[_Row, ...]
    tiers: dict[str, tuple[_Row, ...]]


@cache
def price_lists() -> frozenset[str]:
    """Return the providers there is a price list for."""
    return frozenset(path.stem for path in (DATA / "prices").glob("*.json"))


def own_shop(maker: str) -> str:
    """Return the provider that a maker sells its models as."""
    return _OWN_SHOP.get(maker, maker)


@lru_cache(maxsize=64)
def _listings(provider: str) -> tuple[dict[str, _Listing], tuple[_Listing, ...]]:
    """Parse one provider's list: by exact name, and in order for names that must be matched."""
    exact: dict[str, _Listing] = {}
    ordered: list[_Listing] = []
    if provider not in price_lists():
        return exact, ()
    table = read_json(f"prices/{provider}.json")
    checked = date.fromisoformat(table["checked"])
    for row in table["models"]:
        source = row.get("source", table["source"])
        standard = tuple(_row(provider, row["id"], source, checked, entry, None, None) for entry in row["prices"])
        current = next((entry for entry in reversed(standard) if entry.current), standard[0]).price
        tiers = {
            tier: tuple(_row(provider, row["id"], source, checked, entry, tier, current) for entry in entries)
            for tier, entries in row.get("tiers", {}).items()
        }
        listing = _Listing(row["match"], standard, tiers)
        names = [clause[1:] for clause in row["match"] if isinstance(clause, str) and clause[0] == "="]
        for name in names:
            exact.setdefault(name, listing)
        if len(names) < len(row["match"]):
            ordered.append(listing)
    return exact, tuple(ordered)


def _row(
    provider: str,
    model: str,
    source: str,
    checked: date,
    entry: dict[str, Any],
    tier: str | None,
    base: Price | None,
) -> _Row:
    starts = date.fromisoformat(entry["from"]) if "from" in entry else None
    hours = entry.get("hours")
    rates = {bucket: _steps(value) for bucket, value in entry["rates"].items()}
    units = {unit: Decimal(value) for unit, value in entry.get("units", {}).items()}
    if base is not None:  # a tier states only what differs
        rates = {**base.rates, **rates}
        units = {**base.units, **units}
    price = Price(
        id=f"{provider}/{model}@{starts or 'listed'}"
        + (f"T{hours[0]}" if hours else "")
        + (f"#{tier}" if tier else ""),
        provider=provider,
        model=model,
        valid_from=starts,
        source=entry.get("source", source),
        rates=rates,
        units=units,
    )
    return _Row(
        starts=starts,
        hours=(time.fromisoformat(hours[0]), time.fromisoformat(hours[1])) if hours else None,
        current=hours is None and (starts is None or starts <= checked),
        price=price,
    )


def _steps(value: str | list[Any]) -> Rate:
    if isinstance(value, str):
        return ((0, Decimal(value).scaleb(_MILLIONTH)),)
    return tuple((above, Decimal(dollars).scaleb(_MILLIONTH)) for above, dollars in value)


def matches(clause: Any, name: str, *, anywhere: bool) -> bool:
    """Evaluate a name rule: a list is OR (``anywhere``), a list within it AND, and so on; a string is sign and text."""
    if isinstance(clause, list):
        results = (matches(part, name, anywhere=not anywhere) for part in clause)
        return any(results) if anywhere else all(results)
    sign, text = clause[0], clause[1:]
    if sign == "=":
        return bool(name == text)
    if sign == "^":
        return name.startswith(text)
    if sign == "$":
        return name.endswith(text)
    if sign == "*":
        return text in name
    return re.search(text, name) is not None


@lru_cache(maxsize=8192)
def _listing(model: str, provider: str) -> _Listing | None:
    names = [model.lower()]
    while "/" in names[-1]:
        names.append(names[-1].split("/", 1)[1])
    for place in (provider, *_ALSO.get(provider, ())):
        exact, ordered = _listings(place)
        for name in names:
            found = exact.get(name) or next(
                (entry for entry in ordered if matches(entry.match, name, anywhere=True)), None
            )
            if found is not None:
                return found
    return None


def every_price(provider: str) -> Iterator[Price]:
    """Yield every row of a provider's list, tiers included."""
    exact, ordered = _listings(provider)
    for listing in {id(entry): entry for entry in (*exact.values(), *ordered)}.values():
        for row in (*listing.standard, *(row for rows in listing.tiers.values() for row in rows)):
            yield row.price


def find_price(
    model: str, provider: str, *, at: datetime | None = None, service_tier: str | None = None
) -> Price | None:
    """Return the price of a model at a provider, or ``None`` when no list has it.

    ``at`` chooses the row then in force (naive times are UTC; ``None`` stands for the day the list was
    checked); a tier without a price of its own costs the standard price.
    """
    listing = _listing(model, provider)
    if listing is None:
        return None
    if at is not None and at.tzinfo is not None:
        at = at.astimezone(UTC).replace(tzinfo=None)
    if service_tier is not None and service_tier not in _STANDARD:
        tier = service_tier.lower()
        for row in reversed(listing.tiers.get(_TIERS.get(tier, tier), ())):
            if row.holds(at):
                return row.price
    for row in reversed(listing.standard):
        if row.holds(at):
            return row.price
    return listing.standard[0].price


def cost_usd(usage: Usage, price: Price) -> Decimal | None:
    """Return the exact dollars of a call, or ``None`` where the price lacks a bucket the call needs.

    Buckets without a price of their own cost what the tokens around them cost: cached, written,
    audio and image input the input price, reasoning, audio and image output the output price.
    """
    n_in, n_out = usage.input_tokens or 0, usage.output_tokens or 0
    plain_in, plain_out = n_in, n_out
    total = _ZERO
    billed = bool(price.rates)
    rate = price.rate
    for bucket, tokens in (
        ("cached_input", usage.cached_input_tokens),
        ("audio_input", usage.audio_input_tokens),
        ("image_input", usage.image_input_tokens),
    ):
        if tokens and (dollars := rate(bucket, n_in)) is not None:
            part = min(tokens, plain_in)
            plain_in -= part
            total += part * dollars
    if usage.cache_write_tokens and (dollars := rate("cache_write", n_in)) is not None:
        part = min(usage.cache_write_tokens, plain_in)
        plain_in -= part
        hour = min(int(usage.units.get("cache_write_1h_tokens", 0)), part)
        total += (part - hour) * dollars
        if hour:
            total += hour * (rate("cache_write_1h", n_in) or dollars)
    for bucket, tokens in (
        ("reasoning", usage.reasoning_tokens),
        ("audio_output", usage.audio_output_tokens),
        ("image_output", usage.image_output_tokens),
    ):
        if tokens and (dollars := rate(bucket, n_in)) is not None:
            part = min(tokens, plain_out)
            plain_out -= part
            total += part * dollars
    for bucket, tokens in (("input", plain_in), ("output", plain_out)):
        if tokens:
            dollars = rate(bucket, n_in)
            if dollars is None:
                return None
            total += tokens * dollars
    for name, count in usage.units.items():
        unit, divisor = _UNITS.get(name, (name, 1))
        each = price.units.get(unit)
        if each is not None and count:
            billed = True
            total += Decimal(str(count)) * each / divisor
    if "requests" in price.units:
        total += price.units["requests"]
        billed = True
    return total if billed else None  # a price per minute says nothing of a call without minutes


def unpriced_units(usage: Usage, price: Price) -> tuple[str, ...]:
    """Return the billed units of a call that the price says nothing about."""
    return tuple(
        name
        for name, count in usage.units.items()
        if count and not name.startswith("cache_write_") and _UNITS.get(name, (name, 1))[0] not in price.units
    )
