"""OpenAI embeddings: a large body whose usage may stand before or after the vectors."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire.canon import CHAT, error_code, label
from proxy.wire.lenient import Lenient
from proxy.wire.openai import OpenAISurface
from proxy.wire.reply import Reply
from proxy.wire.surface import Headers, Way


class _Document(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    usage: Any = None
    service_tier: Any = None
    error: Any = None


_DOCUMENT = Lenient(_Document, _Document)


class EmbeddingsReader(Reply):
    """Reads the usage and the model; the vectors are skipped."""

    places = CHAT
    members = frozenset({b"id", b"model", b"usage", b"service_tier", b"error"})

    def document(self, body: bytes) -> bool:
        """Read a whole reply."""
        reply = _DOCUMENT.decode(body)
        if reply is None:
            return self.array(body)
        self._about(reply)
        return True

    def parts(self, found: dict[str, object]) -> None:
        """Read the members of a reply too large to hold."""
        self._about(_Document(**found))

    def _about(self, reply: _Document) -> None:
        self.model = label(reply.model)
        self.response_id = label(reply.id)
        self.service_tier = label(reply.service_tier)
        self.statement.add(_with_input(reply.usage))
        if reply.error is not None:
            self.error = error_code(reply.error)


def _with_input(usage: object) -> object:
    """Give the usage with its total as the input where only the total is stated: nothing is generated."""
    if isinstance(usage, dict) and usage.get("prompt_tokens") is None and usage.get("total_tokens") is not None:
        return {**usage, "prompt_tokens": usage["total_tokens"]}
    return usage


class Embeddings(OpenAISurface):
    """POST /v1/embeddings, and Snowflake's own."""

    name = "openai.embeddings"

    def reader(self, headers: Headers = (), status: int = 200) -> EmbeddingsReader:
        """Make the reader for one reply."""
        return EmbeddingsReader()


_EMBEDDINGS = Embeddings()
WAYS = (Way("POST", "embeddings", _EMBEDDINGS), Way("POST", "cortex/inference:embed", _EMBEDDINGS))
