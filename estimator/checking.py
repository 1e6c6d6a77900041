"""Whether the shipped facts are sound: every number has a source, every range an order, every price a sense."""

from __future__ import annotations

from collections.abc import Iterator

from estimator.deployments import find_gpu
from estimator.facts import DATA, read_json, sources
from estimator.fits import constants
from estimator.grid import grid, known_regions, known_zones
from estimator.models import known_models, resolve
from estimator.overheads import overheads
from estimator.price import every_price, price_lists


def problems() -> list[str]:
    """Return what is wrong with the data files, a line each; an empty list is the good answer."""
    return [*_models(), *_places(), *_prices(), *_hardware()]


def _models() -> Iterator[str]:
    seen: dict[str, str] = {}
    for path in sorted((DATA / "models").glob("*.json")):
        for row in read_json(f"models/{path.name}")["models"]:
            for name in (row["id"], *row.get("aliases", ())):
                if name in seen:
                    yield f"models/{path.name}: {name} is both {seen[name]} and {row['id']}"
                seen[name] = row["id"]
                if name != name.lower():
                    yield f"models/{path.name}: {name} is not lower case"
    for name in sorted(known_models()):
        card = resolve(name)
        if card is None:
            yield f"models: {name} does not resolve to itself"
            continue
        if card.source not in sources():
            yield f"models: {name} has the unknown source {card.source}"
        for pair in (card.total_params, card.active_params):
            if pair is not None and not 0 < pair[0] <= pair[1]:
                yield f"models: {name} has parameters out of order"
        if card.total_params and card.active_params and card.active_params[1] > card.total_params[1]:
            yield f"models: {name} has more active than total parameters"


def _places() -> Iterator[str]:
    for zone in sorted(known_zones()):
        if not 0 <= grid(zone).grams_per_kwh < 1500:
            yield f"grids: {zone} has an impossible intensity"
    for region in sorted(known_regions()):
        if grid(region).zone not in known_zones():
            yield f"grids: {region} points to no zone"
    for operator in ("openai", "anthropic", "gemini", "bedrock", "azure", "mistral", "somebody"):
        grid(overheads(operator).zone)


def _prices() -> Iterator[str]:
    for provider in sorted(price_lists()):
        for price in every_price(provider):
            if price.source not in sources():
                yield f"prices/{provider}: {price.id} has the unknown source {price.source}"
            amounts = [*(rate for steps in price.rates.values() for _, rate in steps), *price.units.values()]
            if not all(amount.is_finite() and amount >= 0 for amount in amounts):
                yield f"prices/{provider}: {price.id} has a negative price"


def _hardware() -> Iterator[str]:
    for name, _ in constants()["priors"]["gpus"]:
        if find_gpu(name).tdp_w <= 0:
            yield f"hardware: {name} has no power"
