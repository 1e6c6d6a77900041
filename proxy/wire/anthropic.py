"""What Anthropic's formats share: where usage is stated, reading a request, and errors of ours.

The input is stated in three disjoint parts: read afresh, read from a cache, written to a cache.
Thinking is inside the output. Vertex names the model in the path instead of the body.

Source: the types of Anthropic's Python SDK 2.12 (usage, errors), November 2026.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire import openai
from proxy.wire.canon import Path, Places, at, label
from proxy.wire.google import model_in_path
from proxy.wire.lenient import Lenient
from proxy.wire.surface import Asked, Stripper
from proxy.wire.texts import prompt

_CACHE_READ: tuple[Path, ...] = (("cache_read_input_tokens",),)
_CACHE_WRITE: tuple[Path, ...] = (("cache_creation_input_tokens",),)
MESSAGES = Places(
    input_tokens=(("input_tokens",),),
    cached=_CACHE_READ,
    cache_write=_CACHE_WRITE,
    audio_input=(),
    image_input=(),
    output_tokens=(("output_tokens",),),
    reasoning=(("output_tokens_details", "thinking_tokens"),),
    audio_output=(),
    image_output=(),
    total=(),
    units=(
        ("cache_write_5m_tokens", ("cache_creation", "ephemeral_5m_input_tokens")),
        ("cache_write_1h_tokens", ("cache_creation", "ephemeral_1h_input_tokens")),
        ("cache_write_24h_tokens", ("cache_creation", "ephemeral_24h_input_tokens")),
        ("web_searches", ("server_tool_use", "web_search_requests")),
        ("web_fetches", ("server_tool_use", "web_fetch_requests")),
    ),
    beside_input=(_CACHE_READ, _CACHE_WRITE),
)

_ANYWHERE = frozenset({"global", "not_available"})

_PROMPT: tuple[Path, ...] = (
    ("system",),
    ("system", "text"),
    ("messages", "content"),
    ("messages", "content", "text"),
    ("messages", "content", "thinking"),
    ("messages", "content", "content"),
    ("messages", "content", "content", "text"),
    ("prompt",),
)
_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class _Request(msgspec.Struct):
    model: Any = None
    stream: Any = None
    max_tokens: Any = None
    max_tokens_to_sample: Any = None
    metadata: Any = None


_REQUEST = Lenient(_Request, _Request)


def asked(body: bytes, path: str = "") -> Asked:
    """Read a request; never raises, says in ``problem`` what was wrong."""
    request = _REQUEST.decode(body)
    if request is None:
        return msgspec.structs.replace(openai.asked(body), model=model_in_path(path))
    limit = request.max_tokens if request.max_tokens is not None else request.max_tokens_to_sample
    no_name = request.model is not None and not isinstance(request.model, str)
    return Asked(
        model=label(request.model) or model_in_path(path),
        stream=request.stream is True,
        output_limit=limit if type(limit) is int and limit >= 0 else None,
        user=label(at(request.metadata, ("user_id",))),
        problem="model is not a string" if no_name else None,
    )


def error(status: int, code: str, message: str) -> bytes:
    """Give the body of an error of ours in Anthropic's shape."""
    kind = _ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return msgspec.json.encode({"type": "error", "error": {"type": kind, "message": message, "code": code}})


def kept_in(stated: object) -> str | None:
    """Give the place that a call was kept in, which costs more; None where it may have run anywhere."""
    place = label(at(stated, ("inference_geo",)))
    return None if place in _ANYWHERE else place


class AnthropicSurface:
    """A format of Anthropic's: what its requests and errors share. Each adds its reader."""

    name: str
    metered = True

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request."""
        return asked(body, path)

    def prepare(self, body: bytes, *, model: str | None, ask_for_usage: bool) -> bytes:
        """Give the bytes to send: usage comes unasked, so only the model's name may change."""
        return openai.prepare(body, model=model, ask_for_usage=False)

    def stripper(self) -> Stripper | None:
        """Give None: nothing was added."""
        return None

    def prompt_text(self, body: bytes) -> str:
        """Give the prompt's text."""
        return prompt(body, _PROMPT, described=(("tools",),))

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours."""
        return error(status, code, message)
