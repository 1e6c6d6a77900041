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

from estimator.usage import Usage, UsageLine
from proxy.wire.anthropic import MESSAGES, AnthropicSurface
from proxy.wire.anthropic_messages import beside
from proxy.wire.canon import at, error_code, label, normal
from proxy.wire.lenient import Lenient
from proxy.wire.reply import Reply
from proxy.wire.surface import Headers, Way
from proxy.wire.values import Values

_BATCH = re.compile(rb"msgbatch_\w+?(?=_results|\W|$)")
_MODELS = 64  # different models in one batch; what is beyond is one line without a model


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
        self._sums: dict[tuple[str, str | None], tuple[Usage, int]] = {}

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
        model = label(at(message, ("model",)))
        own, flags = normal(usage, MESSAGES, model=model)
        self.flags.update(dict.fromkeys(flags))
        if own is not None:
            self._add("batch", model, own)
        lines, _ = beside(usage)
        for each in lines:
            self._add(each.kind, each.model or model, each.usage)

    def ended(self) -> None:
        """Give one line for each model."""
        self.lines = tuple(
            UsageLine(kind=kind, model=of, usage=usage, calls=calls)
            for (kind, of), (usage, calls) in self._sums.items()
        )

    def _add(self, kind: str, model: str | None, usage: Usage) -> None:
        key = (kind, model)
        if key not in self._sums and len(self._sums) >= _MODELS:
            key = (kind, None)
        before = self._sums.get(key)
        self._sums[key] = (usage, 1) if before is None else (total(before[0], usage), before[1] + 1)


def total(one: Usage, other: Usage) -> Usage:
    """Give two usages as one; what neither states stays unknown."""
    counts: dict[str, int | None] = {}
    for name in Usage.__dataclass_fields__:
        if name != "units":
            stated = [count for count in (getattr(one, name), getattr(other, name)) if count is not None]
            counts[name] = sum(stated) if stated else None
    units = dict(one.units)
    for unit, amount in other.units.items():
        units[unit] = units.get(unit, 0) + amount
    return Usage(**counts, units=units)


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
