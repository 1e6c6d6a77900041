"""What the browser's model reckons with, as one JSON document: the estimator's own facts and constants.

``static/model.js`` has the formulas and no number of its own; whatever it needs is read from the estimator here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from decimal import Decimal
from functools import cache, lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final

import msgspec

from estimator import Deployment, facts_version, known_models, known_zones, resolve, sources
from estimator.audit import audit_models, parameters
from estimator.carbon import embodied_grams_per_gpu_second
from estimator.closed import QUANTILES, WORKLOADS, strata
from estimator.deployments import PRECISIONS, known_gpus
from estimator.dollars import LOCAL, Terms, price_of
from estimator.equivalences import equivalences
from estimator.fits import constants, find_fit
from estimator.flops import breakdown
from estimator.grid import WORLD, grid
from estimator.models import WIDEST, ModelCard, surrogate
from estimator.overheads import known_operators, other_silicon, overheads
from estimator.price import Price, own_shop, price_lists
from estimator.profiles import ENERGY_SOURCES, closed_prior
from estimator.ranges import NINETY
from proxy.calculator.asked import ACCEPTANCE, DRAFT_COST
from proxy.calculator.words import (
    CLEAN,
    DRAFT,
    FITTED,
    FOLLOWED,
    NAMES,
    QUANTITIES,
    SCOPES,
    SMALL,
    STATED,
    TIERS,
    YEAR,
)

if TYPE_CHECKING:
    from proxy.calculator.own import Own

ATOMS: Final = 18  # decimals of a dollar that prices are written in as whole numbers
OWN_ATOMS: Final = 36  # of prices of one's own, which have been multiplied by rates of exchange and discounts
_BUCKETS: Final = ("input", "cached_input", "output")
_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


@lru_cache(maxsize=4)  # a configuration has one for each day
def tables(own: Own | None = None) -> bytes:
    """Return the document, which takes half a second the first time, under a configuration where there is one."""
    document = _document()
    if own is None:
        return msgspec.json.encode(document)
    document = document | {
        "atoms": OWN_ATOMS,
        "own": own.document(),
        "prices": _prices_of([*cards().items(), *own.priced()], own),
        "providers": {name: _operator(name) for name in {*providers(), *own.providers}},
    }
    if own.price_list is not None:
        document["sources"] = document["sources"] | {own.price_list.name: f"{own.price_list.name}, prices of your own"}
    return msgspec.json.encode(document)


@cache
def cards() -> dict[str, ModelCard]:
    """Return every shipped card by its id, in the order of makers and names."""
    found = [card for name in known_models() if (card := resolve(name)) is not None]
    return {card.id: card for card in sorted(found, key=lambda card: (card.maker, card.id))}


@cache
def providers() -> tuple[str, ...]:
    """Return every provider that something is known of: its prices, its machines or where they stand."""
    return tuple(sorted(price_lists() | known_operators()))


@cache
def _document() -> dict[str, Any]:
    k = constants()
    fit = find_fit()
    known = {name: _operator(name) for name in providers()}
    operators = {made.operator: made for made in (overheads(name) for name in (None, *providers()))}
    return {
        "version": facts_version(),
        "atoms": ATOMS,
        "own": None,
        "fit": {name: value for name, value in fit._asdict().items() if value != float("inf")},
        "bands": k["bands"],
        "defaults": k["defaults"] | {"kv_bytes": Deployment().kv_bytes},
        "priors": k["priors"],
        "seen": k["seen"],
        "unseen": k["unseen"],
        "embodied_band": k["embodied"]["band"],
        "ninety": NINETY,
        "drafting": {"acceptance": ACCEPTANCE, "cost": DRAFT_COST},
        "workloads": WORKLOADS,
        "quantiles": QUANTILES,
        "strata": ["".join(map(_two_digits, column)) for column in strata()],
        "normal": _normal(k["priors"]["samples"]),
        "parts": [part.name for part in breakdown(surrogate(1e9, 1e9, "dense"), 1, 0, 1)],
        "gpus": {
            gpu.name: gpu._asdict() | {"band": gpu.band, "embodied_g_per_s": embodied_grams_per_gpu_second(gpu)}
            for gpu in known_gpus()
        },
        "precisions": {name: precision._asdict() for name, precision in PRECISIONS.items()},
        "zones": {zone: _zone(zone) for zone in sorted(known_zones())},
        "world": WORLD,
        "operators": {
            name: {
                "operator": name,
                "pue": _points(made.pue),
                "liters_per_kwh": _points(made.site_liters_per_kwh),
                "zone": overheads(None).zone if name == "generic" else made.zone,
                "source": made.source,
                "market_grams_per_kwh": made.market_grams_per_kwh,
                "market_source": made.market_source,
            }
            for name, made in operators.items()
        },
        "providers": known,
        "shops": {card.maker: own_shop(card.maker) for card in cards().values()},
        "local": sorted(LOCAL),
        "models": {name: _card(card) for name, card in cards().items()},
        "widest": _card(WIDEST),
        "prices": _prices_of(cards().items(), None),
        "always": ENERGY_SOURCES,
        "sources": {name: source.name for name, source in sources().items()},
        "words": {
            "quantities": QUANTITIES,
            "names": NAMES,
            "tiers": TIERS,
            "scopes": SCOPES,
            "fitted": FITTED,
            "followed": FOLLOWED,
            "year": YEAR,
            "stated": STATED,
        },
        "levers": {"small": SMALL, "clean": CLEAN, "draft": DRAFT},
        "likes": [asdict(like) for like in equivalences()],
        "audit": {
            "joules_per_flop": parameters()["static"]["joules_per_flop"],
            "grams_per_kwh": parameters()["static"]["grams_per_kwh"],
            "grids": parameters()["static"]["grids"],
            "models": {name: model.active_params for name, model in audit_models().items()},
        },
    }


def _operator(provider: str) -> tuple[str, str, str | None]:
    made = overheads(provider)
    return made.operator, made.zone, other_silicon(provider)


def _points(value: Any) -> tuple[float, float, float]:
    return value.low, value.mid, value.high


def _zone(code: str) -> dict[str, Any]:
    place = grid(code)
    names = ("zone", "name", "grams_per_kwh", "liters_per_kwh", "water_is_world")
    return {name: getattr(place, name) for name in names}


def _card(card: ModelCard) -> dict[str, Any]:
    shape = card.architecture
    return {
        "id": card.id,
        "maker": card.maker,
        "kind": card.kind,
        "weights": card.weights,
        "total": card.total_params,
        "active": card.active_params,
        "precision": card.precision,
        "source": card.source,
        "verified_by": card.verified_by,
        "shape": None if shape is None else asdict(shape),
        "prior": closed_prior(card) if card.weights == "closed" else "",
    }


def _prices_of(models: Iterable[tuple[str, ModelCard | None]], own: Own | None) -> dict[str, Any]:
    """Give the prices of models by seller; under a configuration "" is the price where no seller is said."""
    found: dict[str, Any] = {}
    for name, card in models:
        prices: dict[str, Any] = {}
        for seller in providers() if own is None else (None, *own.providers):
            price = price_of(name, card, Terms(seller))[0] if own is None else own.price(name, card, seller)
            if price is not None:
                prices[seller or ""] = _price(price, ATOMS if own is None else OWN_ATOMS)
        if prices:
            found[name] = prices
    return found


def _price(price: Price, decimals: int) -> dict[str, Any]:
    request = price.units.get("requests")
    return {
        "id": price.id,
        "source": price.source,
        "rates": {
            bucket: [(above, _atoms(each, decimals)) for above, each in price.rates[bucket]]
            for bucket in _BUCKETS
            if bucket in price.rates
        },
        "other_rates": any(bucket not in _BUCKETS for bucket in price.rates),
        "request": None if request is None else _atoms(request, decimals),
    }


def _atoms(dollars: Decimal, decimals: int) -> str:
    whole = dollars.scaleb(decimals)
    if whole != int(whole):
        msg = f"a price of {dollars} dollars has more than {decimals} decimals"
        raise ValueError(msg)
    return str(int(whole))


def _two_digits(number: int) -> str:
    return _DIGITS[number // 36] + _DIGITS[number % 36]


def _normal(samples: int) -> list[float]:
    """Return the normal quantiles of the lower half of the strata; the upper half is their mirror image."""
    normal = NormalDist()
    return [normal.inv_cdf((i + 0.5) / samples) for i in range(samples // 2)]
