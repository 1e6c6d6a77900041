"""Reranking, in the shape that Cohere gave it and all others took over.

Cohere bills searches; llama.cpp, Voyage, Jina and vLLM count tokens, some of them only in a total.
Text Embeddings Inference answers a bare array and counts in a header.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire import cohere
from proxy.wire.canon import Places, error_code, label
from proxy.wire.lenient import Lenient
from proxy.wire.openai import OpenAISurface
from proxy.wire.reply import ObjectReply
from proxy.wire.surface import Headers, Way
from proxy.wire.texts import prompt

_COMPUTED = b"x-compute-tokens"
_PLACES = Places(
    input_tokens=(
        ("tokens", "input_tokens"),
        ("billed_units", "input_tokens"),
        ("prompt_tokens",),
        ("input_tokens",),
        ("total_tokens",),  # nothing is generated, so the total is the input
        ("compute_tokens",),
    ),
    cached=(("cached_tokens",),),
    cache_write=(),
    audio_input=(),
    image_input=(),
    output_tokens=(),
    reasoning=(),
    audio_output=(),
    image_output=(),
    total=(("total_tokens",),),
    units=(
        ("search_units", ("billed_units", "search_units")),
        ("search_units", ("search_units",)),
        ("classifications", ("billed_units", "classifications")),
    ),
)
_PROMPT = (("query",), ("documents",), ("documents", "text"), ("texts",))


class _Document(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    usage: Any = None
    meta: Any = None
    error: Any = None


_DOCUMENT = Lenient(_Document, _Document)


class RerankReader(ObjectReply[_Document]):
    """Reads what the reply says of itself; the results are skipped."""

    shape = _DOCUMENT
    places = _PLACES
    members = frozenset({b"id", b"model", b"usage", b"meta", b"error"})

    def __init__(self, headers: Headers = ()) -> None:
        super().__init__()
        for name, value in headers:
            if name == _COMPUTED and value.isdigit() and len(value) < 12:
                self.statement.add({"compute_tokens": int(value)})

    def about(self, reply: _Document) -> None:
        """Read the members."""
        self.response_id = label(reply.id)
        self.model = label(reply.model)
        self.statement.add(reply.usage)
        self.statement.add(reply.meta)
        if reply.error is not None:
            self.error = error_code(reply.error)


class Rerank(OpenAISurface):
    """POST …/rerank and, as llama.cpp also spells it, …/reranking."""

    name = "cohere.rerank"

    def reader(self, headers: Headers = (), status: int = 200) -> RerankReader:
        """Make the reader for one reply."""
        return RerankReader(headers)

    def prompt_text(self, body: bytes) -> str:
        """Give the query and the documents."""
        return prompt(body, _PROMPT)

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours."""
        return cohere.error(message)


class Pooling(Rerank):
    """POST …/pooling, …/score and …/classify of vLLM; Cohere's classify bills classifications."""

    name = "engine.pooling"
    metered = False


_RERANK, _POOLING = Rerank(), Pooling()
WAYS = (
    Way("POST", "rerank", _RERANK),
    Way("POST", "reranking", _RERANK),
    *(Way("POST", ending, _POOLING) for ending in ("pooling", "score", "classify")),
)
