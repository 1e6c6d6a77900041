"""Gemini's cached contents: what is kept is billed by its tokens and by how long it lies there; nothing is generated.

The tokens are a billed unit, not the input of a call, and count once under the cache's name, whichever reply shows
them: its creation, a look at it or a change of how long it is kept.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire import openai
from proxy.wire.canon import at, error_code, label, quantity
from proxy.wire.gemini import USAGE, GeminiSurface, asked
from proxy.wire.google import bare_model
from proxy.wire.lenient import Lenient
from proxy.wire.reply import Reply
from proxy.wire.surface import Asked, Headers, Way


class _Cache(msgspec.Struct, rename="camel", gc=False):
    name: Any = None
    model: Any = None
    usage_metadata: Any = None
    error: Any = None


_CACHE = Lenient(_Cache, _Cache)


class CacheReader(Reply):
    """Reads how much a cache keeps; a list of caches says nothing."""

    places = USAGE

    def __init__(self) -> None:
        super().__init__()
        self._kept: float | None = None

    def document(self, body: bytes) -> bool:
        """Read a cache."""
        cache = _CACHE.decode(body)
        if cache is None:
            return self.array(body)
        self.model = bare_model(cache.model)
        self.counted_as = label(cache.name)
        self._kept = quantity(at(cache.usage_metadata, ("totalTokenCount",)))
        if cache.error is not None:
            self.error = error_code(cache.error)
        return True

    def units(self) -> dict[str, float]:
        """Give what is kept."""
        return {"cache_storage_tokens": self._kept} if self._kept else {}


class CachedContents(GeminiSurface):
    """POST, GET and PATCH cachedContents, whose model stands in the body."""

    name = "gemini.cached_contents"
    metered = False

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request."""
        return asked(body, path) if body else Asked()

    def prepare(self, body: bytes, *, model: str | None, ask_for_usage: bool) -> bytes:
        """Give ``body`` with the name of its model replaced."""
        return openai.prepare(body, model=None if model is None else f"models/{model}", ask_for_usage=False)

    def reader(self, headers: Headers = (), status: int = 200) -> CacheReader:
        """Make the reader for one reply."""
        return CacheReader()


_CACHES = CachedContents()
WAYS = (
    Way("POST", "cachedContents", _CACHES),
    Way("GET", "cachedContents", _CACHES),
    Way("GET", "cachedContents/*", _CACHES),
    Way("PATCH", "cachedContents/*", _CACHES),
)
