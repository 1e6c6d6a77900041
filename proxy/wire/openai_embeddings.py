"""OpenAI embeddings: a large body whose usage may stand before or after the vectors."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire.canon import CHAT, error_code, label
from proxy.wire.lenient import Lenient
from proxy.wire.openai import OpenAISurface
from proxy.wire.reply import ObjectReply
from proxy.wire.surface import Headers, Way


class _Document(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    usage: Any = None
    service_tier: Any = None
    error: Any = None


_DOCUMENT = Lenient(_Document, _Document)


class EmbeddingsReader(ObjectReply[_Document]):
    """Reads the usage and the model; the vectors are skipped."""

    shape = _DOCUMENT
    places = CHAT
    members = frozenset({b"id", b"model", b"usage", b"service_tier", b"error"})

    def about(self, reply: _Document) -> None:
        """Read the members."""
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
