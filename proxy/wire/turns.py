"""What is said over a WebSocket: every turn that a provider bills, read from the messages it sends.

OpenAI's Realtime API and its kin (Azure, xAI) state a turn's usage in ``response.done``, the Responses API in
``response.completed``, Google's Live API in a ``usageMetadata`` beside what is said. Each message says itself which it
is. The transcription of what was heard is billed apart and done by another model.
"""

from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from estimator.usage import Usage
from proxy.wire.canon import RESPONSES, Places, at, error_code, label, normal, quantity
from proxy.wire.gemini import USAGE as GEMINI
from proxy.wire.gemini import by_modality
from proxy.wire.lenient import Lenient
from proxy.wire.openai_responses import tool_units
from proxy.wire.other import Other
from proxy.wire.surface import Reading, Surface, Way

REALTIME = Places(
    input_tokens=(("input_tokens",),),
    cached=(("input_token_details", "cached_tokens"),),
    cache_write=(),
    audio_input=(("input_token_details", "audio_tokens"),),
    image_input=(("input_token_details", "image_tokens"),),
    output_tokens=(("output_tokens",),),
    reasoning=(("output_token_details", "reasoning_tokens"),),
    audio_output=(("output_token_details", "audio_tokens"),),
    image_output=(),
    total=(("total_tokens",),),
    units=(
        ("cached_audio_input_tokens", ("input_token_details", "cached_tokens_details", "audio_tokens")),
        ("audio_output_seconds", ("output_audio_seconds",)),  # xAI
        ("billable_audio_seconds", ("billable_audio_seconds",)),  # xAI
    ),
)

# Each statement is of one turn; the answer's count has another name here than in plain calls, a gateway may keep that.
LIVE = dataclasses.replace(
    GEMINI,
    output_tokens=(("responseTokenCount",), ("candidatesTokenCount",)),
    audio_output=(("responseTokensDetails", "AUDIO"), ("candidatesTokensDetails", "AUDIO")),
    image_output=(("responseTokensDetails", "IMAGE"), ("candidatesTokensDetails", "IMAGE")),
)

_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_RESPONSE_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed"})
_TRANSCRIBERS = (("input_audio_transcription", "model"), ("audio", "input", "transcription", "model"))


class _Message(msgspec.Struct, gc=False):
    type: Any = None
    response: Any = None
    session: Any = None
    usage: Any = None
    usageMetadata: Any = None  # noqa: N815 - Google's name
    item_id: Any = None


class _Asking(msgspec.Struct, gc=False):
    setup: Any = None  # Google
    response: Any = None
    model: Any = None  # Responses: response.create has a request's own members


_MESSAGE = Lenient(_Message, _Message)
_ASKING = Lenient(_Asking, _Asking)


def model_asked(surface: Surface, query: bytes) -> str | None:
    """Give the model that a connection is opened for, where its address decides that: Azure may name the deployment."""
    if surface in _NAMED_IN_MESSAGES:
        return None
    named = {value for name, value in parse_qsl(query.decode("latin-1")) if name in ("model", "deployment")}
    return label(named.pop()) if len(named) == 1 else None  # of two nobody here knows which one counts


class Turns:
    """Reads the provider's messages of one connection; ``model`` is the one last named. Never raises."""

    def __init__(self, model: str | None = None) -> None:
        self.model = model
        self.running = False  # a response has begun and not ended
        self.failed = False  # a message could not be read
        self._transcriber: str | None = None

    def message(self, data: bytes) -> Reading | None:
        """Read one message; gives the turn that it ends, if it ends one."""
        try:
            return self._turn(data)
        except Exception:  # metering never breaks traffic
            self.failed = True
            return None

    def asking(self, data: bytes) -> None:
        """Read a client's message for the model it asks for, where the address named none; never raises."""
        if self.model is None and (message := _ASKING.decode(data)) is not None:
            named = (
                label(at(message.setup, ("model",))) or label(at(message.response, ("model",))) or label(message.model)
            )
            self.model = named.rpartition("models/")[2] if named is not None else None

    def _turn(self, data: bytes) -> Reading | None:
        message = _MESSAGE.decode(data)
        if message is None:
            return None
        if message.session is not None:
            self.model = label(at(message.session, ("model",))) or self.model
            for path in _TRANSCRIBERS:
                self._transcriber = label(at(message.session, path)) or self._transcriber
        if message.type == "response.created":
            self.running = True
        elif message.type == "response.done":
            usage = at(message.response, ("usage",)) or message.usage  # xAI: beside a response whose own is empty
            return self._ended(message.response, *normal(_stated(usage), REALTIME, model=self.model))
        elif isinstance(message.type, str) and message.type in _RESPONSE_ENDS:
            usage, flags = normal(_stated(at(message.response, ("usage",))), RESPONSES, model=self.model)
            if usage is not None:
                usage.units.update(tool_units(at(message.response, ("tool_usage",))))
            return self._ended(message.response, usage, flags)
        elif message.type == _TRANSCRIBED:
            return self._transcription(message)
        elif isinstance(message.usageMetadata, dict):
            usage, flags = normal(by_modality(message.usageMetadata), LIVE, model=self.model)
            if usage is not None:
                return Reading(usage=usage, flags=flags, model=self.model, finished=True)
        return None

    def _ended(self, response: object, usage: Usage | None, flags: tuple[str, ...]) -> Reading:
        self.running = False
        failed = at(response, ("status",)) == "failed"
        error = at(response, ("error",)) or at(response, ("status_details", "error"))
        return Reading(
            usage=usage,
            flags=flags,
            model=label(at(response, ("model",))) or self.model,
            response_id=label(at(response, ("id",))),
            service_tier=label(at(response, ("service_tier",))),
            error=error_code(error) or "failed" if failed else None,
            finished=True,
        )

    def _transcription(self, message: _Message) -> Reading | None:
        usage, flags = normal(_stated(message.usage), REALTIME, model=None)
        seconds = quantity(at(message.usage, ("seconds",)))
        if seconds is not None:
            usage = Usage(units={"audio_input_seconds": seconds})
        if usage is None:
            return None
        return Reading(
            usage=usage, flags=flags, model=self._transcriber, response_id=label(message.item_id), finished=True
        )


def _stated(usage: object) -> dict[str, object]:
    return usage if isinstance(usage, dict) else {}


class Realtime(Other):
    """A connection to OpenAI's Realtime API or its kin."""

    name = "openai.realtime"


class Live(Other):
    """A connection to Google's Live API."""

    name = "gemini.live"


class ResponsesSocket(Other):
    """A connection to the Responses API."""

    name = "openai.responses_socket"


_LIVE, _RESPONSES = Live(), ResponsesSocket()
_NAMED_IN_MESSAGES = (_LIVE, _RESPONSES)  # each as the client likes
_SERVICE = "google.ai.generativelanguage.{}.GenerativeService.BidiGenerateContent"
WAYS = (
    Way("WEBSOCKET", "realtime", Realtime()),
    Way("WEBSOCKET", "responses", _RESPONSES),
    Way("WEBSOCKET", "BidiGenerateContent", _LIVE),  # Vertex
    *(Way("WEBSOCKET", _SERVICE.format(version), _LIVE) for version in ("v1", "v1alpha", "v1beta")),
    Way(
        "WEBSOCKET", _SERVICE.format("v1alpha").replace("Content", "ContentConstrained"), _LIVE
    ),  # for a browser's token
)
