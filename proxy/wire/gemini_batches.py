"""Gemini's batches: what the answers cost stands in the answers alone.

A batch is made with :batchGenerateContent and runs when no call of ours is open. Looked at when it is done, it shows
its answers, or names the file they are in: one JSON object per line. Either way they are counted once, by whichever
call shows them first, not as the usage of that call, which generated nothing, but as usage lines, one for each model.
They count under the batch's name; a file does not say it and goes by the id of its first answer. Requests that failed
state nothing.

Source: the Gemini API's "Batch API" reference (GenerateContentBatch, InlinedResponses), read November 2026.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.wire.canon import at, error_code, label, normal
from proxy.wire.gemini import USAGE, GeminiSurface, by_modality
from proxy.wire.gemini_generate import billed_searches
from proxy.wire.google import bare_model
from proxy.wire.lenient import Lenient
from proxy.wire.reply import Framing, Reply
from proxy.wire.sums import Sums
from proxy.wire.surface import Asked, Headers, Way
from proxy.wire.values import Elements, Values

_ARRAY = re.compile(rb'"inlinedResponses"\s{0,16}:\s{0,16}\[')
_NAME = re.compile(rb'"name"\s*:\s*"(batches/[\w.-]{1,128})"')  # what a prompt says has its quotes escaped
_MODEL = re.compile(rb'"model"\s*:\s*"(models/[\w.-]{1,128})"')


class _Part(msgspec.Struct, gc=False):
    response: Any = None  # of an answer
    error: Any = None
    name: Any = None  # of a batch that shows no answers


_PART = Lenient(_Part, _Part)


class AnswersReader(Reply):
    """Adds up the usage of a file of answers by model."""

    places = USAGE

    def __init__(self) -> None:
        super().__init__()
        self._sums = Sums()
        self._named: str | None = None  # the model, where an answer names none

    def framing(self, head: bytes) -> Framing | None:
        """Take one object after another."""
        return Values() if head[:1] == b"{" else None

    def undecided(self, head: bytes) -> bool:
        """Tell that the first byte decides."""
        return not head

    def event(self, data: bytes) -> None:
        """Read one answer."""
        part = _PART.decode(data)
        if part is None:
            self.flags["event.malformed"] = None
        else:
            self._part(part)

    def document(self, body: bytes) -> bool:
        """Read an array, which only an error is."""
        return self.array(body)

    def ended(self) -> None:
        """Give one line for each model."""
        self.lines = self._sums.lines()
        if self.lines:
            self.service_tier = "batch"

    def _part(self, part: _Part) -> None:
        usage = at(part.response, ("usageMetadata",))
        if not isinstance(usage, dict):
            return
        self.counted_as = self.counted_as or label(at(part.response, ("responseId",)))
        model = label(at(part.response, ("modelVersion",))) or self._named
        stated, flags = normal(by_modality(usage), USAGE, model=model)
        self.flags.update(dict.fromkeys(flags))
        if stated is None:
            return
        candidates = at(part.response, ("candidates",))
        searched = [
            len(queries)
            for each in (candidates if isinstance(candidates, list) else ())
            if isinstance(queries := at(each, ("groundingMetadata", "webSearchQueries")), list)
        ]
        stated.units.update(billed_searches(sum(searched), model))
        self._sums.add("batch", model, stated)


class BatchReader(AnswersReader):
    """Reads a batch: made, looked at, or done and showing its answers, which it may do twice."""

    def __init__(self) -> None:
        super().__init__()
        self._elements = Elements(_ARRAY)

    def framing(self, head: bytes) -> Framing | None:
        """Take each answer by itself."""
        return self._elements if head[:1] == b"{" else None

    def ended(self) -> None:
        """Count the answers under the batch's name, or say that they are still to come."""
        super().ended()
        if self._elements.found and (named := _NAME.search(self._elements.head)) is not None:
            self.response_id = named[1].decode()
        self.counted_as = (self.response_id or self.counted_as) if self.lines else None
        self.pending = not self.lines and self.response_id is not None and self.error is None

    def _part(self, part: _Part) -> None:
        if self._elements.found:
            if self._named is None and (named := _MODEL.search(self._elements.head)) is not None:
                self._named = bare_model(named[1].decode())
            super()._part(part)
            return
        if isinstance(part.name, str) and part.name.startswith("batches/"):
            self.response_id = label(part.name)
        if part.error is not None:
            self.error = error_code(part.error)


class Batches(GeminiSurface):
    """POST models/{model}:batchGenerateContent and GET batches/{id}."""

    name = "gemini.batches"
    metered = False

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request; its answers are not limited as one's are."""
        return msgspec.structs.replace(super().asked(body, path), output_limit=None) if body else Asked()

    def reader(self, headers: Headers = (), status: int = 200) -> AnswersReader:
        """Make the reader for one reply."""
        return BatchReader()


class Answers(Batches):
    """GET files/{id}:download: a batch's answers, or any other file."""

    name = "gemini.batch_answers"

    def reader(self, headers: Headers = (), status: int = 200) -> AnswersReader:
        """Make the reader for one reply."""
        return AnswersReader()


_BATCHES, _ANSWERS = Batches(), Answers()
WAYS = (
    Way("POST", "*:batchGenerateContent", _BATCHES),
    *(Way("GET", f"{version}/batches/*", _BATCHES) for version in ("v1beta", "v1alpha")),
    Way("GET", "files/*:download", _ANSWERS),
)
