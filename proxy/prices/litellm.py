"""Read LiteLLM's price map (MIT), without importing LiteLLM: the tail, the service tiers, and a second opinion.

The file is found inside an installed wheel by its path alone; importing the package would take
seconds and reach for the network. Never use the releases 1.82.7 and 1.82.8, which were malicious.
"""

from __future__ import annotations

import importlib.util
import json
import re
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Final

from proxy.errors import ConfigError
from proxy.prices.listing import Listing, exact

FILE: Final = "model_prices_and_context_window_backup.json"
OURS: Final = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "azure": "azure",
    "azure_ai": "azure",
    "anthropic": "anthropic",
    "gemini": "gemini",
    "bedrock": "bedrock",
    "bedrock_converse": "bedrock",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "groq": "groq",
    "xai": "xai",
    "openrouter": "openrouter",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "cerebras": "cerebras",
    "perplexity": "perplexity",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "zai": "zai",
    "moonshot": "moonshot",
    "github_copilot": "copilot",
    "vercel_ai_gateway": "vercel_gateway",
    "novita": "novita",
    "deepinfra": "deepinfra",
    "nebius": "nebius",
    "hyperbolic": "hyperbolic",
    "sambanova": "sambanova",
    "voyage": "voyageai",
    "dashscope": "alibaba",
}
_BUCKETS: Final = {
    "input_cost_per_token": "input",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "output_cost_per_token": "output",
    "input_cost_per_audio_token": "audio_input",
    "output_cost_per_audio_token": "audio_output",
    "input_cost_per_image_token": "image_input",
    "output_cost_per_image_token": "image_output",
    "output_cost_per_reasoning_token": "reasoning",
}
_UNITS: Final = {
    "input_cost_per_second": ("audio_hours", 3600),
    "input_cost_per_character": ("characters", 1),
    "output_cost_per_image": ("images", 1),
    "input_cost_per_query": ("requests", 1),
    "ocr_cost_per_page": ("pages", 1),
}
# The map is written with binary fractions (2.0000000000000002e-07); no list price has so many digits.
_DIGITS: Final = Context(prec=8)
_TIERS: Final = {"_batches": "batch", "_flex": "flex", "_priority": "priority"}
# One region before the model's name: eu/gpt-4o, us-gov-west-1/anthropic.claude-…
_REGIONAL: Final = re.compile(r"(?:eu|us|apac|global|us-gov|[a-z]{2}(?:-gov)?-[a-z]+-\d)/[^/]+")
_UPLIFT: Final = "regional_processing_uplift_multiplier_"
_ABOVE: Final = re.compile(r"_above_(\d+)k_tokens$")


def find_map(path: Path | None) -> Path | None:
    """Return the price map: the path given (the file or a folder that holds it), else an installed wheel's.

    Raises:
        ConfigError: the path given holds no price map.

    """
    if path is not None:
        for candidate in (path, path / FILE, path / "litellm" / FILE):
            if candidate.is_file():
                return candidate
        msg = f"{path}: no {FILE} there; unpack a LiteLLM wheel and name its folder"
        raise ConfigError(msg)
    found = importlib.util.find_spec("litellm")
    if found is None or found.origin is None:
        return None
    candidate = Path(found.origin).parent / FILE
    return candidate if candidate.is_file() else None


def litellm_listings(path: Path) -> dict[str, list[Listing]]:
    """Return every entry of a provider we know in the normal form, one exact name each."""
    table = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal, parse_int=Decimal)
    lists: dict[str, dict[str, Listing]] = {}
    for key, row in table.items():
        provider = OURS.get(row.get("litellm_provider", ""))
        if provider is None:
            continue
        name = key.removeprefix(f"{row['litellm_provider']}/").removeprefix(f"{provider}/").lower()
        if provider in {"azure", "bedrock"} and "/" in name and not _REGIONAL.fullmatch(name):
            continue  # a commitment's price, or an image's by size; nothing in a call tells
        standard = _entry(row, "")
        if standard is None:
            continue
        tiers = {tier: [entry] for suffix, tier in _TIERS.items() if (entry := _entry(row, suffix)) is not None}
        listing = Listing(
            id=name, match=[f"={name}"], prices=[standard], tiers=tiers, regions=_regions(row), source="litellm"
        )
        lists.setdefault(provider, {}).setdefault(name, listing)
    return {provider: list(listings.values()) for provider, listings in lists.items()}


def _entry(row: dict[str, Any], suffix: str) -> dict[str, Any] | None:
    rates: dict[str, Any] = {}
    for key, bucket in _BUCKETS.items():
        base = row.get(key + suffix)
        if not isinstance(base, Decimal):
            continue
        steps = [
            (int(found[1]) * 1000, value)
            for other, value in row.items()
            if suffix in other
            and other.removesuffix(suffix).startswith(key)
            and (found := _ABOVE.fullmatch(other.removesuffix(suffix).removeprefix(key)))
            and isinstance(value, Decimal)
        ]
        rates[bucket] = (
            [[0, _per_million(base)], *([above, _per_million(value)] for above, value in sorted(steps))]
            if steps
            else _per_million(base)
        )
    if not suffix:
        rates |= _by_context(row.get("tiered_pricing"))
    units = {
        unit: exact(_rounded(row[key + suffix] * count))
        for key, (unit, count) in _UNITS.items()
        if isinstance(row.get(key + suffix), Decimal) and row[key + suffix]
    }
    if all(value == "0" for value in rates.values()):
        rates = {}  # nothing says that it is free: a price of nothing is no price
    if not rates and not units:
        return None
    entry: dict[str, Any] = {"rates": rates}
    if units:
        entry["units"] = units
    return entry


def _by_context(stretches: Any) -> dict[str, Any]:
    """Return the rates of a price by stretches of the input's length; a bucket that the first lacks has none."""
    if not isinstance(stretches, list) or not all(isinstance(each.get("range"), list) for each in stretches):
        return {}
    ordered = sorted(stretches, key=lambda each: each["range"][0])
    return {
        bucket: [
            [int(each["range"][0]), _per_million(each[key])] for each in ordered if isinstance(each.get(key), Decimal)
        ]
        for key, bucket in _BUCKETS.items()
        if ordered and isinstance(ordered[0].get(key), Decimal) and not ordered[0]["range"][0]
    }


def _regions(row: dict[str, Any]) -> dict[str, str]:
    """Return the surcharge factors of keeping a call in a region."""
    found = {key.removeprefix(_UPLIFT): value for key, value in row.items() if key.startswith(_UPLIFT)}
    special = row.get("provider_specific_entry")
    if isinstance(special, dict) and isinstance(special.get("us"), Decimal):
        found["us"] = special["us"]  # Anthropic's inference_geo
    return {region: exact(factor) for region, factor in sorted(found.items()) if isinstance(factor, Decimal)}


def _rounded(number: Decimal) -> Decimal:
    return _DIGITS.plus(number)


def _per_million(dollars_per_token: Decimal) -> str:
    return exact(_rounded(dollars_per_token.scaleb(6)))
