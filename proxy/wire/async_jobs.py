"""Work that is asked for and looked at later, as Perplexity and Replicate do it: every look states the usage again.

Perplexity's asynchronous chat holds the whole reply in ``response`` once it is there; Replicate's predictions say in
``metrics`` what they used. Either counts once, under the id of the job.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire import openai
from proxy.wire.canon import CHAT, Places, at, error_code, label, quantity
from proxy.wire.lenient import Lenient, loads
from proxy.wire.other import Other
from proxy.wire.reply import ObjectReply
from proxy.wire.surface import Asked, Headers, Way

_METRICS = Places(
    input_tokens=(("input_token_count",),),
    cached=(),
    cache_write=(),
    audio_input=(),
    image_input=(),
    output_tokens=(("output_token_count",),),
    reasoning=(),
    audio_output=(),
    image_output=(),
    total=(),
)
_RUNNING = frozenset({"CREATED", "IN_PROGRESS", "starting", "processing"})


class _Job(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    status: Any = None
    response: Any = None  # Perplexity
    metrics: Any = None  # Replicate
    error: Any = None
    error_message: Any = None


_JOB = Lenient(_Job, _Job)


class JobReader(ObjectReply[_Job]):
    """Reads a job as it stands."""

    shape = _JOB
    places = CHAT
    members = frozenset({b"id", b"model", b"status", b"response", b"metrics", b"error"})

    def ended(self) -> None:
        """Count under the job's name."""
        if self.statement.stated:
            self.counted_as = self.response_id

    def about(self, job: _Job) -> None:
        """Read the members."""
        self.response_id = label(job.id)
        self.model = label(at(job.response, ("model",))) or label(job.model)
        self.pending = isinstance(job.status, str) and job.status in _RUNNING and job.response is None
        self.statement.add(self._stated(job))
        if job.error is not None:
            self.error = error_code(job.error)

    def _stated(self, job: _Job) -> object:
        return at(job.response, ("usage",))


class PredictionReader(JobReader):
    """Reads a prediction; one that is running says nothing yet, or not its last word."""

    places = _METRICS

    def __init__(self) -> None:
        super().__init__()
        self._seconds: float | None = None

    def units(self) -> dict[str, float]:
        """Give how long the machine worked."""
        return {"compute_seconds": self._seconds} if self._seconds else {}

    def ended(self) -> None:
        """Count under the prediction's name, seconds alone as well."""
        super().ended()
        if self._seconds:
            self.counted_as = self.response_id

    def _stated(self, job: _Job) -> object:
        if self.pending:
            return None
        self._seconds = quantity(at(job.metrics, ("predict_time",)))
        return job.metrics


class AsyncChat(Other):
    """POST async/chat/completions, whose body holds a chat's in ``request``, and GET of one of them."""

    name = "perplexity.async_chat"

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request."""
        request = at(loads(body), ("request",)) if body else None
        if not isinstance(request, dict):
            return Asked()
        return msgspec.structs.replace(openai.asked(msgspec.json.encode(request)), stream=False)

    def prepare(self, body: bytes, *, model: str | None, ask_for_usage: bool) -> bytes:
        """Give ``body`` itself: the model lies inside the request."""
        return body

    def reader(self, headers: Headers = (), status: int = 200) -> JobReader:
        """Make the reader for one reply."""
        return JobReader()


class Predictions(Other):
    """POST predictions, of a model or a deployment too, and GET of one of them."""

    name = "replicate.predictions"

    def reader(self, headers: Headers = (), status: int = 200) -> PredictionReader:
        """Make the reader for one reply."""
        return PredictionReader()


_ASYNC, _PREDICTIONS = AsyncChat(), Predictions()
WAYS = (
    Way("POST", "async/chat/completions", _ASYNC),
    Way("GET", "async/chat/completions/*", _ASYNC),
    Way("POST", "predictions", _PREDICTIONS),
    Way("GET", "predictions/*", _PREDICTIONS),
)
