"""OpenAI responses: usage inside the ``response`` object, always stated in the stream's terminal event.

Hosted tools cost outside ``usage``: ``tool_usage`` lies beside it and becomes units. A reply that is
only queued (``background``) has no usage yet. Counting input tokens is free and no usage.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire.canon import RESPONSES, at, error_code, label, quantity
from proxy.wire.lenient import REFUSED, Lenient
from proxy.wire.openai import OpenAISurface
from proxy.wire.other import Other
from proxy.wire.reply import Reply, Text
from proxy.wire.surface import Headers, Way

_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
_UNFINISHED = frozenset({"queued", "in_progress"})
_TOOL_UNITS = (
    ("web_searches", ("web_search", "num_requests")),
    ("image_tool_input_tokens", ("image_gen", "input_tokens")),
    ("image_tool_output_tokens", ("image_gen", "output_tokens")),
)


class _SparseResponse(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    status: Any = None
    usage: Any = None
    tool_usage: Any = None
    service_tier: Any = None
    error: Any = None


class _Item(msgspec.Struct, gc=False):
    type: Any = None
    content: Any = None
    summary: Any = None
    name: Any = None
    arguments: Any = None
    input: Any = None


class _Response(_SparseResponse, gc=False):
    output: list[_Item] | None = None


class _SparseEvent(msgspec.Struct, gc=False):
    type: Any = None
    delta: Any = None
    response: Any = None
    error: Any = None
    code: Any = None


class _Event(_SparseEvent, gc=False):
    response: _SparseResponse | None = None


_EVENT: Lenient[_SparseEvent] = Lenient(_Event, _SparseEvent)
_RESPONSE: Lenient[_SparseResponse] = Lenient(_Response, _SparseResponse)
_decode = _EVENT.quick.decode


class ResponsesReader(Reply):
    """Reads a response object, whole or as typed events."""

    places = RESPONSES
    members = frozenset({b"id", b"model", b"status", b"usage", b"tool_usage", b"service_tier", b"error"})

    def __init__(self) -> None:
        super().__init__()
        self._tool_usage: object = None
        self._status: object = None

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
        if event.delta.__class__ is str and event.delta:
            self.started = True
            if not str(event.type).endswith("audio.delta"):  # sound in base64
                self.text.add(event.delta)
        if event.response is not None:
            self._about(event.response)
        if isinstance(event.type, str) and event.type in _TERMINAL:
            self.finished = True
        elif event.type == "error" or event.error is not None:
            self.error = error_code(event.error) or label(event.code) or "error"

    def document(self, body: bytes) -> bool:
        """Read a plain reply."""
        response = _RESPONSE.decode(body)
        if response is None:
            return self.array(body)
        self._about(response)
        if isinstance(response, _Response):
            for item in response.output or ():
                _collect(item, self.text)
        return True

    def parts(self, found: dict[str, object]) -> None:
        """Read the members of a reply that could not be read whole."""
        self._about(_SparseResponse(**found))

    def units(self) -> dict[str, float]:
        """Give what hosted tools cost."""
        return tool_units(self._tool_usage)

    def ended(self) -> None:
        """Say that the usage is still to come where the response only runs in the background."""
        self.pending = self.finished and self._status in _UNFINISHED and not self.statement.stated
        if self.statement.stated:
            self.counted_as = self.response_id  # a later view of the response states it again

    def _about(self, response: object) -> None:
        if not isinstance(response, _SparseResponse):
            response = _sparse(response)
        self.model = label(response.model) or self.model
        self.response_id = label(response.id) or self.response_id
        self.service_tier = label(response.service_tier) or self.service_tier
        self._status = response.status if isinstance(response.status, str) else self._status
        self.statement.add(response.usage)
        if response.tool_usage is not None:
            self._tool_usage = response.tool_usage
        if response.error is not None:
            self.error = error_code(response.error) or self.error


def tool_units(tool_usage: object) -> dict[str, float]:
    """Give what hosted tools cost beside a response's usage."""
    amounts = {unit: quantity(at(tool_usage, path)) for unit, path in _TOOL_UNITS}
    return {unit: amount for unit, amount in amounts.items() if amount}


def _sparse(response: object) -> _SparseResponse:
    names = _SparseResponse.__struct_fields__
    return _SparseResponse(**{name: at(response, (name,)) for name in names})


def _collect(item: _Item, text: Text) -> None:
    for parts in (item.summary, item.content):
        for part in parts if isinstance(parts, list) else ():
            for name in ("text", "refusal"):
                value = at(part, (name,))
                if isinstance(value, str):
                    text.add(value)
    for value in (item.name, item.arguments, item.input):
        if isinstance(value, str):
            text.add(value)


class Responses(OpenAISurface):
    """POST /v1/responses and /v1/responses/compact."""

    name = "openai.responses"

    def reader(self, headers: Headers = (), status: int = 200) -> ResponsesReader:
        """Make the reader for one reply; its first bytes say what it is."""
        return ResponsesReader()


class ResponsesView(Responses):
    """GET /v1/responses/{id}, or its cancellation: a response again, whose usage may have been pending."""

    name = "openai.responses_view"
    metered = False


class InputTokens(Other):
    """POST /v1/responses/input_tokens: counts, free of charge."""

    name = "openai.input_tokens"


_RESPONSES, _VIEW = Responses(), ResponsesView()
WAYS = (
    Way("POST", "responses", _RESPONSES),
    Way("POST", "responses/compact", _RESPONSES),
    Way("GET", "responses/*", _VIEW),
    Way("POST", "responses/*/cancel", _VIEW),
    Way("POST", "responses/input_tokens", InputTokens()),
)
