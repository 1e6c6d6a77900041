"""OpenAI chat completions, also as spoken by the many compatible providers.

Plain: ``usage`` beside ``choices``. Streamed: in whichever chunk a provider states it (an extra one
with no choices, the last one with choices, every one cumulatively); for each field the last value
that is not null holds. Groq states it under ``x_groq``; llama.cpp gives ``timings`` unasked; Moonshot, unasked,
states it inside the choice that ends. A few servers send the chunks as an array, or one to a line and no events.
"""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.wire.canon import CHAT, at, error_code, label
from proxy.wire.lenient import REFUSED, Lenient, loads
from proxy.wire.openai import OpenAISurface, prepare
from proxy.wire.openai_strip import UsageStripper, is_chunk
from proxy.wire.reply import Reply, Text
from proxy.wire.surface import Headers, Way


class _Said(msgspec.Struct, gc=False):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    refusal: Any = None
    tool_calls: Any = None
    function_call: Any = None
    audio: Any = None


class _Choice(msgspec.Struct, gc=False):
    delta: _Said | None = None
    message: _Said | None = None
    text: Any = None  # legacy completions
    finish_reason: Any = None
    index: int | None = None
    usage: Any = None  # Moonshot


class _Sparse(msgspec.Struct, gc=False):
    id: Any = None
    model: Any = None
    usage: Any = None
    x_groq: Any = None
    timings: Any = None
    service_tier: Any = None
    error: Any = None


class _Chunk(_Sparse, gc=False):
    choices: list[_Choice] | None = None


_CHUNK: Lenient[_Sparse] = Lenient(_Chunk, _Sparse)
_decode = _CHUNK.quick.decode


class ChatReader(Reply):
    """Reads chat completions and legacy completions, streamed or not."""

    places = CHAT
    members = frozenset({b"id", b"model", b"usage", b"x_groq", b"timings", b"service_tier", b"error"})

    def __init__(self) -> None:
        super().__init__()
        self._open: set[int | None] = set()  # indexes of choices that began
        self._ended: set[int | None] = set()  # and of those that gave their finish reason
        self._timings: object = None
        self._in_choice: object = None  # usage that a choice states, of the last that does
        self._in_choices: set[int | None] = set()

    def event(self, data: bytes) -> None:
        """Read one chunk."""
        try:
            chunk = _decode(data)
        except REFUSED:
            if data.startswith(b"[DONE]"):
                self.finished = True
                return
            lenient = _CHUNK.decode(data)
            if lenient is None:
                self.flags["event.malformed"] = None
                return
            chunk = lenient
        tier = chunk.service_tier
        if (
            self.response_id is None
            or chunk.usage is not None
            or (tier is not None and tier != self.service_tier)
            or chunk.x_groq is not None
            or chunk.timings is not None
            or chunk.error is not None
            or self.model is None
        ):
            self._about(chunk)
        if chunk.__class__ is _Chunk and chunk.choices:
            for choice in chunk.choices:
                said = choice.delta
                piece = choice.text if said is None else said.content
                if piece and piece.__class__ is str:
                    self.started = True
                    self.text.add(piece)
                elif said := said or choice.message:
                    self._rarely(said)
                if choice.finish_reason is not None:
                    self._ended.add(choice.index)
                    if choice.usage is not None:
                        self._choice_states(choice)
                elif choice.index not in self._open:
                    self._open.add(choice.index)

    def document(self, body: bytes) -> bool:
        """Read a plain reply."""
        reply = _CHUNK.decode(body)
        if reply is None:
            return self.array(body)
        self._whole_reply(reply)
        return True

    def array(self, body: bytes) -> bool:
        """Read chunks that come as an array; Google's servers wrap an error so."""
        tree = loads(body)
        if not isinstance(tree, list):
            return False
        for each in tree:
            chunk = _CHUNK.convert(each)
            if chunk is not None:
                self._whole_reply(chunk)
        return True

    def one_of_many(self, value: bytes) -> bool:
        """Tell a chunk from a whole reply."""
        return is_chunk(value)

    def parts(self, found: dict[str, object]) -> None:
        """Read the members of a reply that could not be read whole."""
        self._about(_Sparse(**found))

    def ended(self) -> None:
        """Take a choice's usage or llama.cpp's timings where nothing else is stated, and tell a complete stream."""
        if not self.statement.stated and self._in_choice is not None:
            if len(self._in_choices) == 1:
                self.statement.add(self._in_choice)
            else:
                self.flags["usage.in_several_choices"] = None  # whether they add up is not known
        if not self.statement.stated and self._timings is not None:
            self.statement.add(_from_timings(self._timings))
            self.flags["usage.from_timings"] = None
        # Some providers never send [DONE]: a stream all of whose choices gave their reason is complete.
        if self._ended and self._open <= self._ended and self.error is None:
            self.finished = True

    def _whole_reply(self, reply: _Sparse) -> None:
        self._about(reply)
        if isinstance(reply, _Chunk):
            for choice in reply.choices or ():
                said = choice.message or choice.delta
                if said is not None:
                    _collect(said, self.text)
                elif isinstance(choice.text, str):
                    self.text.add(choice.text)
                if choice.usage is not None:
                    self._choice_states(choice)

    def _choice_states(self, choice: _Choice) -> None:
        if isinstance(choice.usage, dict):
            self._in_choice = choice.usage
            self._in_choices.add(choice.index)

    def _about(self, chunk: _Sparse) -> None:
        if self.model is None:
            self.model = label(chunk.model)
        if self.response_id is None:
            self.response_id = label(chunk.id)
        if chunk.usage is not None:
            self.statement.add(chunk.usage)
        if chunk.x_groq is not None:
            self.statement.add(at(chunk.x_groq, ("usage",)))
        if chunk.timings is not None:
            self._timings = chunk.timings
        if chunk.service_tier is not None:
            self.service_tier = label(chunk.service_tier) or self.service_tier
        if chunk.error is not None:
            self.error = error_code(chunk.error) or self.error

    def _rarely(self, said: _Said) -> None:
        before = self.text.characters
        _collect(said, self.text)
        if self.text.characters > before or said.audio is not None:
            self.started = True


def _collect(said: _Said, text: Text) -> None:
    for value in (said.content, said.refusal):
        _add(value, text)
    _add(said.reasoning_content if said.reasoning_content else said.reasoning, text)
    if said.function_call is not None:
        _add_call(said.function_call, text)
    if isinstance(said.tool_calls, list):
        for call in said.tool_calls:
            _add_call(at(call, ("function",)), text)


def _add(value: object, text: Text, depth: int = 0) -> None:
    if isinstance(value, str):
        text.add(value)
    elif isinstance(value, list) and depth < 4:  # Mistral: a list of text and thinking parts
        for part in value:
            for name in ("text", "thinking"):
                _add(at(part, (name,)), text, depth + 1)


def _add_call(function: object, text: Text) -> None:
    for name in ("name", "arguments"):
        value = at(function, (name,))
        if isinstance(value, str):
            text.add(value)


def _from_timings(timings: object) -> dict[str, object] | None:
    """Give llama.cpp's timings as a usage object: evaluated plus cached tokens are the prompt."""
    evaluated, cached, written = (at(timings, (name,)) for name in ("prompt_n", "cache_n", "predicted_n"))
    if type(evaluated) is not int:
        return None
    usage: dict[str, object] = {"prompt_tokens": evaluated, "completion_tokens": written}
    if type(cached) is int:
        usage["prompt_tokens"] = evaluated + cached
        usage["prompt_tokens_details"] = {"cached_tokens": cached}
    return usage


class Chat(OpenAISurface):
    """POST /v1/chat/completions."""

    name = "openai.chat"

    def prepare(self, body: bytes, *, model: str | None, ask_for_usage: bool) -> bytes:
        """Give the bytes to send; a stream has usage only where it is asked for."""
        return prepare(body, model=model, ask_for_usage=ask_for_usage)

    def reader(self, headers: Headers = (), status: int = 200) -> ChatReader:
        """Make the reader for one reply; its first bytes say what it is."""
        return ChatReader()

    def stripper(self) -> UsageStripper:
        """Make the stripper for a stream prepared with ``ask_for_usage``."""
        return UsageStripper()


WAYS = (Way("POST", "chat/completions", Chat()),)
