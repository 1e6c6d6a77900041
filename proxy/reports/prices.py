"""Whose prices a report's dollars are, with the day when somebody last looked, for who must answer for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from functools import cache

from sqlalchemy import Connection

from estimator.facts import sources
from estimator.price import every_price
from proxy.ledger.priced import Sold, price_ids
from proxy.ledger.read import Where
from proxy.reports.figures import percent
from proxy.reports.period import Period
from proxy.reports.split import sums

_OWN, _OR = "(prices of your own)", " or "  # behind the name of such a list, and between those it may be
_NOT_FOUND = "lists that were not found"  # the kinds of these calls are gone, or beyond those that are read
_OTHERS = "a list of another release"


def dollars_by_list(
    connection: Connection, sold: Iterable[tuple[Sold, Decimal | None]], period: Period
) -> Mapping[str, Decimal]:
    """Give the dollars by whose prices they are, in words, the most first; ``sold`` by provider and model.

    What a model has cost by several lists stands under all of their names: sums do not tell these apart.
    """
    paid = {each: dollars for each, dollars in sold if dollars}
    ids = price_ids(connection, period.start, period.end) if paid else {}
    found: dict[str, Decimal] = {}
    for each, dollars in paid.items():
        names = _OR.join(sorted({_list_of(price_id) for price_id in ids.get(each, ())})) or _NOT_FOUND
        found[names] = found.get(names, Decimal(0)) + dollars
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def sold(
    connection: Connection, period: Period, where: Where, *, from_calls: bool = False
) -> list[tuple[Sold, Decimal | None]]:
    """Give the dollars by provider and model."""
    by = ("provider", "model")
    (found,) = sums(connection, period, (by,), where=where, figures=("cost_usd",), from_calls=from_calls)
    return [((group.key[0], group.key[1]), group.cost_usd) for group in found]


def said(by_list: Mapping[str, Decimal]) -> str:
    """Put them into words."""
    whole = sum(by_list.values())
    return ", ".join(f"{percent(float(dollars / whole))} {name}" for name, dollars in by_list.items())


def whose(by_list: Mapping[str, Decimal]) -> str:
    """Say in a few words whose prices they are."""
    own = [_OWN in name for names in by_list for name in names.split(_OR)]
    return "prices of your own" if own and all(own) else "list prices and your own" if any(own) else "list prices"


def _list_of(price_id: str) -> str:
    """Name the list that a price is of: its id begins with the name of one's own list, or with the provider."""
    place, slash, _ = price_id.partition("/")
    if slash and ":" in place:
        return f"{place.partition(':')[0]} {_OWN}"
    source = sources().get(_sources_of(place).get(price_id.partition("~")[0], ""))
    return _OTHERS if source is None else f"{source.name} (checked {source.checked})"


@cache
def _sources_of(provider: str) -> Mapping[str, str]:
    return {price.id: price.source for price in every_price(provider)}
