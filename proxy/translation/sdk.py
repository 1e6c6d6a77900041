"""LiteLLM's SDK, kept quiet: the one place that imports it.

Import this only after :func:`proxy.translation.surroundings.close_off`: at its import the SDK reads the environment,
fetches lists from the network unless told otherwise, and takes some five seconds.
"""

from __future__ import annotations

import logging
import struct
from base64 import b64encode
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import litellm

from proxy.translation.asking import Kind, Parameters

litellm.suppress_debug_info = True  # else it prints where a call fails
for _name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
    logging.getLogger(_name).disabled = True  # what it logs may hold words of a prompt

_CALLS: Final[dict[Kind, Callable[..., Awaitable[Any]]]] = {
    "chat": litellm.acompletion,
    "embeddings": litellm.aembedding,
    "responses": litellm.aresponses,
}
# Where its status for a failure is another than a gateway's.
_STATUS: Final = {"APIConnectionError": 502, "Timeout": 504}
_CODES: Final = {
    "AuthenticationError": "invalid_api_key",
    "ContentPolicyViolationError": "content_policy_violation",
    "ContextWindowExceededError": "context_length_exceeded",
    "NotFoundError": "model_not_found",
    "RateLimitError": "rate_limit_exceeded",
    "Timeout": "provider_timeout",
    "UnsupportedParamsError": "unsupported_parameter",
}
_PASSED_ON: Final = ("x-request-id", "request-id", "x-amzn-requestid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A provider's reply in OpenAI's shape: one JSON document, or a stream of server-sent events."""

    headers: dict[str, str]
    document: bytes = b""
    events: AsyncGenerator[bytes] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a call failed, as its client is told."""

    status: int
    code: str
    message: str
    headers: dict[str, str]


async def ask(kind: Kind, parameters: Parameters) -> Answer:
    """Make one call; raises whatever the SDK raises, for :func:`explain` to read."""
    base64 = parameters.pop("encoding_format", None) == "base64"  # few providers know it: it is written here
    if kind != "embeddings":
        parameters["_skip_mcp_handler"] = True  # tools go to the provider: this is no gateway to servers of tools
    reply = await _CALLS[kind](**parameters)
    said = (getattr(reply, "_hidden_params", None) or {}).get("additional_headers") or {}
    headers = {name: said[f"llm_provider-{name}"] for name in _PASSED_ON if f"llm_provider-{name}" in said}
    if parameters.get("stream"):
        return Answer(headers=headers, events=_events(kind, reply))
    if base64:
        for each in reply.data:
            each["embedding"] = b64encode(struct.pack(f"<{len(each['embedding'])}f", *each["embedding"])).decode()
    return Answer(headers=headers, document=_json(reply))


async def _events(kind: Kind, reply: Any) -> AsyncGenerator[bytes]:
    try:
        async for event in reply:
            if kind == "responses":
                yield b"event: %b\ndata: %b\n\n" % (str(event.type).encode(), _json(event))
                continue
            if getattr(event, "usage", None) is not None and all(map(_says_nothing, event.choices)):
                event.choices = []  # as OpenAI has it; the SDK does so since 1.109
            yield b"data: %b\n\n" % _json(event)
        if kind == "chat":
            yield b"data: [DONE]\n\n"
    finally:
        await reply.aclose()


def _says_nothing(choice: Any) -> bool:
    return choice.finish_reason is None and not choice.delta.content and not choice.delta.tool_calls


def _json(reply: Any) -> bytes:
    return reply.model_dump_json().encode()  # type: ignore[no-any-return]


def explain(error: Exception) -> Failure | None:
    """Read an exception; None where it is none of the SDK's."""
    kind, status = type(error).__name__, getattr(error, "status_code", None)
    if not isinstance(status, int):
        return None
    code = _CODES.get(kind, "provider_error")
    status = _STATUS.get(kind, status if 400 <= status <= 599 else 502)
    if code == "provider_error" and status >= 500 and any(isinstance(each, OSError) for each in _causes(error)):
        status, code = 502, "provider_unreachable"
    said = getattr(error, "litellm_response_headers", None) or {}
    return Failure(
        status=status,
        code=code,
        message=str(getattr(error, "message", "")).partition("\nTraceback (most recent call last):")[0],
        headers={name: said[name] for name in ("retry-after", *_PASSED_ON) if name in said},
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
