"""A reply as it leaves the model: one body, or a stream of events each with the wait before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import msgspec

from proxy.simulator.asking import JsonObject
from proxy.simulator.words import ALPHABET, Dice

Wait = Literal["none", "first", "token"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a stream, ready to be sent."""

    data: bytes  # with what closes it
    wait: Wait = "none"


def event(value: JsonObject, *, wait: Wait = "none", name: str | None = None) -> Event:
    """Write one event: compact JSON on a single data line."""
    head = b"" if name is None else b"event: " + name.encode() + b"\n"
    return Event(data=head + b"data: " + msgspec.json.encode(value) + b"\n\n", wait=wait)


DONE = Event(data=b"data: [DONE]\n\n")


def body(value: JsonObject) -> bytes:
    """Write a whole reply as OpenAI does: indented by two, with a newline at the end."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n"


def obfuscation(dice: Dice, text: str) -> str:
    """Pad a chunk so that its size says nothing about its text."""
    return "".join(dice.choices(ALPHABET, k=max(0, 16 - len(text)) or dice.randint(0, 15)))


def broken_off(events: Iterator[Event], after: int, ending: Iterable[Event]) -> Iterator[Event]:
    """Give ``after`` events, then the ending instead of the rest."""
    for _, one in zip(range(after), events, strict=False):
        yield one
    yield from ending
