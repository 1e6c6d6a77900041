"""What a wire format is to the simulator: which requests it answers, and how it writes answers, errors and headers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from proxy.simulator.answer import Answer, PrefixCache, answer
from proxy.simulator.asking import Ask, JsonObject
from proxy.simulator.events import Event
from proxy.simulator.wishes import Wishes
from proxy.simulator.words import Dice

Headers = list[tuple[str, str]]
Body = TypeVar("Body")

# Doors that stream beside doors that do not: the same comes out of both.
PLAIN_DOORS = {
    "converse-stream": "converse",
    "invoke-with-response-stream": "invoke",
    "streamGenerateContent": "generateContent",
}


class RefusedError(Exception):
    """The simulator answers a request with an error; without a message, with the usual one of its status."""

    def __init__(self, status: int, message: str | None = None, *, code: str | None = None, param: str | None = None):
        super().__init__(status)
        self.status = status
        self.message = message
        self.code = code
        self.param = param


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request: where it came, what it says and what it is answered with."""

    method: str
    path: str
    query: str
    door: str  # what is asked for: the last part of the path
    model: str  # of the path, where it names one
    sent: bytes
    wishes: Wishes
    dice: Dice
    cache: PrefixCache

    def read(self, kind: type[Body]) -> Body:
        """Read the body; raises :class:`RefusedError` where it is none of this kind."""
        try:
            return msgspec.json.decode(self.sent, type=kind)
        except msgspec.ValidationError as problem:
            raise RefusedError(400, f"Invalid request body: {problem}") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            message = "We could not parse the JSON body of your request. (It was not valid JSON.)"
            raise RefusedError(400, message) from None

    def answer(self, ask: Ask) -> Answer:
        """Decide what comes back."""
        cached = self.cache.read(ask.model, ask.prompt, ask.input_tokens) if ask.caches else 0
        return answer(ask, self.wishes, self.dice, cached_tokens=cached)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A reply in one piece."""

    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """A reply in events; ``failure`` is what comes instead of the rest of them where a provider breaks down."""

    events: Iterator[Event]
    failure: tuple[Event, ...]
    content_type: str = "text/event-stream; charset=utf-8"

    @property
    def is_text(self) -> bool:
        """Whether it consists of lines."""
        return not self.content_type.startswith("application/vnd.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How one provider speaks."""

    path: re.Pattern[str]  # of the requests it answers, with the groups ``door`` and, maybe, ``model``
    reply: Callable[[Request], Whole | Stream]  # raises RefusedError
    refusal: Callable[[RefusedError], JsonObject]
    headers: Callable[[int, Dice], Headers]  # by the status; beside those that every reply has
    write: Callable[[JsonObject], bytes] = msgspec.json.encode
