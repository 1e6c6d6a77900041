"""Anthropic's message batches: usage stands in the results alone, one JSON object per line.

A batch is spent when it runs, at a time when no call of ours is open, and what it cost can be read as often as one
likes. So the results are counted once, under the batch's id, by whichever call fetches them first: not as the usage of
that call, which generated nothing, but as usage lines, one for each model, each the sum over that model's answers.
Creating a batch, asking how it stands and cancelling it state no usage. Requests that failed, were cancelled or
expired are not billed and state none.

The results do not name their batch; the download's file name does ("msgbatch_…_results.jsonl"), and where it is
missing the first answer's id stands for it.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.wire.anthropic import MESSAGES, AnthropicSurface, kept_in
from proxy.wire.anthropic_messages import beside
from proxy.wire.canon import at, error_code, label, normal
from proxy.wire.lenient import Lenient
from proxy.wire.reply import Reply
from proxy.wire.sums import Sums
from proxy.wire.surface import Headers, Way
from proxy.wire.values import Values

_BATCH = re.compile(rb"msgbatch_\w+?(?=_results|\W|$)")


class _Line(msgspec.Struct, gc=False):
    type: Any = None
    result: Any = None
    error: Any = None


_LINE = Lenient(_Line, _Line)


class ResultsReader(Reply):
    """Adds up the usage of a batch's results by model."""

    places = MESSAGES

    def __init__(self, headers: Headers = ()) -> None:
        super().__init__()
        for name, value in headers:
            if name == b"content-disposition" and (found := _BATCH.search(value)):
                self.counted_as = label(found[0].decode())
        self._sums = Sums()

    def framing(self, head: bytes) -> Values | None:
        """Take one object after another."""
        return Values() if head[:1] == b"{" else None

    def event(self, data: bytes) -> None:
        """Read one result."""
        line = _LINE.decode(data)
        if line is None:
            self.flags["event.malformed"] = None
            return
        if line.error is not None:
            self.error = error_code(line.error)
        if line.type == "message_batch":
            self.pending = True  # until the results are fetched
        message = at(line.result, ("message",))
        usage = at(message, ("usage",))
        if not isinstance(usage, dict):
            return
        self.counted_as = self.counted_as or label(at(message, ("id",)))
        self.service_tier = self.service_tier or label(usage.get("service_tier"))
        self.region = self.region or kept_in(usage)
        model = label(at(message, ("model",)))
        own, flags = normal(usage, MESSAGES, model=model)
        self.flags.update(dict.fromkeys(flags))
        if own is not None:
            self._sums.add("batch", model, own)
        lines, _ = beside(usage)
        for each in lines:
            self._sums.add(each.kind, each.model or model, each.usage)

    def ended(self) -> None:
        """Give one line for each model."""
        self.lines = self._sums.lines()


class Batches(AnthropicSurface):
    """POST and GET /v1/messages/batches, one of them, and its results; most replies are about the batch's progress."""

    name = "anthropic.batches"
    metered = False

    def reader(self, headers: Headers = (), status: int = 200) -> ResultsReader:
        """Make the reader for one reply; an object that holds no result says nothing of usage."""
        return ResultsReader(headers)


_BATCHES = Batches()
WAYS = (
    Way("POST", "messages/batches", _BATCHES),
    Way("GET", "messages/batches", _BATCHES),
    Way("GET", "messages/batches/*", _BATCHES),
    Way("GET", "messages/batches/*/results", _BATCHES),
    Way("POST", "messages/batches/*/cancel", _BATCHES),
)
