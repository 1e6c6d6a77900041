"""Whether the shipped facts are sound: every number has a source, every range an order, every price a sense."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Final

from estimator.contract import BUCKETS
from estimator.deployments import find_gpu
from estimator.equivalences import equivalences
from estimator.facts import DATA, read_json, read_toml, sources
from estimator.fits import constants
from estimator.grid import grid, known_regions, known_zones
from estimator.models import ModelCard, known_models, resolve, spellings
from estimator.overheads import known_operators, overheads
from estimator.price import Price, every_price, find_price, price_lists
from estimator.price_class import ListPrice, covered
from estimator.training import trainings

# How the makers' chat models begin: OpenAI, Anthropic, Google, Meta, Mistral, DeepSeek, Qwen, xAI, Cohere, Amazon,
# Microsoft, NVIDIA, Moonshot, Z.ai. Fine-tunes by others begin differently or name what was done to them.
_CHAT: Final = re.compile(
    r"^(?:gpt-|o\d|chatgpt|codex|claude|gemini|(?:code)?gemma|(?:meta-)?llama-?v?\d[.p_-]?\d?-\d+b|llama-?v?4|codellama"
    r"|muse-|mistral|mixtral|magistral|devstral|codestral|ministral|pixtral|deepseek|qwen|qwq|grok|command|nova-"
    r"|phi-\d|mai-|nemotron|kimi|glm-)"
)
_ROUNDED: Final = 0.001  # a card's price is written with three digits
_NO_CHAT: Final = re.compile(
    r"image|canvas|reel|banana|tts|audio|voice|-live|realtime|speech|sonic|transcribe|translate|embed|rerank|ocr|parse"
    r"|guard|safety|robotics|document-ai|moderation|openorca|tool-use|sea-lion|gpt-jt"
)


def problems() -> list[str]:
    """Return what is wrong with the data files, a line each; an empty list is the good answer."""
    return [*_models(), *_cards(), *_places(), *_prices(), *_hardware(), *_comparisons(), *_sources()]


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
        if card.verified_by is not None and (card.architecture is None or card.verified_by not in sources()):
            yield f"models: {name} was verified by the unknown source {card.verified_by}, or has no shape"
        for pair in (card.total_params, card.active_params):
            if pair is not None and not 0 < pair[0] <= pair[1]:
                yield f"models: {name} has parameters out of order"
        if card.total_params and card.active_params and card.active_params[1] > card.total_params[1]:
            yield f"models: {name} has more active than total parameters"
        if card.list_price is not None:
            yield from _judged(card, card.list_price)


def _judged(card: ModelCard, judged: ListPrice) -> Iterator[str]:
    """Yield what is wrong with a size that was judged by a price: its price is in no list, or like no sized model's."""
    if card.source != "price-class" or not covered(judged.usd_out):
        yield f"models: {card.id} is judged by a price that no model of known size is near"
    sold = [
        price
        for price in every_price(judged.seller)
        if price.tier is None and resolve(price.model, judged.seller) is card
    ]
    # Some are sold by another model's row, under its price.
    beside = find_price(f"{card.maker}/{card.id}", judged.seller)
    rates = (price.rate("output", 0) for price in (*sold, *(() if beside is None else (beside,))))
    if not any(rate is not None and abs(float(rate.scaleb(6)) / judged.usd_out - 1) < _ROUNDED for rate in rates):
        yield f"models: {card.id} is judged by {judged.usd_out} dollars, which {judged.seller} does not ask"


def _cards() -> Iterator[str]:
    """Yield the priced chat models of the makers above that no card is found for, each once."""
    seen: set[str] = set()
    for provider in sorted(price_lists()):
        for price in every_price(provider):
            name = price.model.lower().rsplit("/", 1)[-1]
            if name in seen or "output" not in price.rates or resolve(price.model, provider) is not None:
                continue
            seen.add(name)
            known = spellings(price.model, provider)
            if any(_CHAT.match(spelt) for spelt in known) and not _NO_CHAT.search(name):
                yield f"prices/{provider}: {price.model} has a price and no card"


def _places() -> Iterator[str]:
    for zone in sorted(known_zones()):
        place = grid(zone)
        if not 0 <= place.grams_per_kwh < 1500:
            yield f"grids: {zone} has an impossible intensity"
        if place.liters_per_kwh is not None and not 0 <= place.liters_per_kwh < 100:
            yield f"grids: {zone} has an impossible use of water"
        if place.source not in sources():
            yield f"grids: {zone} has the unknown source {place.source}"
        if (place.grams_per_kwh_2023 is None) != (place.year_2023 is None):
            yield f"grids: {zone} has a figure without its year"
    for region in sorted(known_regions()):
        if grid(region).zone not in known_zones():
            yield f"grids: {region} points to no zone"
    for provider in (*known_operators(), None):
        operator = overheads(provider)
        grid(operator.zone)
        if not operator.source:
            yield f"overheads: {operator.operator} has no source"
        if operator.pue.low < 1 or operator.site_liters_per_kwh.low <= 0:
            yield f"overheads: {operator.operator} has an impossible PUE or use of water"
        if operator.market_grams_per_kwh is not None and operator.market_source not in sources():
            yield f"overheads: {operator.operator} has a market-based figure without a source"


def _prices() -> Iterator[str]:
    for provider in sorted(price_lists()):
        head = read_json(f"prices/{provider}.json")
        if (head["currency"], head["per"]) != ("USD", "million tokens"):
            yield f"prices/{provider}: not in dollars per million tokens"
        checked = date.fromisoformat(head["checked"])
        standard: dict[str, Price] = {}
        for price in every_price(provider):
            if price.source not in sources():
                yield f"prices/{provider}: {price.id} has the unknown source {price.source}"
            amounts = [*(rate for steps in price.rates.values() for _, rate in steps), *price.units.values()]
            if not all(amount.is_finite() and amount >= 0 for amount in amounts):
                yield f"prices/{provider}: {price.id} has a negative price"
            for bucket, steps in price.rates.items():
                if bucket not in BUCKETS:
                    yield f"prices/{provider}: {price.id} has the unknown bucket {bucket}"
                thresholds = [above for above, _ in steps]
                if thresholds[0] != 0 or thresholds != sorted(set(thresholds)):
                    yield f"prices/{provider}: {price.id} has thresholds out of order"
            if price.tier is None and (price.valid_from is None or price.valid_from <= checked):
                standard[price.model] = price
            elif price.model in standard:
                yield from _tier_against(provider, price, standard[price.model])


def _tier_against(provider: str, price: Price, standard: Price) -> Iterator[str]:
    for bucket in ("input", "output"):
        here, there = price.rate(bucket, 0), standard.rate(bucket, 0)
        if here is None or there is None:
            continue
        if (price.tier in {"batch", "flex"} and here > there) or (price.tier in {"priority", "fast"} and here < there):
            yield f"prices/{provider}: {price.id} is on the wrong side of the standard price"


def _hardware() -> Iterator[str]:
    for name, row in read_toml("hardware.toml").items():
        gpu = find_gpu(name)
        if min(gpu.bf16_flops, gpu.bandwidth, gpu.tdp_w, gpu.memory, gpu.embodied_kg) <= 0:
            yield f"hardware: {name} has a figure that is not positive"
        if gpu.fp8_flops is not None and gpu.fp8_flops < gpu.bf16_flops:
            yield f"hardware: {name} is slower in 8 bits than in 16"
        if row.get("embodied_source", "datasheets") not in sources():
            yield f"hardware: {name} has the unknown source {row['embodied_source']}"
    for name, _ in constants()["priors"]["gpus"]:
        find_gpu(name)


def _comparisons() -> Iterator[str]:
    for like in equivalences():
        if like.source not in sources() or like.joules_or_grams <= 0:
            yield f"equivalences: {like.id} has no source or is not positive"
    for training in trainings():
        if training.source not in sources() or (training.tonnes_co2e is None and training.gpu_hours is None):
            yield f"training: {training.id} has no source or no figure"
        for model in training.models:
            if model not in known_models():
                yield f"training: {training.id} names the unknown model {model}"
        if training.gpu is not None:
            find_gpu(training.gpu)


def _sources() -> Iterator[str]:
    for source in sources().values():
        if not source.name or (not source.licence and source.id != "none"):
            yield f"sources: {source.id} lacks its name or licence"
        if source.url and not source.url.startswith("https://"):
            yield f"sources: {source.id} has an address that is none"
