"""The normal form of usage: what providers state, brought to one meaning, with its oddities flagged.

Counts are taken from fixed places only, so text that a model was told to print is never read as
usage. A count that cannot be one (negative, not a number, absurd) becomes unknown and is flagged.
Cached over input or reasoning over output are flagged and left as stated.

Where a provider's total is more than input and output together, the rest says which provider's
habit it is: it equals the reasoning (xAI leaves it out of the output), or the audio (Mistral leaves
it out of the input), or the connectors (Mistral's, likewise), or the model is a Gemini (its thoughts appear in the
total alone). Anything else is flagged and left as stated.

Source: usage objects of recorded replies of 37 providers, read November 2026.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from estimator.usage import Usage

COUNT_LIMIT = 10**9  # tokens; no call comes near it

_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")

Path = tuple[str, ...]
_CONNECTORS: tuple[Path, ...] = (("connector_tokens",),)  # Mistral: what its connectors fed the model


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a wire format states its counts: for each, the paths in the order of their authority."""

    input_tokens: tuple[Path, ...]
    cached: tuple[Path, ...]
    cache_write: tuple[Path, ...]
    audio_input: tuple[Path, ...]
    image_input: tuple[Path, ...]
    output_tokens: tuple[Path, ...]
    reasoning: tuple[Path, ...]
    audio_output: tuple[Path, ...]
    image_output: tuple[Path, ...]
    total: tuple[Path, ...]
    units: tuple[tuple[str, Path], ...] = ()  # our unit, where it is stated
    beside_input: tuple[tuple[Path, ...], ...] = ()  # read by the model, too, but not inside the input as stated
    beside_output: tuple[tuple[Path, ...], ...] = ()  # generated, too, but not inside the output as stated
    total_tells: bool = True  # what the total has beyond input and output may belong to one of them; else it checks


def _places(prompt: str, completion: str, prompt_details: str, completion_details: str) -> Places:
    return Places(
        input_tokens=((prompt,),),
        cached=(
            (prompt_details, "cached_tokens"),
            ("prompt_cache_hit_tokens",),  # DeepSeek
            ("num_cached_tokens",),  # Mistral
            ("cached_tokens",),  # Together, Moonshot, z.ai
            ("cache_read_input_tokens",),  # Venice, doubleword, Copilot
            ("prompt_token_details", "cached_tokens"),  # Writer
        ),
        cache_write=(
            (prompt_details, "cache_write_tokens"),
            ("cache_write_tokens",),
            ("cache_creation_input_tokens",),  # Vercel, doubleword
        ),
        audio_input=((prompt_details, "audio_tokens"), ("audio_prompt_tokens",)),
        image_input=((prompt_details, "image_tokens"),),
        output_tokens=((completion,),),
        reasoning=(
            (completion_details, "reasoning_tokens"),
            ("reasoning_tokens",),
            ("completion_token_details", "reasoning_tokens"),  # Writer
        ),
        audio_output=((completion_details, "audio_tokens"),),
        image_output=((completion_details, "image_tokens"),),
        total=(("total_tokens",),),
        units=(
            ("cache_write_30m_tokens", (prompt_details, "cache_write_tokens_details", "ttl_30m_tokens")),
            ("cache_write_12h_tokens", (prompt_details, "cache_write_tokens_details", "ttl_12h_tokens")),
            ("cache_write_5m_tokens", ("cache_creation", "ephemeral_5m_input_tokens")),  # doubleword
            ("cache_write_1h_tokens", ("cache_creation", "ephemeral_1h_input_tokens")),
            ("cache_write_24h_tokens", ("cache_creation", "ephemeral_24h_input_tokens")),
            ("video_input_tokens", (prompt_details, "video_tokens")),  # OpenRouter, Vercel
            ("audio_input_seconds", ("prompt_audio_seconds",)),  # Mistral
            ("search_queries", ("num_search_queries",)),  # Perplexity
            ("citation_tokens", ("citation_tokens",)),  # Perplexity, deep research
            ("sources", ("num_sources_used",)),  # xAI live search
            ("web_searches", ("server_side_tool_usage_details", "web_search_calls")),  # xAI
            ("x_searches", ("server_side_tool_usage_details", "x_search_calls")),
            ("code_interpreter_calls", ("server_side_tool_usage_details", "code_interpreter_calls")),
            ("web_searches", ("server_tool_use_details", "web_search_requests")),  # OpenRouter
        ),
    )


CHAT = _places("prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details")
RESPONSES = _places("input_tokens", "output_tokens", "input_tokens_details", "output_tokens_details")


class Statement:
    """What a reply has said about its usage so far: for each field the last value that is not null."""

    __slots__ = ("_stated", "fresh")

    def __init__(self) -> None:
        self._stated: dict[str, object] = {}
        self.fresh: dict[str, object] | None = None  # the object that was taken last, until somebody has looked at it

    def add(self, usage: object) -> None:
        """Take one usage object of the reply; anything else, null too, is no statement."""
        if isinstance(usage, dict):
            self.fresh = usage
            self._stated = _merged(self._stated, usage) if self._stated else usage

    def clear(self) -> None:
        """Forget what was stated: it was not the last word."""
        self._stated = {}

    @property
    def stated(self) -> Mapping[str, object]:
        """All that was stated, in the provider's own words; empty where nothing was."""
        return self._stated


def normal(stated: Mapping[str, object], places: Places, *, model: str | None) -> tuple[Usage | None, tuple[str, ...]]:
    """Bring a statement to the normal form; None where it holds no count at all. Gives the flags too."""
    flags: dict[str, None] = {}

    def find(paths: tuple[Path, ...]) -> int | None:
        for path in paths:
            value = stated.get(path[0])
            if value is not None and len(path) > 1:
                value = at(value, path[1:])
            if value is not None:
                return count(value, path[-1], flags)
        return None

    def whole(stated_as: tuple[Path, ...], beside: tuple[tuple[Path, ...], ...]) -> int | None:
        if not beside:
            return find(stated_as)
        counts = [each for each in map(find, (stated_as, *beside)) if each is not None]
        return sum(counts) if counts else None

    read, cached = whole(places.input_tokens, places.beside_input), find(places.cached)
    cache_write = find(places.cache_write)
    audio, image = find(places.audio_input), find(places.image_input)
    written, reasoning = whole(places.output_tokens, places.beside_output), find(places.reasoning)
    total = find(places.total)
    connectors = find(_CONNECTORS)

    if total is not None and read is not None:
        rest = total - read - (written or 0)
        if written is None:
            if rest > 0 and places.total_tells and _is_gemini(model):
                written = rest  # nothing but thoughts, or a count of zero left out
            elif rest:
                flags["usage.total_mismatch"] = None
        elif rest and not places.total_tells:
            flags["usage.total_mismatch"] = None
        elif rest and rest == reasoning:
            written += rest
        elif rest and rest in (audio, connectors):
            read += rest
        elif rest > 0 and not reasoning and _is_gemini(model):
            written += rest
        elif rest:
            flags["usage.total_mismatch"] = None
        elif reasoning and _leaves_thoughts_out(stated, model):
            written += reasoning
    if cached is not None and read is not None and cached > read:
        flags["usage.cached_over_input"] = None
    if reasoning is not None and written is not None and reasoning > written:
        flags["usage.reasoning_over_output"] = None

    units: dict[str, float] = {}
    for unit, path in places.units:
        value = stated.get(path[0])
        if value is not None and (amount := quantity(at(value, path[1:]))):
            units[unit] = amount
    usage = Usage(
        input_tokens=read,
        cached_input_tokens=cached,
        cache_write_tokens=cache_write,
        audio_input_tokens=audio,
        image_input_tokens=image,
        output_tokens=written,
        reasoning_tokens=reasoning,
        audio_output_tokens=find(places.audio_output),
        image_output_tokens=find(places.image_output),
        units=units,
    )
    if read is None and written is None and usage == Usage():
        if total is None:
            return None, tuple(flags)
        flags["usage.only_total"] = None  # cannot be split into input and output
    return usage, tuple(flags)


def count(value: object, name: str, flags: dict[str, None]) -> int | None:
    """Give a count of tokens, or None and a flag where ``value`` cannot be one."""
    if type(value) is int:
        if 0 <= value <= COUNT_LIMIT:
            return value
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
        flags[f"usage.{name}.float"] = None
    elif isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 12:
        number = int(value)
        flags[f"usage.{name}.string"] = None
    else:
        flags[f"usage.{name}.not_a_count"] = None
        return None
    if number < 0:
        flags[f"usage.{name}.negative"] = None
        return None
    if number > COUNT_LIMIT:
        flags[f"usage.{name}.absurd"] = None
        return None
    return number


def quantity(value: object) -> float | None:
    """Give an amount of a billed unit, or None where ``value`` cannot be one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= COUNT_LIMIT else None


def at(stated: object, path: Iterable[str]) -> object:
    """Give what lies at ``path`` in nested objects, None where nothing does."""
    for name in path:
        if not isinstance(stated, dict):
            return None
        stated = stated.get(name)
    return stated


def label(value: object, limit: int = 256) -> str | None:
    """Give a name from a reply, bounded and fit for storage; None where it is none."""
    if not isinstance(value, str) or not value:
        return None
    name = value[:limit]
    if name.isascii() and name.isprintable():  # nearly all of them
        return name
    return name.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def error_code(error: object) -> str | None:
    """Give the code, the type or the status of an error, never its message: that may repeat a key or a prompt."""
    if isinstance(error, str):
        return error if _CODE.fullmatch(error) else "error"
    for name in ("code", "type", "status"):
        value = at(error, (name,))
        if type(value) is int and abs(value) < 10**6:
            return str(value)
        if isinstance(value, str) and _CODE.fullmatch(value):
            return value
    return "error" if error else None


def _merged(old: dict[str, object], new: dict[str, object]) -> dict[str, object]:
    merged = dict(old)
    for name, value in new.items():
        before = merged.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            merged[name] = _merged(before, value)
        elif value is not None:
            merged[name] = value
    return merged


def _is_gemini(model: str | None) -> bool:
    return model is not None and "gemini" in model.lower()


def _leaves_thoughts_out(stated: Mapping[str, object], model: str | None) -> bool:
    # Vercel's gateway (the only one that states a market cost) leaves the thoughts of Google's models
    # out of completion and total alike; its own cost proves it.
    return "market_cost" in stated and model is not None and model.startswith("google/")
