"""IBM watsonx.ai: text generation with its counts in ``results``, chat shaped like OpenAI's, embeddings and reranking.

A stream of generation states the input once (later events say 0) and the output cumulatively.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import msgspec

from proxy.wire.canon import CHAT, at, error_code, label
from proxy.wire.lenient import REFUSED, Lenient
from proxy.wire.members import spans
from proxy.wire.openai import OpenAISurface
from proxy.wire.reply import Reply
from proxy.wire.surface import Asked, Headers, Way
from proxy.wire.texts import prompt, strings

_PLACES = replace(
    CHAT,
    input_tokens=(("prompt_tokens",), ("input_token_count",)),
    output_tokens=(("completion_tokens",), ("generated_token_count",)),
)
_COUNTS = ("input_token_count", "generated_token_count")
_DEPLOYMENT = re.compile(r"/deployments/([^/]+)/text/")
_PROMPT = (
    ("input",),
    ("inputs",),
    ("query",),
    ("inputs", "text"),
    ("messages", "content"),
    ("messages", "content", "text"),
)


class _Part(msgspec.Struct, gc=False):
    id: Any = None
    model_id: Any = None
    model: Any = None
    results: Any = None  # generation
    choices: Any = None  # chat
    usage: Any = None
    input_token_count: Any = None  # embeddings, reranking
    errors: Any = None
    error: Any = None


_PART = Lenient(_Part, _Part)
_decode = _PART.quick.decode


class WatsonxReader(Reply):
    """Reads a plain reply or the events of a stream."""

    places = _PLACES
    members = frozenset({b"id", b"model_id", b"model", b"usage", b"input_token_count", b"errors"})

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, object] = {}
        self._streamed = False

    def event(self, data: bytes) -> None:
        """Read one event."""
        self._streamed = True
        try:
            part = _decode(data)
        except REFUSED:
            if data.startswith(b"[DONE]"):
                self.finished = True
                return
            lenient = _PART.decode(data)
            if lenient is None:
                self.flags["event.malformed"] = None
                return
            part = lenient
        before = self.text.characters
        self._about(part, "delta")
        if self.text.characters > before:
            self.started = True
        for reason in strings(part.results, ("stop_reason",)):
            self.finished = reason.lower() != "not_finished"
        if part.usage is not None:
            self.finished = True

    def document(self, body: bytes) -> bool:
        """Read a plain reply."""
        part = _PART.decode(body)
        if part is None:
            return self.array(body)
        self._about(part, "message")
        return True

    def parts(self, found: dict[str, object]) -> None:
        """Read the members of a reply that could not be read whole."""
        self._about(_Part(**found), "message")

    def ended(self) -> None:
        """State what the results said; an input of 0 in all events of a stream was left out of each."""
        if self._streamed and self._counts.get("input_token_count") == 0:
            del self._counts["input_token_count"]
        self.statement.add(self._counts)

    def _about(self, part: _Part, said: str) -> None:
        self.model = label(part.model_id) or label(part.model) or self.model
        self.response_id = self.response_id or label(part.id)
        self.statement.add(part.usage)
        if part.input_token_count is not None:
            self.statement.add({"input_token_count": part.input_token_count})
        if isinstance(part.results, list):
            for name in _COUNTS:
                self._count(name, part.results)
        if isinstance(part.errors, list) and part.errors:
            self.error = error_code(part.errors[0])
        elif part.error is not None:
            self.error = error_code(part.error)
        for tree, path in (
            (part.results, ("generated_text",)),
            (part.choices, (said, "content")),
            (part.choices, (said, "reasoning_content")),
            (part.choices, (said, "tool_calls", "function", "arguments")),
        ):
            if tree is not None:
                for piece in strings(tree, path):
                    self.text.add(piece)

    def _count(self, name: str, results: list[object]) -> None:
        """Take the counts of one event's results together, the largest of all events."""
        counts = [count for count in (at(each, (name,)) for each in results) if count is not None]
        odd = [count for count in counts if type(count) is not int or count < 0]
        if odd:
            self._counts[name] = odd[0]  # to be flagged
            return
        total = sum(count for count in counts if type(count) is int)
        known = self._counts.get(name)
        if counts and (known is None or (type(known) is int and total > known)):
            self._counts[name] = total


class _Request(msgspec.Struct, gc=False):
    model_id: Any = None
    parameters: Any = None


_REQUEST = Lenient(_Request, _Request)


class Text(OpenAISurface):
    """POST /ml/v1/text/{generation,chat,embeddings,rerank}, the first two also streamed and of a deployment."""

    name = "watsonx.text"

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request, whose model may be a deployment in the path."""
        asked = super().asked(body, path)
        request = _REQUEST.decode(body) or _Request()
        deployment = _DEPLOYMENT.search(path)
        limit = at(request.parameters, ("max_new_tokens",))
        return msgspec.structs.replace(
            asked,
            model=label(request.model_id) or (label(unquote(deployment[1])) if deployment is not None else None),
            stream=path.partition("?")[0].rstrip("/").endswith("_stream"),
            output_limit=limit if type(limit) is int and limit >= 0 else asked.output_limit,
        )

    def prepare(self, body: bytes, *, model: str | None, ask_for_usage: bool) -> bytes:
        """Give ``body`` with the name of its model replaced, every other byte as it was."""
        span = (spans(body) or {}).get(b"model_id") if model is not None else None
        return body if span is None else body[: span[0]] + msgspec.json.encode(model) + body[span[1] :]

    def reader(self, headers: Headers = (), status: int = 200) -> WatsonxReader:
        """Make the reader for one reply; its first bytes say what it is."""
        return WatsonxReader()

    def prompt_text(self, body: bytes) -> str:
        """Give the prompt's text."""
        return prompt(body, _PROMPT, (("tools",),))

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours in watsonx's shape."""
        return msgspec.json.encode({"errors": [{"code": code, "message": message}], "status_code": status})


_TEXT = Text()
_ACTIONS = ("generation", "generation_stream", "chat", "chat_stream", "embeddings", "rerank")
WAYS = tuple(Way("POST", f"text/{action}", _TEXT) for action in _ACTIONS)
