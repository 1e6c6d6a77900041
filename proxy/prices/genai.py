"""Read the price lists of genai-prices (MIT), the primary source: dated, tiered, with their own name rules."""

from __future__ import annotations

from decimal import Decimal
from importlib import import_module
from importlib.metadata import version
from typing import Any, Final

from proxy.errors import ConfigError
from proxy.prices.listing import Listing, Rates, exact

# Their provider ids by ours, where they differ; lists of routers that resell by route are left out.
OURS: Final = {
    "aws": "bedrock",
    "google": "gemini",
    "x-ai": "xai",
    "moonshotai": "moonshot",
    "github-copilot": "copilot",
}
_LEFT_OUT: Final = ("huggingface_", "openai-decisions")

_BUCKETS: Final = {
    "input_mtok": "input",
    "cache_read_mtok": "cached_input",
    "cache_write_mtok": "cache_write",
    "cache_write_1h_mtok": "cache_write_1h",
    "output_mtok": "output",
    "input_audio_mtok": "audio_input",
    "output_audio_mtok": "audio_output",
    "input_image_mtok": "image_input",
    "output_image_mtok": "image_output",
    "output_reasoning_mtok": "reasoning",
}
_UNITS: Final = {  # unit of ours, how many of it their price is for
    "web_searches_kcount": ("web_searches", 1000),
    "storage_searches_kcount": ("file_searches", 1000),
    "social_searches_kcount": ("x_searches", 1000),
    "code_executions_kcount": ("code_executions", 1000),
    "requests_kcount": ("requests", 1000),
    "input_text_messages_kcount": ("messages", 1000),
    "input_document_kpages": ("pages", 1000),
    "input_annotated_document_kpages": ("annotated_pages", 1000),
    "input_mchars": ("characters", 1_000_000),
    "output_citation_mtok": ("citation_tokens", 1_000_000),
    "audio_hours": ("audio_hours", 1),
    "input_audio_hours": ("audio_hours", 1),
}
_SIGNS: Final = {
    "ClauseEquals": ("=", "equals"),
    "ClauseStartsWith": ("^", "starts_with"),
    "ClauseEndsWith": ("$", "ends_with"),
    "ClauseContains": ("*", "contains"),
    "ClauseRegex": ("~", "regex"),
}


def genai_version() -> str:
    """Return the installed release of genai-prices."""
    return version("genai-prices")


def genai_listings() -> dict[str, list[Listing]]:
    """Return every provider's list in the normal form, by our provider names.

    Raises:
        ConfigError: genai-prices is not installed.

    """
    try:
        providers: list[Any] = import_module("genai_prices.data").providers
    except ImportError as error:
        msg = "genai-prices is not installed; it is in the dependency group 'facts'"
        raise ConfigError(msg) from error
    return {
        OURS.get(provider.id, provider.id): [
            found for model in provider.models if (found := _listing(model)) is not None
        ]
        for provider in providers
        if not provider.id.startswith(_LEFT_OUT)
    }


def _listing(model: Any) -> Listing | None:
    conditions = model.prices if isinstance(model.prices, list) else [None]
    prices = []
    for condition in conditions:
        price = model.prices if condition is None else condition.prices
        entry = _entry(price, condition.constraint if condition is not None else None)
        if entry is not None:
            prices.append(entry)
    if not prices:
        return None
    tiers: dict[str, list[dict[str, Any]]] = {}
    for variant in model.price_variants or ():
        if len(variant.when) != 1:
            continue
        ((axis, value),) = variant.when.items()
        if axis not in {"service_tier", "processing", "speed"} or value == "default":
            continue
        entry = _entry(variant.prices, variant.constraint)
        if entry is not None:
            tiers.setdefault(value, []).append(entry)
    clause = _clause(model.match)
    match = clause if isinstance(clause, list) and type(model.match).__name__ == "ClauseOr" else [clause]
    return Listing(id=model.id, match=match, prices=prices, tiers=tiers, source="genai-prices")


def _entry(price: Any, constraint: Any) -> dict[str, Any] | None:
    rates: Rates = {}
    units: dict[str, str] = {}
    for key, value in price.__dict__.items():
        if value is None:
            continue
        if key in _BUCKETS:
            rates[_BUCKETS[key]] = _steps(value)
        elif key in _UNITS and isinstance(value, Decimal):
            unit, count = _UNITS[key]
            units[unit] = exact(value / count)
    entry: dict[str, Any] = {}
    if constraint is not None and hasattr(constraint, "start_date"):
        entry["from"] = constraint.start_date.isoformat()
    elif constraint is not None:
        entry["hours"] = [moment.strftime("%H:%M") for moment in (constraint.start_time, constraint.end_time)]
    if not rates and not units:
        return None
    entry["rates"] = rates
    if units:
        entry["units"] = units
    return entry


def _steps(value: Any) -> Any:
    if isinstance(value, Decimal):
        return exact(value)
    return [[0, exact(value.base)], *([tier.start, exact(tier.price)] for tier in value.tiers)]


def _clause(match: Any) -> Any:
    """Turn a name rule into nested lists: OR outside, AND within, signs before the text."""
    kind = type(match).__name__
    if kind in _SIGNS:
        sign, attribute = _SIGNS[kind]
        return sign + getattr(match, attribute)
    if kind == "ClauseOr":
        # An OR holds ORs and leaves as they are, ANDs as inner lists.
        parts: list[Any] = []
        for part in match.or_:
            inner = _clause(part)
            parts.extend(inner) if type(part).__name__ == "ClauseOr" else parts.append(inner)
        return parts
    if kind == "ClauseAnd":
        # An AND holds leaves and ANDs as they are, ORs as inner lists.
        found: list[Any] = []
        for part in match.and_:
            inner = _clause(part)
            found.extend(inner) if type(part).__name__ == "ClauseAnd" else found.append(inner)
        return found
    msg = f"a name rule this importer does not know: {kind}"
    raise ConfigError(msg)
