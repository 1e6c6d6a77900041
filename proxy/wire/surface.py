"""What a wire format must be able to do; the gate knows formats only through these types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import msgspec

from estimator.usage import Usage, UsageLine

Headers = Sequence[tuple[bytes, bytes]]  # names in lower case


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a request asks for, read from a copy of its body."""

    model: str | None = None
    others: tuple[str, ...] = ()  # models that may answer in its place
    stream: bool = False
    wants_usage: bool = False  # the client itself asked for the usage chunk of a stream
    output_limit: int | None = None  # tokens the reply may have at most, all choices together
    user: str | None = None
    attributes: dict[str, str] = {}  # what else the body says about who asks and what for
    units: dict[str, float] = {}  # billed things that only the request states: images, characters, …
    problem: str | None = None  # why the body could not be read: "malformed JSON at byte 12", …


@dataclass(slots=True, kw_only=True)
class Reading:
    """What a reply said about itself, complete or as far as it came."""

    usage: Usage | None = None
    lines: tuple[UsageLine, ...] = ()  # what was consumed beside ``usage`` and is in none of its counts
    counted_as: str | None = None  # the name under which this usage counts once, however often it is shown
    calls: int = 1  # whose sum ``usage`` is
    pending: bool = False  # the usage is still to come, in another reply
    model: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    region: str | None = None  # where the provider says that it kept the call, at a price of its own
    error: str | None = None  # code or type of an error inside the reply, also inside a 200
    finished: bool = False  # the reply's own end was seen (last event, closing brace)
    flags: tuple[str, ...] = ()  # oddities: "usage.total_mismatch", "usage.cached_over_input", …
    text: str = ""  # generated text, bounded, for counting where no usage came
    text_characters: int = 0  # of all generated text, also beyond the bound


class UsageReader(Protocol):
    """Reads a reply's copy, in pieces of any size. Never raises, memory bounded."""

    started: bool  # a first piece of generated content was seen
    finished: bool  # the reply's own end was seen

    def feed(self, data: bytes) -> None:
        """Take the next decoded bytes of the body."""

    def close(self) -> Reading:
        """Say what was read; called once, at the end or wherever the reply broke off."""


class Stripper(Protocol):
    """Takes out of a stream exactly what asking for usage added to it."""

    @property
    def idle(self) -> bool:
        """Whether nothing is to be taken out from here on."""

    def feed(self, data: bytes) -> bytes:
        """Take decoded bytes, give back what the client may see now."""

    def close(self) -> bytes:
        """Give back what was held at the end of the stream."""


class Surface(Protocol):
    """One wire format."""

    name: str
    metered: bool  # a reply of this format is expected to state its usage; False: it may, and is else just a call

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request, whose model may stand in the path; never raises, says in ``problem`` what is wrong."""

    def prepare(self, body: bytes, *, model: str | None, ask_for_usage: bool) -> bytes:
        """Give the bytes to send: ``body`` itself but for a replaced model name and the asking for usage."""

    def reader(self, headers: Headers = (), status: int = 200) -> UsageReader:
        """Make the reader for one reply; its first bytes say what it is, its head at most what it cost."""

    def stripper(self) -> Stripper | None:
        """Make the stripper for a stream prepared with ``ask_for_usage``; None: nothing to take out."""

    def prompt_text(self, body: bytes) -> str | None:
        """Give the prompt's text, for counting where no usage came; None where a count of text would say nothing."""

    def error(self, status: int, code: str, message: str) -> bytes:
        """Give the body of an error of ours in this format's own shape."""


class Way(NamedTuple):
    """Requests that speak a format: their method and the ending of their path.

    ``*`` stands for any one segment; an action behind a colon is a segment of its own ("models/*:generateContent").
    """

    method: str
    ending: str
    surface: Surface
