"""List prices: dated, in exact decimals, by token bucket, context length, service tier and region."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple

from estimator.facts import DATA, read_json

_MILLIONTH: Final = -6

# Where a provider's price is looked up when its own list does not have the model.
_ALSO: Final = {
    "azure": ("openai",),
    "vertex": ("gemini", "anthropic", "mistral"),
    "google": ("gemini",),
}
# Under which name a maker sells its own models.
_OWN_SHOP: Final = {"google": "gemini", "amazon": "bedrock", "microsoft": "azure", "qwen": "alibaba"}
# Tiers as replies name them that are the standard price.
_STANDARD: Final = frozenset({"default", "auto", "standard", "on_demand", "standard_only"})
_TIERS: Final = {"batches": "batch", "on_demand_flex": "flex"}


Rate = tuple[tuple[int, Decimal], ...]  # (above this many input tokens, dollars per token), ascending


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Price:
    """One price of one model at one provider: dollars per token by bucket, dollars per unit."""

    id: str  # provider/model@date, with #tier where it is not the standard one and ~region where it has its own
    provider: str
    model: str
    valid_from: date | None  # None: since the model was listed
    source: str
    rates: dict[str, Rate]
    units: dict[str, Decimal] = field(default_factory=dict)
    tier: str | None = None  # None: the standard one
    region: str | None = None  # None: no other price than everywhere

    def scaled(self, factor: Decimal, *, id: str, units: bool = True, region: str | None = None) -> Price:  # noqa: A002
        """Return this price times a factor: a region's surcharge (on tokens alone), a discount, an exchange rate."""
        return replace(
            self,
            id=id,
            region=region or self.region,
            rates={
                bucket: tuple((above, dollars * factor) for above, dollars in steps)
                for bucket, steps in self.rates.items()
            },
            units={unit: dollars * factor for unit, dollars in self.units.items()} if units else self.units,
        )

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


class _Row(NamedTuple):
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


class _Listing(NamedTuple):
    match: list[Any]
    standard: tuple[_Row, ...]
    tiers: dict[str, tuple[_Row, ...]]
    regions: dict[str, Decimal]  # surcharge factor of data kept in a region


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
        standard = _by_day(_row(provider, row["id"], source, checked, entry, None, None) for entry in row["prices"])
        current = next((entry for entry in reversed(standard) if entry.current), standard[0]).price
        tiers = {
            tier: _by_day(_row(provider, row["id"], source, checked, entry, tier, current) for entry in entries)
            for tier, entries in row.get("tiers", {}).items()
        }
        regions = {region: Decimal(factor) for region, factor in row.get("regions", {}).items()}
        listing = _Listing(row["match"], standard, tiers, regions)
        names = [clause[1:] for clause in row["match"] if isinstance(clause, str) and clause[0] == "="]
        for name in names:
            exact.setdefault(name, listing)
        if len(names) < len(row["match"]):
            ordered.append(listing)
    return exact, tuple(ordered)


def _by_day(rows: Iterable[_Row]) -> tuple[_Row, ...]:
    return tuple(sorted(rows, key=lambda row: row.starts or date.min))


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
        tier=tier,
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
def _listing(model: str, provider: str, region: str | None) -> tuple[_Listing, bool] | None:
    """Find the list entry of a model; the flag says that it is the region's own."""
    names = [model.lower()]
    while "/" in names[-1]:
        names.append(names[-1].split("/", 1)[1])
    for place in (provider, *_ALSO.get(provider, ())):
        exact, ordered = _listings(place)
        if region is not None:
            for name in names:
                if (own := exact.get(f"{region}/{name}")) is not None:
                    return own, True
        for name in names:
            found = exact.get(name) or next(
                (entry for entry in ordered if matches(entry.match, name, anywhere=True)), None
            )
            if found is not None:
                return found, False
    return None


def every_price(provider: str) -> Iterator[Price]:
    """Yield every row of a provider's list, tiers included."""
    exact, ordered = _listings(provider)
    for listing in {id(entry): entry for entry in (*exact.values(), *ordered)}.values():
        for row in (*listing.standard, *(row for rows in listing.tiers.values() for row in rows)):
            yield row.price


def canonical_tier(service_tier: str | None) -> str | None:
    """Return a service tier as price lists name it; ``None`` for every name of the standard one."""
    if service_tier is None or (tier := service_tier.lower()) in _STANDARD:
        return None
    return _TIERS.get(tier, tier)


def find_price(
    model: str,
    provider: str,
    *,
    at: datetime | None = None,
    service_tier: str | None = None,
    region: str | None = None,
) -> Price | None:
    """Return the price of a model at a provider, or ``None`` when no list has it.

    ``at`` chooses the row then in force (naive times are UTC; ``None`` stands for the day the list was
    checked); a tier without a price of its own costs the standard price, whose ``tier`` is then ``None``.
    ``region`` is where the provider keeps the call (``eu``, ``us``, ``eu-central-1``): its own row if
    there is one, else the surcharge the list states for it, else the price of everywhere.
    """
    if region is not None:
        region = region.lower()
    found = _listing(model, provider, region)
    if found is None:
        return None
    listing, regional = found
    if at is not None and at.tzinfo is not None:
        at = at.astimezone(UTC).replace(tzinfo=None)
    price = _in_force(listing.tiers.get(canonical_tier(service_tier) or "", ()), at) or _in_force(listing.standard, at)
    if price is None or region is None or regional:
        return price
    factor = listing.regions.get(region)
    return price if factor is None else _surcharged(price, region, factor)


def _in_force(rows: tuple[_Row, ...], at: datetime | None) -> Price | None:
    """Return the newest row that holds; before the first one, the first: a list knows no older price."""
    for row in reversed(rows):
        if row.holds(at):
            return row.price
    return rows[0].price if rows else None


@lru_cache(maxsize=1024)
def _surcharged(price: Price, region: str, factor: Decimal) -> Price:
    return price.scaled(factor, id=f"{price.id}~{region}", units=False, region=region)
