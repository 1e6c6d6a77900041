"""What an operator adds to its servers: PUE, on-site water, and where they are assumed to stand."""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any, NamedTuple

from estimator.facts import read_toml
from estimator.ranges import Range


class Overheads(NamedTuple):
    """One operator: PUE, liters per kWh of IT energy on site, default electricity zone."""

    operator: str
    pue: Range
    site_liters_per_kwh: Range
    zone: str
    source: str
    market_grams_per_kwh: float | None = None  # what the operator says its bought electricity emits
    market_source: str = ""


@cache
def _table() -> dict[str, Any]:
    return read_toml("overheads.toml")


@cache
def _operator(name: str) -> Overheads:
    row = _table()[name]
    return Overheads(
        operator=name,
        pue=Range(*row["pue"]),
        site_liters_per_kwh=Range(*row["liters_per_kwh"]),
        zone=row["zone"],
        source=row["source"],
        market_grams_per_kwh=row.get("market_grams_per_kwh"),
        market_source=row.get("market_source", ""),
    )


@cache
def known_operators() -> frozenset[str]:
    """Return the providers something is known of: whose machines, or where they stand."""
    return frozenset((*_table()["operators"], *_table()["zones"]))


@lru_cache(maxsize=1024)
def overheads(provider: str | None) -> Overheads:
    """Return the overheads of a provider's operator, or the generic ones where the provider is assumed to run."""
    table = _table()
    operator = _operator(table["operators"].get(provider, "generic"))
    zone = table["zones"].get(provider)
    return operator if zone is None else operator._replace(zone=zone)


def other_silicon(provider: str | None) -> str | None:
    """Return what a provider computes on, where that is known not to be a GPU."""
    name = _table()["silicon"].get(provider)
    return None if name is None else str(name)
