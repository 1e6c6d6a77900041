"""Every wire format by name, and which one a request speaks: told by its method and the ending of its path.

Each format's file says in ``WAYS`` which requests speak it. An ending is matched from the last segment backwards, so
it holds behind any prefix (``/v1``, ``/openai/deployments/x``, ``/api/coding/paas/v4``); of several the longest wins.
Whatever no format claims (a stored completion, a cancellation, a file) is "other": forwarded and counted as a call.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from proxy.wire import (
    anthropic_batches,
    anthropic_complete,
    anthropic_messages,
    async_jobs,
    bedrock_converse,
    bedrock_guardrail,
    bedrock_invoke,
    cloudflare,
    cohere,
    cohere_embed,
    engine,
    gemini,
    gemini_batches,
    gemini_caches,
    gemini_embeddings,
    gemini_generate,
    gemini_interactions,
    hosted_chat,
    mistral,
    ollama,
    ollama_embed,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_jobs,
    openai_media,
    openai_models,
    openai_responses,
    other,
    rerank,
    turns,
    vertex,
    voyage,
    watsonx,
    xai_batches,
)
from proxy.wire.surface import Surface, Way

_FORMATS = (
    anthropic_messages,
    anthropic_complete,
    anthropic_batches,
    openai_chat,
    openai_completions,
    openai_responses,
    openai_embeddings,
    openai_media,
    openai_jobs,
    openai_models,
    turns,
    bedrock_converse,
    bedrock_invoke,
    cohere,
    cohere_embed,
    rerank,
    ollama,
    ollama_embed,
    engine,
    gemini,
    gemini_batches,
    gemini_caches,
    gemini_embeddings,
    gemini_generate,
    gemini_interactions,
    vertex,
    watsonx,
    voyage,
    bedrock_guardrail,
    hosted_chat,
    async_jobs,
    mistral,
    xai_batches,
    cloudflare,
)
_OTHER = other.Other()
_PATHS_KEPT = 1024  # whose format is remembered: clients choose them

WAYS: tuple[Way, ...] = tuple(way for each in _FORMATS for way in each.WAYS)
SURFACES: dict[str, Surface] = {way.surface.name: way.surface for way in WAYS} | {_OTHER.name: _OTHER}


@lru_cache(_PATHS_KEPT)
def surface_for(method: str, path: str) -> Surface:
    """Give the format of a request by its method and the ending of its path (no query needed)."""
    segments = [segment for segment in path.partition("?")[0].split("/") if segment]
    if segments:
        # Google's servers take the colon before an action percent-encoded as well.
        name, colon, action = segments[-1].replace("%3A", ":").replace("%3a", ":").rpartition(":")
        if colon:
            segments[-1:] = [name, ":" + action]
        for last in (segments[-1], "*"):
            for pattern, surface in _BY_LAST.get((method, last), ()):
                if _fits(pattern, segments):
                    return surface
    return _OTHER


def _fits(pattern: tuple[str, ...], segments: list[str]) -> bool:
    size = len(pattern)
    return len(segments) >= size and all(
        wanted in ("*", segment) for wanted, segment in zip(pattern, segments[-size:], strict=True)
    )


def _by_last_segment(ways: Iterable[Way]) -> dict[tuple[str, str], list[tuple[tuple[str, ...], Surface]]]:
    found: dict[tuple[str, str], list[tuple[tuple[str, ...], Surface]]] = {}
    for way in ways:
        pattern = tuple(way.ending.replace(":", "/:").split("/"))
        found.setdefault((way.method, pattern[-1]), []).append((pattern, way.surface))
    for patterns in found.values():
        patterns.sort(key=lambda each: -len(each[0]))
    return found


_BY_LAST = _by_last_segment(WAYS)
