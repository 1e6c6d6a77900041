"""Vertex AI's own ways: :predict and :predictLongRunning, and :rawPredict of models that speak OpenAI's chat.

Text embeddings state the tokens of each instance, which are added up; images are counted, for they are billed by the
piece; nothing else is stated. A prediction can be megabytes of numbers or of an image, so each is read by itself. A
video is made later: what it costs stands in the request alone.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.wire.canon import Path, Places, at, count, error_code, quantity
from proxy.wire.gemini import GeminiSurface
from proxy.wire.google import model_in_path
from proxy.wire.lenient import Lenient, loads
from proxy.wire.openai import OpenAISurface
from proxy.wire.openai_chat import ChatReader
from proxy.wire.other import UnreadReply
from proxy.wire.reply import Framing, Reply
from proxy.wire.surface import Asked, Headers, UsageReader, Way
from proxy.wire.texts import prompt
from proxy.wire.values import Elements

_ARRAY = re.compile(rb'"predictions"\s*:\s*\[')
_USAGE = Places(
    input_tokens=(("token_count",),),
    cached=(),
    cache_write=(),
    audio_input=(),
    image_input=(),
    output_tokens=(),
    reasoning=(),
    audio_output=(),
    image_output=(),
    total=(),
)
_PROMPT: tuple[Path, ...] = (("instances", "content"), ("instances", "text"))


class _Statistics(msgspec.Struct, gc=False):
    token_count: Any = None


class _Embeddings(msgspec.Struct, gc=False):
    statistics: _Statistics | None = None


class _Sparse(msgspec.Struct, gc=False):
    embeddings: Any = None
    image: Any = msgspec.field(default=None, name="bytesBase64Encoded")
    stored: Any = msgspec.field(default=None, name="gcsUri")
    kind: Any = msgspec.field(default=None, name="mimeType")
    error: Any = None


class _Prediction(_Sparse, gc=False):
    embeddings: _Embeddings | None = None


_PREDICTION: Lenient[_Sparse] = Lenient(_Prediction, _Sparse)


class PredictReader(Reply):
    """Adds up the tokens of embeddings and counts images."""

    places = _USAGE

    def __init__(self) -> None:
        super().__init__()
        self._tokens: int | None = None
        self._images = 0

    def framing(self, head: bytes) -> Framing | None:
        """Take each prediction by itself."""
        return Elements(_ARRAY) if head[:1] == b"{" else None

    def event(self, data: bytes) -> None:
        """Read one prediction."""
        prediction = _PREDICTION.decode(data)
        if prediction is None:
            self.flags["event.malformed"] = None
            return
        if prediction.error is not None:
            self.error = error_code(prediction.error)
        said = prediction.embeddings
        stated = said.statistics if isinstance(said, _Embeddings) else None
        if stated is not None and stated.token_count is not None:
            tokens = count(stated.token_count, "token_count", self.flags)
            if tokens is not None:
                self._tokens = tokens if self._tokens is None else self._tokens + tokens
        if prediction.image is not None or prediction.stored is not None:
            kind = prediction.kind
            self._images += not isinstance(kind, str) or kind.startswith("image/")

    def document(self, body: bytes) -> bool:
        """Read an array, which only an error is."""
        return self.array(body)

    def units(self) -> dict[str, float]:
        """Give the images."""
        return {"images": float(self._images)} if self._images else {}

    def ended(self) -> None:
        """State the sum."""
        if self._tokens is not None:
            self.statement.add({"token_count": self._tokens})


class Predict(GeminiSurface):
    """POST models/{model}:predict: embeddings and Imagen."""

    name = "vertex.predict"

    def reader(self, headers: Headers = (), status: int = 200) -> UsageReader:
        """Make the reader for one reply."""
        return PredictReader()

    def prompt_text(self, body: bytes) -> str | None:
        """Give the text that is to be embedded; None where an image is asked for."""
        return prompt(body, _PROMPT) or None


class PredictLongRunning(Predict):
    """POST models/{model}:predictLongRunning: Veo; the reply only names the operation."""

    name = "vertex.predict_long_running"

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request; a length that it leaves to the model is not known here."""
        asked = super().asked(body, path)
        parameters = at(loads(body), ("parameters",))
        videos = quantity(at(parameters, ("sampleCount",))) or 1.0
        seconds = quantity(at(parameters, ("durationSeconds",)))
        units = {"videos": videos} if not seconds else {"videos": videos, "video_seconds": videos * seconds}
        return msgspec.structs.replace(asked, units={} if asked.problem else units)

    def reader(self, headers: Headers = (), status: int = 200) -> UsageReader:
        """Make a reader that reads nothing."""
        return UnreadReply()


class RawPredict(OpenAISurface):
    """POST models/{model}:rawPredict and :streamRawPredict of the publishers whose own API is shaped like OpenAI's."""

    name = "vertex.raw_predict"

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request, whose model stands in the path and mostly in the body as well."""
        asked = super().asked(body, path)
        return msgspec.structs.replace(asked, model=asked.model or model_in_path(path))

    def reader(self, headers: Headers = (), status: int = 200) -> ChatReader:
        """Make the reader for one reply; its first bytes say what it is."""
        return ChatReader()


_RAW = RawPredict()
WAYS = (
    Way("POST", "models/*:predict", Predict()),
    Way("POST", "models/*:predictLongRunning", PredictLongRunning()),
    *(
        Way("POST", f"publishers/{publisher}/models/*:{action}", _RAW)
        for publisher in ("mistralai", "ai21")
        for action in ("rawPredict", "streamRawPredict")
    ),
)
