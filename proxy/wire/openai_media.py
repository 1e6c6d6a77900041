"""OpenAI images and audio: usage in tokens where the model has any, else what is billed instead.

Images: ``usage`` beside the pictures, in a stream in its last event; the reply names no model, and DALL·E states
nothing, so the number of pictures asked for is what is billed. Transcriptions: ``usage`` is tokens or seconds.
Speech: a sound without a word about its cost, so the characters asked for; as a stream of events it states tokens.
"""

from __future__ import annotations

from typing import Any

import msgspec

from estimator.usage import UsageLine
from proxy.wire import openai
from proxy.wire.canon import Places, at, error_code, label, normal, quantity
from proxy.wire.lenient import Lenient, loads
from proxy.wire.multipart import fields
from proxy.wire.openai import OpenAISurface
from proxy.wire.reply import ObjectReply
from proxy.wire.surface import Asked, Headers, Way

# The second in OpenAI's transcriptions, the third in Mistral's.
_DETAILS = (("input_tokens_details",), ("input_token_details",), ("prompt_tokens_details",))

MEDIA = Places(
    input_tokens=(("input_tokens",), ("prompt_tokens",)),
    cached=tuple((*details, "cached_tokens") for details in _DETAILS),
    cache_write=(),
    audio_input=tuple((*details, "audio_tokens") for details in _DETAILS),
    image_input=tuple((*details, "image_tokens") for details in _DETAILS),
    output_tokens=(("output_tokens",), ("completion_tokens",)),
    reasoning=(("output_tokens_details", "reasoning_tokens"),),
    audio_output=(),
    image_output=(("output_tokens_details", "image_tokens"),),
    total=(("total_tokens",),),
    units=(("audio_input_seconds", ("prompt_audio_seconds",)),),  # Mistral
)


class _Document(msgspec.Struct, gc=False):
    type: Any = None
    model: Any = None
    usage: Any = None
    svg_usage: Any = None
    duration: Any = None
    error: Any = None


_DOCUMENT = Lenient(_Document, _Document)
_MEMBERS = frozenset({b"model", b"usage", b"svg_usage", b"error"})


class MediaReader(ObjectReply[_Document]):
    """Reads the usage wherever it stands; pictures and sounds are skipped."""

    shape = _DOCUMENT
    places = MEDIA
    members = _MEMBERS

    def __init__(self) -> None:
        super().__init__()
        self._seconds: float | None = None

    def event(self, data: bytes) -> None:
        """Read one event of a stream."""
        event = _DOCUMENT.decode(data)
        if event is None:
            self.finished = self.finished or data.startswith(b"[DONE]")
            return
        self.about(event)
        if isinstance(event.type, str):
            self.started = self.started or event.type.endswith((".delta", ".partial_image"))
            self.finished = self.finished or event.type.endswith((".completed", ".done"))

    def units(self) -> dict[str, float]:
        """Give the seconds of sound where they are what is billed."""
        return {"audio_input_seconds": self._seconds} if self._seconds else {}

    def about(self, reply: _Document) -> None:
        """Read the members."""
        self.model = label(reply.model) or self.model
        if at(reply.usage, ("type",)) == "duration":
            self._seconds = quantity(at(reply.usage, ("seconds",)))
        else:
            self.statement.add(reply.usage)
        if isinstance(reply.svg_usage, dict):  # drawn by a model of its own, billed apart
            usage, flags = normal(reply.svg_usage, MEDIA, model=None)
            self.flags.update(dict.fromkeys(flags))
            if usage is not None:
                model = label(at(reply.svg_usage, ("model",)))
                self.lines = (UsageLine(kind="svg", model=model, usage=usage),)
        if reply.error is not None:
            self.error = error_code(reply.error)


class Media(OpenAISurface):
    """What pictures and sounds share: a request as JSON or as a form; its text says nothing about its cost."""

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request, also one with a file in it."""
        if not body.startswith(b"--"):
            return openai.asked(body, path)
        form = fields(body)
        return Asked(
            model=label(form.get("model")) or openai.deployment(path),
            stream=form.get("stream", "").lower() == "true",
            user=label(form.get("user")),
        )

    def prompt_text(self, body: bytes) -> None:
        """Give None: nothing can be counted in place of a usage that did not come."""

    def reader(self, headers: Headers = (), status: int = 200) -> MediaReader:
        """Make the reader for one reply."""
        return MediaReader()


class Images(Media):
    """POST /v1/images/generations, /edits and /variations."""

    name = "openai.images"

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request; the pictures it asks for are billed where the reply states no tokens."""
        request = super().asked(body, path)
        stated = fields(body) if body.startswith(b"--") else loads(body)
        number = stated.get("n") if isinstance(stated, dict) else None
        if isinstance(number, str) and number.isascii() and number.isdigit():
            number = int(number)
        images = number if type(number) is int and 0 < number <= 1000 else 1
        return msgspec.structs.replace(request, units={"images": float(images)})


class Transcriptions(Media):
    """POST /v1/audio/transcriptions and /translations."""

    name = "openai.transcriptions"


class Speech(Media):
    """POST /v1/audio/speech."""

    name = "openai.speech"

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request; its characters are billed where the reply states no tokens."""
        request = super().asked(body, path)
        spoken = at(loads(body), ("input",))
        if not isinstance(spoken, str):
            return request
        return msgspec.structs.replace(request, units={"characters": float(len(spoken))})


_IMAGES, _TRANSCRIPTIONS = Images(), Transcriptions()
WAYS = (
    Way("POST", "images/generations", _IMAGES),
    Way("POST", "images/edits", _IMAGES),
    Way("POST", "images/variations", _IMAGES),
    Way("POST", "audio/transcriptions", _TRANSCRIPTIONS),
    Way("POST", "audio/translations", _TRANSCRIPTIONS),
    Way("POST", "audio/speech", Speech()),
)
