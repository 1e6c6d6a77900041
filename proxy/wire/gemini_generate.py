"""Gemini's generateContent and streamGenerateContent, on Google's own API and on Vertex.

Plain: ``usageMetadata`` beside ``candidates``. Streamed, as server-sent events or as one growing JSON array: in nearly
every chunk, cumulatively, so that for each field the last value holds; Vertex's chunks in between state a traffic type
alone. A prompt that was blocked is answered with status 200 and no candidate. Searches that grounded an answer are
billed beside its tokens and are listed in each candidate's ``groundingMetadata``. Google's tools for programmers wrap
each answer in a ``response``.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.wire.canon import Statement, at, error_code, label
from proxy.wire.gemini import USAGE, GeminiSurface, by_modality
from proxy.wire.lenient import REFUSED, Lenient
from proxy.wire.reply import Framing, Reply
from proxy.wire.surface import Headers, Way
from proxy.wire.values import Values


class _Blob(msgspec.Struct, gc=False):
    """An image or sound, of which nothing is read."""


class _Part(msgspec.Struct, rename="camel", gc=False):
    text: Any = None
    function_call: Any = None
    inline_data: _Blob | None = None


class _Content(msgspec.Struct, gc=False):
    parts: list[_Part] | None = None


class _Grounding(msgspec.Struct, rename="camel", gc=False):
    web_search_queries: list[Any] | None = None


class _Candidate(msgspec.Struct, rename="camel", gc=False):
    content: _Content | None = None
    finish_reason: Any = None
    grounding_metadata: _Grounding | None = None
    index: int | None = None


class _Sparse(msgspec.Struct, rename="camel", gc=False):
    usage_metadata: Any = None
    model_version: Any = None
    response_id: Any = None
    prompt_feedback: Any = None
    error: Any = None
    response: Any = None  # of Google's tools for programmers: all of the above


class _Chunk(_Sparse, rename="camel", gc=False):
    candidates: list[_Candidate] | None = None


# Source: Gemini API pricing, "Grounding with Google Search": per prompt up to 2.5, per query since 3; read 2026-09-17.
_BILLED_BY_PROMPT = re.compile(r"gemini-[12]\b")

_CHUNK: Lenient[_Sparse] = Lenient(_Chunk, _Sparse)
_decode = _CHUNK.quick.decode


class GenerateReader(Reply):
    """Reads an answer, whole or in chunks."""

    places = USAGE
    members = frozenset({b"usageMetadata", b"modelVersion", b"responseId", b"promptFeedback", b"error", b"response"})

    def __init__(self) -> None:
        super().__init__()
        self._open: set[int | None] = set()  # indexes of candidates that began
        self._ended: set[int | None] = set()  # and of those that gave their finish reason
        self._searches: dict[int | None, int] = {}  # by candidate

    def framing(self, head: bytes) -> Framing | None:
        """Take an array for a stream; Google's servers wrap an error so, too."""
        return Values() if head[:1] == b"[" else super().framing(head)

    def event(self, data: bytes) -> None:
        """Read one chunk."""
        try:
            chunk = _decode(data)
        except REFUSED:
            lenient = _CHUNK.decode(data)
            if lenient is None:
                if data.startswith(b"[DONE]"):
                    self.finished = True
                else:
                    self.flags["event.malformed"] = None
                return
            chunk = lenient
        self._about(chunk)

    def document(self, body: bytes) -> bool:
        """Read a plain answer."""
        answer = _CHUNK.decode(body)
        if answer is None:
            return False
        self._about(answer)
        self.started = False  # a plain reply comes at once
        return True

    def parts(self, found: dict[str, object]) -> None:
        """Read the members of an answer that could not be read whole."""
        self._about(msgspec.convert(found, _Sparse))

    def units(self) -> dict[str, float]:
        """Give the searches that grounded the answer."""
        return billed_searches(sum(self._searches.values()), self.model)

    def ended(self) -> None:
        """Bring the usage into counts by modality, and tell a complete stream: nothing else ends one."""
        stated = self.statement.stated
        if stated:
            self.service_tier = label(stated.get("serviceTier")) or _tier(stated.get("trafficType"))
            self.statement = Statement()
            self.statement.add(by_modality(stated))
        if self.error is None and ((self._ended and self._open <= self._ended) or "prompt.blocked" in self.flags):
            self.finished = True

    def _about(self, chunk: _Sparse) -> None:
        if chunk.response is not None and (inner := _CHUNK.convert(chunk.response)) is not None:
            inner.response = None
            self._about(inner)
        if chunk.usage_metadata is not None:
            self.statement.add(chunk.usage_metadata)
        if self.model is None:
            self.model = label(chunk.model_version)
        if self.response_id is None:
            self.response_id = label(chunk.response_id)
        if chunk.prompt_feedback is not None and at(chunk.prompt_feedback, ("blockReason",)) is not None:
            self.flags["prompt.blocked"] = None
        if chunk.error is not None:
            self.error = error_code(chunk.error) or self.error
        if chunk.__class__ is _Chunk and chunk.candidates:
            for candidate in chunk.candidates:
                self._said(candidate)

    def _said(self, candidate: _Candidate) -> None:
        if candidate.content is not None:
            for part in candidate.content.parts or ():
                if part.text and part.text.__class__ is str:
                    self.started = True
                    self.text.add(part.text)
                elif part.function_call is not None:
                    self.started = True
                    self.text.add(msgspec.json.encode(part.function_call).decode())
                elif part.inline_data is not None:
                    self.started = True
        if candidate.finish_reason is not None:
            self._ended.add(candidate.index)
        self._open.add(candidate.index)
        if candidate.grounding_metadata is not None and candidate.grounding_metadata.web_search_queries:
            self._searches[candidate.index] = len(candidate.grounding_metadata.web_search_queries)


def billed_searches(queries: int, model: str | None) -> dict[str, float]:
    """Give the searches that are billed: of Gemini up to 2.5 a prompt is one, however many queries it took."""
    if not queries:
        return {}
    return {"web_searches": 1.0 if model is not None and _BILLED_BY_PROMPT.search(model) else float(queries)}


def _tier(traffic: object) -> str | None:
    """Give Vertex's traffic type (ON_DEMAND_FLEX, PROVISIONED_THROUGHPUT, …) as a service tier."""
    named = label(traffic)
    if named is None:
        return None
    return _TIERS.get(named, named.lower())


_TIERS = {"ON_DEMAND": "standard", "ON_DEMAND_FLEX": "flex", "ON_DEMAND_PRIORITY": "priority"}


class GenerateContent(GeminiSurface):
    """POST models/{model}:generateContent and :streamGenerateContent; also of tuned models and endpoints."""

    name = "gemini.generate_content"

    def reader(self, headers: Headers = (), status: int = 200) -> GenerateReader:
        """Make the reader for one reply; its first bytes say what it is."""
        return GenerateReader()


_GENERATE = GenerateContent()
WAYS = (Way("POST", "*:generateContent", _GENERATE), Way("POST", "*:streamGenerateContent", _GENERATE))
