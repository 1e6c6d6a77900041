"""OpenAI's work that is asked for and looked at later: batches, the runs of assistants, and fine-tuning.

Every look states the usage again once it is known, so it counts once per id. A batch's usage lies on the batch itself;
the files it writes repeat it line by line and are not read. The steps of a run add up to the run and are not read.
A fine-tuning says how many tokens it trained on, which are no call's input or output.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire.canon import COUNT_LIMIT, at, error_code, label, quantity
from proxy.wire.lenient import Lenient
from proxy.wire.openai_media import MEDIA
from proxy.wire.other import Other
from proxy.wire.reply import ObjectReply
from proxy.wire.surface import Headers, Way


class _Job(msgspec.Struct, gc=False):
    id: Any = None
    object: Any = None
    model: Any = None
    status: Any = None
    request_counts: Any = None
    usage: Any = None
    trained_tokens: Any = None
    last_error: Any = None
    error: Any = None


_JOB = Lenient(_Job, _Job)
_OBJECTS = ("batch", "thread.run")


class JobReader(ObjectReply[_Job]):
    """Reads a batch or a run, whole or as the events of a streamed run."""

    shape = _JOB
    places = MEDIA
    members = frozenset({b"id", b"object", b"model", b"status", b"request_counts", b"usage", b"last_error", b"error"})

    def event(self, data: bytes) -> None:
        """Read one event; those of the steps and messages of a run state nothing of their own."""
        job = _JOB.decode(data)
        if job is None:
            self.finished = self.finished or data.startswith(b"[DONE]")
        else:
            self.about(job)

    def about(self, job: _Job) -> None:
        """Read the members."""
        if job.object not in _OBJECTS:
            if job.error is not None:
                self.error = error_code(job.error)
            return
        self.response_id = label(job.id)
        self.model = label(job.model)
        self.statement.add(job.usage)
        # A batch not yet done says zero.
        if at(job.usage, ("total_tokens",)):
            self.counted_as = self.response_id
        if job.object == "batch":
            self.service_tier = "batch"  # half the price, whatever else is said
            completed = at(job.request_counts, ("completed",))
            self.calls = completed if type(completed) is int and 0 < completed <= COUNT_LIMIT else 1

    def ended(self) -> None:
        """Say that the usage is still to come."""
        if self.counted_as is None:
            self.pending = self.response_id is not None
            self.statement.clear()


class TrainingReader(ObjectReply[_Job]):
    """Reads a fine-tuning as it stands."""

    shape = _JOB
    places = MEDIA
    members = JobReader.members | {b"trained_tokens"}

    def __init__(self) -> None:
        super().__init__()
        self._trained: float | None = None

    def units(self) -> dict[str, float]:
        """Give the tokens it trained on."""
        return {"trained_tokens": self._trained} if self._trained else {}

    def ended(self) -> None:
        """Count under the job's name, or say that the count is still to come."""
        if self._trained:
            self.counted_as = self.response_id
        else:
            self.pending = self.response_id is not None

    def about(self, job: _Job) -> None:
        """Read the members."""
        if job.object == "fine_tuning.job":
            self.response_id = label(job.id)
            self.model = label(job.model)
            self._trained = quantity(job.trained_tokens)
        elif job.error is not None:
            self.error = error_code(job.error)


class Batches(Other):
    """POST /v1/batches, GET /v1/batches/{id}, POST /v1/batches/{id}/cancel."""

    name = "openai.batches"

    def reader(self, headers: Headers = (), status: int = 200) -> JobReader:
        """Make the reader for one reply."""
        return JobReader()


class Runs(Batches):
    """A run of an assistant: begun, streamed or looked at."""

    name = "openai.runs"


class FineTuning(Other):
    """POST /v1/fine_tuning/jobs, GET /v1/fine_tuning/jobs/{id}, POST /v1/fine_tuning/jobs/{id}/cancel."""

    name = "openai.fine_tuning"

    def reader(self, headers: Headers = (), status: int = 200) -> TrainingReader:
        """Make the reader for one reply."""
        return TrainingReader()


class Moderations(Other):
    """POST /v1/moderations: free of charge."""

    name = "openai.moderations"


_BATCHES, _RUNS, _TRAINING = Batches(), Runs(), FineTuning()
WAYS = (
    Way("POST", "batches", _BATCHES),
    Way("GET", "batches/*", _BATCHES),
    Way("POST", "batches/*/cancel", _BATCHES),
    Way("POST", "threads/runs", _RUNS),
    Way("POST", "threads/*/runs", _RUNS),
    Way("GET", "threads/*/runs/*", _RUNS),
    Way("POST", "threads/*/runs/*/submit_tool_outputs", _RUNS),
    Way("POST", "threads/*/runs/*/cancel", _RUNS),
    Way("POST", "fine_tuning/jobs", _TRAINING),
    Way("GET", "fine_tuning/jobs/*", _TRAINING),
    Way("POST", "fine_tuning/jobs/*/cancel", _TRAINING),
    Way("POST", "moderations", Moderations()),
)
