"""What OpenAI's formats share on the request's side: reading it, preparing it, and errors of ours."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

import msgspec

from proxy.wire.canon import label
from proxy.wire.lenient import REFUSED, Lenient, loads
from proxy.wire.members import spans
from proxy.wire.surface import Asked, Stripper

ATTRIBUTE_CHARACTERS = 128
PAIRS_AT_MOST = 16
PROMPT_LIMIT = 4 * 1024 * 1024  # characters of a prompt that are given for counting

# Members that hold what a person or a tool said; the others (images, files, audio) are no text.
_TEXT_MEMBERS = frozenset(
    {"content", "text", "input_text", "arguments", "output", "name", "description", "refusal", "tool_calls", "function"}
)
_DEPLOYMENT = re.compile(r"/deployments/([^/?]+)/")
_AT_BYTE = re.compile(r"^JSON is malformed: (.*) \(byte (\d+)\)$")


class _Sparse(msgspec.Struct):
    model: Any = None
    models: Any = None  # OpenRouter's: what answers where the model does not
    stream: Any = None
    stream_options: Any = None
    max_tokens: Any = None
    max_completion_tokens: Any = None
    max_output_tokens: Any = None
    n: Any = None
    best_of: Any = None
    user: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None
    metadata: Any = None


_REQUEST = Lenient(_Sparse, _Sparse)


def asked(body: bytes, path: str = "") -> Asked:
    """Read a request; never raises, says in ``problem`` what was wrong.

    Azure's classic paths name the deployment, which stands for the model where the body names none.
    """
    try:
        request = _REQUEST.quick.decode(body)
    except REFUSED as refused:
        lenient = _REQUEST.decode(body)
        if lenient is None:
            return Asked(problem=_problem(body, refused))
        request = lenient
    problem = None
    if request.model is not None and not isinstance(request.model, str):
        problem = "model is not a string"
    options = request.stream_options
    return Asked(
        model=label(request.model) or deployment(path),
        others=tuple(filter(None, map(label, request.models))) if isinstance(request.models, list) else (),
        stream=request.stream is True,
        wants_usage=isinstance(options, dict) and options.get("include_usage") is True,
        output_limit=_output_limit(request),
        user=label(request.user) or label(request.safety_identifier),
        attributes=_attributes(request),
        problem=problem,
    )


def attributes(named: Mapping[str, object], **groups: object) -> dict[str, str]:
    """Give what a body says beside its prompt: single members, and groups of pairs as ``group.name``; all bounded."""
    found = {name: text for name, value in named.items() if (text := label(value, ATTRIBUTE_CHARACTERS)) is not None}
    for group, pairs in groups.items():
        for name, value in itertools.islice(pairs.items() if isinstance(pairs, dict) else (), PAIRS_AT_MOST):
            text = label(value, ATTRIBUTE_CHARACTERS)
            if text is not None:
                found[f"{group}.{label(name, 64)}"] = text
    return found


def prepare(body: bytes, *, model: str | None, ask_for_usage: bool) -> bytes:
    """Give ``body`` with its model's name replaced and usage asked for, every other byte as it was."""
    if model is None and not ask_for_usage:
        return body
    found = spans(body)
    if found is None:
        return body
    edits: list[tuple[int, int, bytes]] = []
    if model is not None and b"model" in found:
        edits.append((*found[b"model"], msgspec.json.encode(model)))
    if ask_for_usage:
        edit = _asking(body, found)
        if edit is not None:
            edits.append(edit)
    for start, end, value in sorted(edits, reverse=True):
        body = body[:start] + value + body[end:]
    return body


def error(status: int, code: str, message: str) -> bytes:
    """Give the body of an error of ours in OpenAI's shape."""
    kind = _ERROR_TYPES.get(status, "api_error" if status >= 500 else "invalid_request_error")
    return msgspec.json.encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def prompt_text(body: bytes) -> str:
    """Give the text of a prompt: messages, input, prompt, instructions and the tools' descriptions."""
    tree = loads(body)
    if not isinstance(tree, dict):
        return ""
    pieces: list[str] = []
    for name in ("messages", "input", "prompt", "instructions", "suffix"):
        pieces.extend(_texts(tree.get(name)))
    for name in ("tools", "functions"):
        if tree.get(name):
            pieces += [json.dumps(tree[name])]
    return "\n".join(pieces)[:PROMPT_LIMIT].encode("utf-8", "replace").decode()


class OpenAISurface:
    """A format of OpenAI's: what its requests and errors share. Each adds its reader."""

    name: str
    metered = True

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request."""
        return asked(body, path)

    def prepare(self, body: bytes, *, model: str | None, ask_for_usage: bool) -> bytes:
        """Give the bytes to send; where usage comes unasked, only the model's name may change."""
        return prepare(body, model=model, ask_for_usage=False)

    def stripper(self) -> Stripper | None:
        """Give None: nothing was added."""
        return None

    def prompt_text(self, body: bytes) -> str | None:
        """Give the prompt's text."""
        return prompt_text(body)

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours."""
        return error(status, code, message)


_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
}


def deployment(path: str) -> str | None:
    """Give the deployment that an Azure path names."""
    match = _DEPLOYMENT.search(path)
    return label(unquote(match[1])) if match is not None else None


def _problem(body: bytes, refused: Exception) -> str:
    if not body.strip():
        return "the body is empty"
    if isinstance(refused, msgspec.ValidationError):
        return "the body is not a JSON object"
    if isinstance(refused, UnicodeDecodeError):
        return "the body is not UTF-8"
    if isinstance(refused, RecursionError):
        return "the body is nested too deeply"
    match = _AT_BYTE.match(str(refused))
    if match is None:
        return f"malformed JSON: it ends early, at byte {len(body)}"
    return f"malformed JSON at byte {match[2]}: {match[1]}"


def _attributes(request: _Sparse) -> dict[str, str]:
    if request.metadata is None and request.safety_identifier is None and request.prompt_cache_key is None:
        return {}
    named = {"safety_identifier": request.safety_identifier, "prompt_cache_key": request.prompt_cache_key}
    return attributes(named, metadata=request.metadata)


def _output_limit(request: _Sparse) -> int | None:
    limits = [
        limit
        for limit in (request.max_tokens, request.max_completion_tokens, request.max_output_tokens)
        if type(limit) is int and limit >= 0
    ]
    choices = max((n for n in (request.n, request.best_of) if type(n) is int and n > 0), default=1)
    return min(limits) * choices if limits else None


def _asking(body: bytes, found: dict[bytes, tuple[int, int]]) -> tuple[int, int, bytes] | None:
    """Give the one edit (start, end, bytes) after which ``stream_options.include_usage`` is true."""
    if b"stream_options" not in found:
        return _insertion(body, 0, len(body), b'"stream_options":{"include_usage":true}', empty=not found)
    start, end = found[b"stream_options"]
    options = body[start:end]
    if options == b"null":
        return start, end, b'{"include_usage":true}'
    within = spans(options)
    if within is None:
        return None  # no object: the provider will say what is wrong with it
    if b"include_usage" in within:
        first, last = within[b"include_usage"]
        return start + first, start + last, b"true"
    return _insertion(body, start, end, b'"include_usage":true', empty=not within)


def _insertion(body: bytes, start: int, end: int, member: bytes, *, empty: bool) -> tuple[int, int, bytes]:
    """Give the edit that puts ``member`` last into the object that ends at or before ``end``."""
    at = body.rindex(b"}", start, end)
    return at, at, member if empty else b"," + member


def _texts(value: object, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif depth > 16:
        return
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, depth + 1)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in _TEXT_MEMBERS:
                yield from _texts(item, depth + 1)
