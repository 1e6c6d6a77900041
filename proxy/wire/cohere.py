"""Cohere's chat (v2 and v1) and the older generate: what the model read, beside the fewer tokens that are billed.

v2 streams server-sent events and states its usage in ``message-end``; v1 streams one JSON object per
line and states it in ``stream-end``. ``/v1/chat`` is a path of Writer's as well, whose replies are
shaped like OpenAI's: the members say which it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from proxy.wire.canon import Places, at, label, quantity
from proxy.wire.lenient import REFUSED, Lenient
from proxy.wire.openai import OpenAISurface
from proxy.wire.reply import Framing, Reply
from proxy.wire.surface import Headers, Way
from proxy.wire.texts import prompt, strings
from proxy.wire.values import Values

PLACES = Places(
    input_tokens=(
        ("tokens", "input_tokens"),
        ("billed_units", "input_tokens"),
        ("billed_units", "text_tokens"),
        ("token_count", "prompt_tokens"),  # v1 of 2023
        ("prompt_tokens",),  # Writer
    ),
    cached=(("cached_tokens",), ("prompt_tokens_details", "cached_tokens"), ("prompt_token_details", "cached_tokens")),
    cache_write=(),
    audio_input=(),
    image_input=(("billed_units", "image_tokens"),),
    output_tokens=(
        ("tokens", "output_tokens"),
        ("billed_units", "output_tokens"),
        ("token_count", "response_tokens"),
        ("completion_tokens",),
    ),
    reasoning=(
        ("completion_tokens_details", "reasoning_tokens"),
        ("completion_token_details", "reasoning_tokens"),  # Writer
    ),
    audio_output=(),
    image_output=(),
    total=(("token_count", "total_tokens"), ("total_tokens",)),
    units=(
        ("search_units", ("billed_units", "search_units")),
        ("classifications", ("billed_units", "classifications")),
        ("images", ("billed_units", "images")),
        ("pages", ("billed_units", "pages")),
    ),
)
_BILLED = {"billed_input_tokens": "input_tokens", "billed_output_tokens": "output_tokens"}
_FAILED = frozenset({"ERROR", "ERROR_TOXIC", "ERROR_LIMIT", "TIMEOUT"})
_SAID = (
    ("content", "text"),
    ("content", "thinking"),
    ("tool_plan",),
    ("tool_calls", "function", "name"),
    ("tool_calls", "function", "arguments"),
)
_SAID_BY_WRITER = (("content",), ("tool_calls", "function", "name"), ("tool_calls", "function", "arguments"))
_ENDS = ("message-end", "stream-end")
_PROMPT = (
    ("preamble",),
    ("chat_history", "message"),
    ("message",),
    ("prompt",),
    ("messages", "content"),
    ("messages", "content", "text"),
)


class _Part(msgspec.Struct, gc=False):
    type: Any = None  # v2
    event_type: Any = None  # v1
    delta: Any = None  # v2
    text: Any = None  # v1
    message: Any = None  # v2, plain; of an error its words
    generations: Any = None  # generate
    choices: Any = None  # Writer
    response: Any = None  # v1's stream-end
    usage: Any = None
    meta: Any = None
    id: Any = None
    response_id: Any = None
    generation_id: Any = None
    model: Any = None
    finish_reason: Any = None
    token_count: Any = None  # v1 of 2023
    object: Any = None  # Writer


_PART = Lenient(_Part, _Part)
_decode = _PART.quick.decode


class CohereReader(Reply):
    """Reads a plain reply, v2's events and v1's lines."""

    places = PLACES

    def framing(self, head: bytes) -> Framing | None:
        """Cut objects out of whatever begins with one: a plain reply is a stream of one."""
        return Values() if head[:1] == b"{" else super().framing(head)

    def event(self, data: bytes) -> None:
        """Read one event, one line, or the whole reply."""
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
        if part.usage is not None or part.meta is not None or part.token_count is not None:
            self._states(part)
        kind = part.type or part.event_type
        if isinstance(kind, str):
            self._streamed(part, kind)
        elif part.choices is not None:
            self._writers(part)
        else:
            self._plain(part)

    def _streamed(self, part: _Part, kind: str) -> None:
        before = self.text.characters
        if kind in _ENDS:
            self.finished = True
            ended = part.delta if part.response is None else part.response
            self._about(part)
            inner = _PART.convert(ended)
            if inner is not None:
                self._states(inner)
                self._about(inner)
        elif part.delta is not None:
            if kind == "message-start":
                self._about(part)
            said = at(part.delta, ("message",))
            for path in _SAID:
                self._add(said, path)
        elif part.text is not None:
            self._add(part.text, ())
        else:
            self._about(part)
        if self.text.characters > before:
            self.started = True

    def _plain(self, part: _Part) -> None:
        self.finished = True
        self._about(part)
        for path in _SAID:
            self._add(part.message, path)
        self._add(part.text, ())
        self._add(part.generations, ("text",))

    def _writers(self, part: _Part) -> None:
        """Read a reply or a chunk of Writer's; a chunk has everything twice, as a delta and as a message."""
        self._about(part)
        streamed = part.object == "chat.completion.chunk"
        before = self.text.characters
        for path in _SAID_BY_WRITER:
            self._add(part.choices, ("delta" if streamed else "message", *path))
        if streamed and self.text.characters > before:
            self.started = True
        if not streamed or part.usage is not None:
            self.finished = True

    def _about(self, part: _Part) -> None:
        self.response_id = self.response_id or label(part.response_id) or label(part.id) or label(part.generation_id)
        self.model = label(part.model) or self.model
        if isinstance(part.finish_reason, str) and part.finish_reason in _FAILED:
            self.error = part.finish_reason

    def _states(self, part: _Part) -> None:
        self.statement.add(part.usage)
        self.statement.add(part.meta)
        if part.token_count is not None:
            self.statement.add({"token_count": part.token_count})

    def units(self) -> dict[str, float]:
        """Give what is billed where that is said beside what was read."""
        return billed(self.statement.stated)

    def _add(self, tree: object, path: tuple[str, ...]) -> None:
        for piece in strings(tree, path):
            self.text.add(piece)


class Chat(OpenAISurface):
    """POST /v2/chat and /v1/chat."""

    name = "cohere.chat"

    def reader(self, headers: Headers = (), status: int = 200) -> CohereReader:
        """Make the reader for one reply; its first bytes say what it is."""
        return CohereReader()

    def prompt_text(self, body: bytes) -> str:
        """Give the prompt's text."""
        return prompt(body, _PROMPT, (("tools",), ("documents",)))

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours."""
        return error(message)


class Generate(Chat):
    """POST /v1/generate."""

    name = "cohere.generate"


def billed(stated: Mapping[str, object]) -> dict[str, float]:
    """Give the billed tokens of a statement that also has all that was read; without it, they are the tokens."""
    if stated.get("tokens") is None:
        return {}
    amounts = {unit: quantity(at(stated, ("billed_units", name))) for unit, name in _BILLED.items()}
    return {unit: amount for unit, amount in amounts.items() if amount is not None}


def error(message: str) -> bytes:
    """Give the body of an error of ours in Cohere's shape; its SDK goes by the status."""
    return msgspec.json.encode({"message": message})


_CHAT = Chat()
WAYS = (Way("POST", "v2/chat", _CHAT), Way("POST", "v1/chat", _CHAT), Way("POST", "v1/generate", Generate()))
