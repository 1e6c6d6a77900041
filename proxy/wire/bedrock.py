"""What Amazon Bedrock's formats share: the model in the path, event streams, exceptions, guardrails' units.

Source: AWS's service model of bedrock-runtime (botocore 1.44).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import msgspec

from proxy.wire import openai
from proxy.wire.canon import at, error_code, label, quantity
from proxy.wire.eventstream import EventStream, Message, is_event_stream
from proxy.wire.lenient import Lenient, loads
from proxy.wire.reply import Framing, Reply
from proxy.wire.surface import Asked, Headers, Stripper

_ACTION = re.compile(r"[a-z-]+")
_ERRORS = {
    400: "ValidationException",
    401: "AccessDeniedException",
    402: "ServiceQuotaExceededException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    413: "ValidationException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
# What a guardrail bills, by Amazon's name; word filters and patterns of one's own are free.
GUARDRAIL_UNITS = {
    "topicPolicyUnits": "guardrail_topic_units",
    "contentPolicyUnits": "guardrail_content_units",
    "contentPolicyImageUnits": "guardrail_image_units",
    "sensitiveInformationPolicyUnits": "guardrail_sensitive_information_units",
    "contextualGroundingPolicyUnits": "guardrail_grounding_units",
    "automatedReasoningPolicyUnits": "guardrail_reasoning_units",
}


class BedrockReply(Reply):
    """A reply of Bedrock's: a JSON document or an event stream, in which exceptions are messages of their own."""

    def __init__(self, headers: Headers = (), status: int = 200) -> None:
        super().__init__()
        self._stream: EventStream | None = None
        self._status = status
        for name, value in headers:
            if name == b"x-amzn-errortype":
                self.error = _exception(value.decode("latin-1"))
            elif name == b"x-amzn-bedrock-service-tier":
                self.service_tier = label(value.decode("latin-1"))

    def framing(self, head: bytes) -> Framing | None:
        """Take an event stream by its first byte."""
        self._stream = EventStream() if is_event_stream(head) else None
        return self._stream

    def undecided(self, head: bytes) -> bool:
        """Tell that the first byte decides."""
        return not head

    def event(self, data: bytes) -> None:
        """Read one message."""
        headers = data.headers if isinstance(data, Message) else {}
        if headers.get(":message-type") in ("exception", "error"):
            self.error = _exception(headers.get(":exception-type") or headers.get(":error-code") or "error")
        else:
            self.said(data)

    def said(self, data: bytes) -> None:
        """Read the payload of a message that is no exception."""

    def refused(self, body: bytes) -> None:
        """Read the body of an error whose head did not name it."""
        if self._status >= 400 and self.error is None:
            named = at(loads(body), ("__type",))
            self.error = _exception(named) if isinstance(named, str) else None

    def ended(self) -> None:
        """Say where an event stream could not be followed to its end."""
        if self._stream is not None and self._stream.broken:
            self.flags["event.broken"] = None


class _Request(msgspec.Struct, rename="camel"):
    inference_config: Any = None  # Converse, Nova
    text_generation_config: Any = None  # Titan
    max_gen_len: Any = msgspec.field(default=None, name="max_gen_len")  # Llama
    max_tokens_to_sample: Any = msgspec.field(default=None, name="max_tokens_to_sample")  # Claude 2
    max_tokens: Any = None  # Jurassic, which spells it maxTokens; max_tokens is read with what all requests have
    metadata: Any = None  # Anthropic
    request_metadata: Any = None  # Converse


_REQUEST = Lenient(_Request, _Request)


def asked(body: bytes, path: str) -> Asked:
    """Read a request: its model and whether it streams from the path; an ARN stays whole."""
    path = path.partition("?")[0].rstrip("/")
    above, _, action = path.rpartition("/")
    model = above.partition("/model/")[2] if _ACTION.fullmatch(action) else ""
    read = openai.asked(body)
    request = _REQUEST.decode(body) or _Request()
    return Asked(
        model=label(unquote(model)),
        stream=path.endswith("-stream"),
        output_limit=_output_limit(request) if read.output_limit is None else read.output_limit,
        user=label(at(request.metadata, ("user_id",))) or read.user,
        attributes=read.attributes | openai.attributes({}, metadata=request.request_metadata),
        problem=read.problem,
    )


def _output_limit(request: _Request) -> int | None:
    for limit in (
        at(request.inference_config, ("maxTokens",)),
        at(request.inference_config, ("max_new_tokens",)),
        at(request.text_generation_config, ("maxTokenCount",)),
        request.max_gen_len,
        request.max_tokens_to_sample,
        request.max_tokens,
    ):
        if type(limit) is int and limit >= 0:
            return limit
    return None


def error(status: int, message: str) -> bytes:
    """Give the body of an error of ours; AWS's SDKs take the exception's name from it where no header says it."""
    kind = _ERRORS.get(status, "InternalServerException" if status >= 500 else "ValidationException")
    return msgspec.json.encode({"__type": kind, "message": message})


class BedrockSurface:
    """A format of Bedrock's: what its requests and errors share. Each adds its reader and the places of its prompt."""

    name: str
    metered = True

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request."""
        return asked(body, path)

    def prepare(self, body: bytes, *, model: str | None, ask_for_usage: bool) -> bytes:
        """Give ``body`` itself: the model stands in the path, usage comes unasked."""
        return body

    def stripper(self) -> Stripper | None:
        """Give None: nothing was added."""
        return None

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours."""
        return error(status, message)


def guardrail_units(trace: object) -> dict[str, float]:
    """Give what guardrails bill, added up over those of input and output; known only where a trace was asked for."""
    found: dict[str, float] = {}
    for assessment in _assessments(trace):
        usage = at(assessment, ("invocationMetrics", "usage"))
        for name, unit in GUARDRAIL_UNITS.items():
            amount = quantity(at(usage, (name,)))
            if amount:
                found[unit] = found.get(unit, 0) + amount
    return found


def _assessments(trace: object) -> Iterator[object]:
    """Give the assessments under Converse's names and under InvokeModel's, which key each by its guardrail."""
    for name in ("inputAssessment", "outputAssessments", "input", "outputs"):
        held = at(trace, ("guardrail", name))
        for by_guardrail in held if isinstance(held, list) else (held,):
            if isinstance(by_guardrail, dict):
                for each in by_guardrail.values():
                    yield from each if isinstance(each, list) else (each,)


def _exception(name: str) -> str:
    """Give the bare name out of "ns#ThrottlingException:http://…"."""
    return error_code(name.rpartition("#")[2].partition(":")[0]) or "error"
