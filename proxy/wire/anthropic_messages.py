"""Anthropic messages, also as spoken by Vertex, Azure, OpenRouter and other compatible providers.

Plain: ``usage`` beside ``content``. Streamed: in ``message_start`` and, cumulatively, in ``message_delta``: for each
field the last value that is not null holds, and nothing is ever added up. Third parties state a first guess, or
nothing, in ``message_start``; server tools raise the input after it.

``usage.iterations`` lists every sampling of a call. Most are inside the counts above them. Beside them are the
compaction of the history, an advisor (another model), and an attempt that one model declined before another one
served the call: the counts above are then those of the model that served. Each of these is a usage line. An attempt
that was declined before it wrote anything is not billed and is no line.

Counting tokens is free and no usage.
"""

from __future__ import annotations

from typing import Any

import msgspec

from estimator.usage import UsageLine
from proxy.wire.anthropic import MESSAGES, AnthropicSurface, kept_in
from proxy.wire.canon import at, error_code, label, normal, quantity
from proxy.wire.lenient import REFUSED, Lenient
from proxy.wire.other import Other, UnreadReply
from proxy.wire.reply import Reply, Text
from proxy.wire.surface import Headers, UsageReader, Way

_BESIDE = frozenset({"compaction", "advisor_message"})


class _Said(msgspec.Struct, gc=False):
    text: Any = None
    thinking: Any = None
    partial_json: Any = None


class _Block(_Said, gc=False):
    name: Any = None
    input: Any = None


class _SparseMessage(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    usage: Any = None
    error: Any = None


class _Message(_SparseMessage, gc=False):
    content: list[_Block] | None = None


class _SparseEvent(msgspec.Struct, gc=False):
    type: Any = None
    message: Any = None
    usage: Any = None
    error: Any = None


class _Event(_SparseEvent, gc=False):
    delta: _Said | None = None
    content_block: _Block | None = None


_EVENT: Lenient[_SparseEvent] = Lenient(_Event, _SparseEvent)
_MESSAGE: Lenient[_SparseMessage] = Lenient(_Message, _SparseMessage)
_decode = _EVENT.quick.decode


class MessagesReader(Reply):
    """Reads a message, whole or as typed events."""

    places = MESSAGES
    members = frozenset({b"id", b"model", b"usage", b"error"})

    def __init__(self) -> None:
        super().__init__()
        self._begun = False  # of the usage only the first statement came

    def event(self, data: bytes) -> None:
        """Read one typed event."""
        try:
            event = _decode(data)
        except REFUSED:
            if data.startswith(b"[DONE]"):
                self.finished = True
                return
            lenient = _EVENT.decode(data)
            if lenient is None:
                self.flags["event.malformed"] = None
                return
            event = lenient
        if event.__class__ is _Event:
            said = event.delta or event.content_block
            if said is not None and _collect(said, self.text):
                self.started = True
        if event.message is not None:
            self._about(event.message)
            self._begun = True
        if event.usage is not None:
            self.statement.add(event.usage)
            self._begun = False
        if event.type == "message_stop":
            self.finished = True
        elif event.type == "error" or event.error is not None:
            self.error = error_code(event.error) or "error"

    def document(self, body: bytes) -> bool:
        """Read a plain reply."""
        message = _MESSAGE.decode(body)
        if message is None:
            return self.array(body)
        self._about(message)
        if isinstance(message, _Message):
            for block in message.content or ():
                _collect(block, self.text)
                if block.input:
                    self.text.add(msgspec.json.encode(block.input).decode())
        return True

    def parts(self, found: dict[str, object]) -> None:
        """Read the members of a reply that could not be read whole."""
        self._about(found)

    def ended(self) -> None:
        """Take what is billed beside the counts, and the model that served where another one declined."""
        stated = self.statement.stated
        if self._begun and stated:
            self.flags["usage.output_so_far"] = None  # the reply broke off: more was written than stated
        if stated.get("speed") == "fast":
            self.service_tier = "fast"
        self.region = kept_in(stated)
        self.lines, served = beside(stated)
        self.model = served or self.model

    def _about(self, message: object) -> None:
        if isinstance(message, dict):
            message = _SparseMessage(**{name: message.get(name) for name in _SparseMessage.__struct_fields__})
        if not isinstance(message, _SparseMessage):
            return
        self.model = label(message.model) or self.model
        self.response_id = label(message.id) or self.response_id
        self.statement.add(message.usage)
        if message.error is not None:
            self.error = error_code(message.error) or self.error


def beside(stated: object) -> tuple[tuple[UsageLine, ...], str | None]:
    """Give what ``usage.iterations`` lists beside the counts above it, and the model that served after a fallback."""
    iterations = at(stated, ("iterations",))
    entries = [entry for entry in iterations if isinstance(entry, dict)] if isinstance(iterations, list) else []
    served, written = None, 0.0
    for entry in entries:
        if entry.get("type") == "fallback_message":
            served = label(entry.get("model"))
        if entry.get("type") in ("message", "fallback_message"):
            written += quantity(entry.get("output_tokens")) or 0
    declined_beside = served is not None and written != at(stated, ("output_tokens",))
    lines = []
    for entry in entries:
        kind, model = label(entry.get("type")), label(entry.get("model"))
        declined = kind == "message" and declined_beside and model not in (None, served)
        if kind in _BESIDE or (declined and entry.get("output_tokens")):
            usage, _ = normal(entry, MESSAGES, model=model)
            if usage is not None:
                lines.append(UsageLine(kind=kind or "", model=model, usage=usage))
    return tuple(lines), served


def _collect(said: _Said, text: Text) -> bool:
    """Add what was generated; tell whether anything was."""
    before = text.characters
    for piece in (said.text, said.thinking, said.partial_json, said.name if isinstance(said, _Block) else None):
        if piece and piece.__class__ is str:
            text.add(piece)
    return text.characters > before


class Messages(AnthropicSurface):
    """POST /v1/messages; on Vertex :rawPredict and :streamRawPredict of Anthropic's models."""

    name = "anthropic.messages"

    def reader(self, headers: Headers = (), status: int = 200) -> MessagesReader:
        """Make the reader for one reply; its first bytes say what it is."""
        return MessagesReader()


class CountTokens(AnthropicSurface):
    """POST /v1/messages/count_tokens; on Vertex :rawPredict of a model named count-tokens."""

    name = "anthropic.count_tokens"
    metered = False

    def reader(self, headers: Headers = (), status: int = 200) -> UsageReader:
        """Make a reader that reads nothing."""
        return UnreadReply()


_MESSAGES, _COUNT_TOKENS = Messages(), CountTokens()
WAYS = (
    Way("POST", "messages", _MESSAGES),
    Way("POST", "threads/*/messages", Other()),  # OpenAI's assistants: a message is stored, nothing is generated
    Way("POST", "publishers/anthropic/models/*:rawPredict", _MESSAGES),
    Way("POST", "publishers/anthropic/models/*:streamRawPredict", _MESSAGES),
    Way("POST", "messages/count_tokens", _COUNT_TOKENS),
    Way("POST", "locations/*/publishers/anthropic/models/count-tokens:rawPredict", _COUNT_TOKENS),
)
