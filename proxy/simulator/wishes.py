"""What a client may ask of the simulator by header: slow starts, errors, broken streams, encodings.

``HEADERS`` is the one list of them; the command's help and the reference page are tested against it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast, get_args

Usage = Literal["absent", "always", "x_groq"]
Hang = Literal["before_head", "before_body"]

HEADERS: dict[str, tuple[str, str]] = {  # name: (value, what it does)
    "x-simulate-status": ("429", "answer with this error; 429,200 = first attempt, then each retry of the SDK"),
    "x-simulate-retry-after-ms": ("700", "what a 429 says in retry-after-ms (retry-after in whole seconds)"),
    "x-simulate-first-token-ms": ("250", "wait before the first token"),
    "x-simulate-token-ms": ("10", "wait before each further token"),
    "x-simulate-output-tokens": ("60", "length of the text of each choice, reasoning not counted"),
    "x-simulate-cut-after": ("5", "reset the connection after N stream events (N bytes of a plain reply)"),
    "x-simulate-error-after": ("5", "a 200 that turns into an error after N stream events"),
    "x-simulate-content-encoding": ("gzip", "gzip, br, zstd, deflate, deflate-raw, or several: gzip, br"),
    "x-simulate-splits": ("7", "write the same bytes in odd small pieces, chosen by this seed"),
    "x-simulate-newline": ("crlf", "end the lines of a stream with CR LF"),
    "x-simulate-usage": (
        "absent",
        "absent: report none; always: in every stream, in its last chunk; x_groq: likewise, where Groq puts it",
    ),
    "x-simulate-body-bytes": ("1000000", "make the reply at least this long"),
    "x-simulate-hang": ("before_head", "before_head or before_body: go silent there until the client leaves"),
}

_AWS_ATTEMPT = re.compile(r"attempt=(\d{1,3})\b")


class WishError(ValueError):
    """A header of the simulator has a value it does not understand."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The simulator's headers of one request; ``None`` is as usual."""

    statuses: tuple[int, ...] = ()  # one for each attempt, the last for all that follow
    retry_after_ms: int | None = None
    first_token_ms: float | None = None
    token_ms: float | None = None
    output_tokens: int | None = None
    cut_after: int | None = None
    error_after: int | None = None
    encodings: tuple[str, ...] = ()
    splits: int | None = None
    crlf: bool = False
    usage: Usage | None = None
    body_bytes: int | None = None
    hang: Hang | None = None
    attempt: int | None = None  # from 0, as the SDK counts; None: it does not

    @property
    def status(self) -> int:
        """Status of this attempt; 200 is an answer."""
        return self.statuses[min(self.attempt or 0, len(self.statuses) - 1)] if self.statuses else 200


def read_wishes(headers: Iterable[tuple[bytes, bytes]]) -> Wishes:
    """Read the headers; raises :class:`WishError` naming the one that cannot be understood."""
    given = {name.decode("latin-1"): value.decode("latin-1").strip() for name, value in headers}
    unknown = [name for name in given if name.startswith("x-simulate-") and name not in HEADERS]
    if unknown:
        raise WishError(f"unknown header {unknown[0]}; known: {', '.join(HEADERS)}")

    def whole(name: str, least: int = 0) -> int | None:
        if name not in given:
            return None
        try:
            value = int(given[name])
        except ValueError:
            value = least - 1
        if value < least:
            raise WishError(f"{name}: a whole number from {least} is needed, not {given[name]!r}")
        return value

    def milliseconds(name: str) -> float | None:
        if name not in given:
            return None
        try:
            value = float(given[name])
        except ValueError:
            value = -1.0
        if not 0 <= value <= 3_600_000:
            raise WishError(f"{name}: milliseconds are needed, not {given[name]!r}")
        return value

    def one_of(name: str, allowed: tuple[str, ...]) -> str | None:
        if name in given and given[name] not in allowed:
            raise WishError(f"{name}: one of {', '.join(allowed)} is needed, not {given[name]!r}")
        return given.get(name)

    usage = one_of("x-simulate-usage", get_args(Usage))
    hang = one_of("x-simulate-hang", get_args(Hang))
    return Wishes(
        statuses=_statuses(given.get("x-simulate-status", "")),
        retry_after_ms=whole("x-simulate-retry-after-ms"),
        first_token_ms=milliseconds("x-simulate-first-token-ms"),
        token_ms=milliseconds("x-simulate-token-ms"),
        output_tokens=whole("x-simulate-output-tokens"),
        cut_after=whole("x-simulate-cut-after"),
        error_after=whole("x-simulate-error-after"),
        encodings=_encodings(given.get("x-simulate-content-encoding", "")),
        splits=whole("x-simulate-splits"),
        crlf=one_of("x-simulate-newline", ("lf", "crlf")) == "crlf",
        usage=cast("Usage | None", usage),
        body_bytes=whole("x-simulate-body-bytes"),
        hang=cast("Hang | None", hang),
        attempt=_attempt(given),
    )


def _statuses(value: str) -> tuple[int, ...]:
    names = [name.strip() for name in value.split(",") if name.strip()]
    if any(not (name.isdecimal() and (name == "200" or 400 <= int(name) <= 599)) for name in names):
        raise WishError(f"x-simulate-status: 200 or 400 to 599 are needed, not {value!r}")
    return tuple(int(name) for name in names)


def _attempt(given: dict[str, str]) -> int | None:
    retries = given.get("x-stainless-retry-count", "")  # of OpenAI's and Anthropic's SDKs
    if retries.isdecimal():
        return int(retries)
    counted = _AWS_ATTEMPT.search(given.get("amz-sdk-request", ""))  # of AWS's: from 1
    return int(counted[1]) - 1 if counted is not None else None


def _encodings(value: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    known = ("identity", "gzip", "br", "zstd", "deflate", "deflate-raw")
    if any(name not in known for name in names):
        raise WishError(f"x-simulate-content-encoding: {', '.join(known)} are known, not {value!r}")
    return tuple(name for name in names if name != "identity")
