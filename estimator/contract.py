"""Prices of one's own: negotiated rates, discounts on list prices, other currencies, and whose list a provider follows.

The table comes from outside (a TOML file read with ``parse_float=Decimal``); here it is only checked and looked up.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Final

from estimator.errors import PriceListError
from estimator.price import Price, Rate, canonical_tier, find_price

_USD: Final = "USD"
_MILLIONTH: Final = -6
BUCKETS: Final = frozenset(
    {
        "input",
        "cached_input",
        "cache_write",
        "cache_write_1h",
        "audio_input",
        "image_input",
        "output",
        "reasoning",
        "audio_output",
        "image_output",
    }
)
_ROW: Final = frozenset({"provider", "model", "from", "until"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeRate:
    """Dollars for one unit of a currency on a day, and who says so."""

    currency: str
    usd: Decimal
    date: date
    source: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Term:
    provider: str
    model: str
    starts: date | None
    ends: date | None  # the last day
    price: Price | None = None  # in the list's own currency
    share_off: Decimal = Decimal(0)

    def holds(self, names: Iterable[str], provider: str, day: date | None) -> bool:
        return (
            fnmatchcase(provider, self.provider)
            and any(fnmatchcase(name, self.model) for name in names)
            and (
                day is None or ((self.starts is None or self.starts <= day) and (self.ends is None or day <= self.ends))
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PriceList:
    """An operator's own price list. Later rows win over earlier ones, prices over discounts, both over list prices."""

    name: str
    currency: str
    rates: tuple[ExchangeRate, ...]  # by day
    prices: tuple[_Term, ...]
    discounts: tuple[_Term, ...]
    priced_as: Mapping[str, str]  # provider → the provider whose list holds for it

    def seller(self, provider: str) -> str:
        """Return whose list prices hold for a provider."""
        return self.priced_as.get(provider, provider)

    def exchange_rate(self, at: datetime | None) -> ExchangeRate | None:
        """Return the rate of the list's currency in force, the first one before its day; ``None`` for dollars."""
        if not self.rates:
            return None
        day = _day(at)
        if day is None:
            return self.rates[-1]
        return next((rate for rate in reversed(self.rates) if rate.date <= day), self.rates[0])

    def find(
        self,
        names: tuple[str, ...],
        provider: str,
        *,
        at: datetime | None = None,
        service_tier: str | None = None,
        region: str | None = None,
    ) -> Price | None:
        """Return the price of a model, in dollars, by the first of its names that has one; ``None`` without any."""
        day, tier = _day(at), canonical_tier(service_tier)
        lowered = tuple(name.lower() for name in names)
        for term in reversed(self.prices):
            if term.price is not None and term.price.tier == tier and term.holds(lowered, provider, day):
                rate = self.exchange_rate(at)
                return term.price if rate is None else _in_dollars(term.price, rate)
        listed = next(
            (
                price
                for name in names
                if (price := find_price(name, self.seller(provider), at=at, service_tier=service_tier, region=region))
                is not None
            ),
            None,
        )
        if listed is None:
            return None
        off = next((term for term in reversed(self.discounts) if term.holds(lowered, provider, day)), None)
        return listed if off is None else _discounted(listed, off, self.name)


@lru_cache(maxsize=1024)
def _in_dollars(price: Price, rate: ExchangeRate) -> Price:
    return price.scaled(rate.usd, id=f"{price.id}@{rate.currency}{rate.date}")


@lru_cache(maxsize=4096)
def _discounted(price: Price, term: _Term, name: str) -> Price:
    return price.scaled(1 - term.share_off, id=f"{name}:{price.id}-{term.share_off:.2%}")


def _day(at: datetime | None) -> date | None:
    if at is None:
        return None
    return (at if at.tzinfo is None else at.astimezone(UTC)).date()


def price_list(table: Mapping[str, Any]) -> PriceList:
    """Check a table and make a price list of it.

    ``name``, ``currency`` (USD unless stated) with its dated ``[[rate]]`` rows, ``[[price]]`` rows per
    million tokens and per unit, ``[[discount]]`` rows, and ``[priced_as]``, provider to provider.

    Raises:
        PriceListError: naming the row and what is wrong with it.

    """
    _only(table, {"name", "currency", "rate", "price", "discount", "priced_as"}, "the list")
    name = _text(table, "name", "the list")
    currency = table.get("currency", _USD)
    if not (isinstance(currency, str) and len(currency) == 3 and currency.isascii() and currency.isupper()):
        raise PriceListError(f"currency is an ISO 4217 code such as EUR, not {currency!r}")
    rates = tuple(
        sorted((_rate(row, currency, f"rate {i}") for i, row in _rows(table, "rate")), key=lambda rate: rate.date)
    )
    if currency != _USD and not rates:
        raise PriceListError(f"prices in {currency} need a [[rate]] with usd, date and source")
    if currency == _USD and rates:
        raise PriceListError("prices in USD need no [[rate]]")
    aliases = table.get("priced_as", {})
    if not isinstance(aliases, Mapping) or not all(isinstance(value, str) for value in aliases.values()):
        raise PriceListError("priced_as maps a provider's name to another provider's name")
    return PriceList(
        name=name,
        currency=currency,
        rates=rates,
        prices=tuple(_price(row, name, f"price {i}") for i, row in _rows(table, "price")),
        discounts=tuple(_discount(row, f"discount {i}") for i, row in _rows(table, "discount")),
        priced_as=dict(aliases),
    )


def _rows(table: Mapping[str, Any], key: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
    rows = table.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise PriceListError(f"{key} is a list of tables: [[{key}]]")
    return enumerate(rows, 1)


def _only(row: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    unknown = set(row) - set(known)
    if unknown:
        raise PriceListError(f"{where}: unknown key {min(unknown)!r}; known are {', '.join(sorted(known))}")


def _text(row: Mapping[str, Any], key: str, where: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value:
        raise PriceListError(f"{where}: {key} is missing")
    return value


def _amount(value: object, where: str) -> Decimal:
    if isinstance(value, float):
        raise PriceListError(f"{where}: {value} is a binary fraction; read the file with exact decimals")
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise PriceListError(f"{where}: {value!r} is no amount")
    amount = Decimal(value)
    if not amount.is_finite() or amount < 0:
        raise PriceListError(f"{where}: {value} is no amount, which is finite and not negative")
    return amount


def _date(row: Mapping[str, Any], key: str, where: str) -> date | None:
    value = row.get(key)
    if value is not None and (not isinstance(value, date) or isinstance(value, datetime)):
        raise PriceListError(f"{where}: {key} is a date such as 2026-07-01, not {value!r}")
    return value


def _rate(row: Mapping[str, Any], currency: str, where: str) -> ExchangeRate:
    _only(row, {"usd", "date", "source"}, where)
    day, usd = _date(row, "date", where), _amount(row.get("usd"), where)
    if day is None:
        raise PriceListError(f"{where}: date is missing")
    if not usd:
        raise PriceListError(f"{where}: usd is the dollars for one {currency}, above 0")
    return ExchangeRate(currency=currency, usd=usd, date=day, source=_text(row, "source", where))


def _span(row: Mapping[str, Any], where: str) -> tuple[date | None, date | None]:
    starts, ends = _date(row, "from", where), _date(row, "until", where)
    if starts is not None and ends is not None and ends < starts:
        raise PriceListError(f"{where}: until {ends} comes before from {starts}")
    return starts, ends


def _price(row: Mapping[str, Any], name: str, where: str) -> _Term:
    _only(row, _ROW | {"tier", "rates", "units"}, where)
    provider, model = _text(row, "provider", where), _text(row, "model", where).lower()
    starts, ends = _span(row, where)
    rates, units, tier = row.get("rates", {}), row.get("units", {}), row.get("tier")
    if not isinstance(rates, Mapping) or not isinstance(units, Mapping) or not (rates or units):
        raise PriceListError(f"{where}: rates or units are missing")
    _only(rates, BUCKETS, f"{where}, rates")
    if tier is not None and not isinstance(tier, str):
        raise PriceListError(f"{where}: tier is the name of a service tier")
    tier = canonical_tier(tier)
    price = Price(
        id=f"{name}:{provider}/{model}@{starts or 'listed'}" + (f"#{tier}" if tier else ""),
        provider=provider,
        model=model,
        valid_from=starts,
        source=name,
        rates={bucket: _steps(value, f"{where}, {bucket}") for bucket, value in rates.items()},
        units={unit: _amount(value, f"{where}, {unit}") for unit, value in units.items()},
        tier=tier,
    )
    return _Term(provider=provider, model=model, starts=starts, ends=ends, price=price)


def _steps(value: object, where: str) -> Rate:
    if not isinstance(value, list):
        return ((0, _amount(value, where).scaleb(_MILLIONTH)),)
    steps = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or isinstance(pair[0], bool) or not isinstance(pair[0], int):
            raise PriceListError(f"{where}: a price by context length is [[0, 2.5], [200000, 5]]")
        steps.append((pair[0], _amount(pair[1], where).scaleb(_MILLIONTH)))
    thresholds = [above for above, _ in steps]
    if not steps or thresholds[0] != 0 or thresholds != sorted(set(thresholds)):
        raise PriceListError(f"{where}: thresholds begin with 0 and rise")
    return tuple(steps)


def _discount(row: Mapping[str, Any], where: str) -> _Term:
    _only(row, _ROW | {"share_off"}, where)
    starts, ends = _span(row, where)
    share = _amount(row.get("share_off"), where)
    if share > 1:
        raise PriceListError(f"{where}: share_off is a share of the list price, from 0 to 1, not {share}")
    return _Term(
        provider=_text(row, "provider", where),
        model=_text(row, "model", where).lower(),
        starts=starts,
        ends=ends,
        share_off=share,
    )
