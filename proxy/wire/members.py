"""The top-level members of a JSON object, found without decoding the rest.

Fed in pieces of any size, with constant memory: values nobody asked for are skipped by regular
expressions that jump over whole strings and runs of numbers. It serves two ends: to read the few
wanted members of a reply of tens of megabytes, and to know where a member's value lies in a request,
so that it can be replaced byte-exactly. It is a scanner, not a validator.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import msgspec

from proxy.wire.lenient import REFUSED

CAPTURE_LIMIT = 1024 * 1024  # bytes kept of one wanted value
_KEY_LIMIT = 64 * 1024  # bytes of one member's name
_COUNTING = 4096  # bytes from which counting brackets beats walking them

# Groups are repeated in atomic groups and not possessively: such a one Python up to 3.11.4 takes for matched where it
# is not (python/cpython#106052); later releases make the one of the other.
_SPACE = re.compile(rb"[ \t\r\n]*+")
_STRING = re.compile(rb'"(?>(?:[^"\\]++|\\.)*)"', re.DOTALL)
_IN_STRING = re.compile(rb'(?>(?:[^"\\]++|\\.)*)', re.DOTALL)
_PLAIN = re.compile(rb'(?>(?:[^"\[\]{}]++|"(?>(?:[^"\\]++|\\.)*)")*)', re.DOTALL)
_NAME = re.compile(rb'[ \t\r\n,]*+"((?>(?:[^"\\]++|\\.)*))"[ \t\r\n]*+:[ \t\r\n]*+', re.DOTALL)
_CLOSING = re.compile(rb"[ \t\r\n]*}[ \t\r\n]*")
_VALUES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_SCALAR = re.compile(rb"[^,}\] \t\r\n]*+")


class Members:
    """Walks one JSON object; ``found`` holds the raw values of the wanted members, the last of each name."""

    __slots__ = (
        "_at",
        "_depth",
        "_escaped",
        "_held",
        "_key",
        "_pieces",
        "_size",
        "_start",
        "_state",
        "_wanted",
        "broken",
        "cut",
        "finished",
        "found",
        "spans",
    )

    def __init__(self, wanted: Collection[bytes] = ()) -> None:
        self.found: dict[bytes, bytes] = {}
        self.spans: dict[bytes, tuple[int, int]] = {}  # of every member's value, as offsets into all that was fed
        self.finished = False  # the closing brace was seen
        self.broken = False  # this is no JSON object
        self.cut: set[bytes] = set()  # wanted members too large to keep
        self._wanted = frozenset(wanted)
        self._at = 0  # offset of the first byte of the current piece
        self._held = b""  # of a member's name that is not complete
        self._state = self._open
        self._key = b""
        self._start = 0
        self._depth = 0
        self._escaped = False
        self._pieces: list[bytes] | None = None
        self._size = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self.finished or self.broken:
            return
        if self._held:
            self._at -= len(self._held)
            data = self._held + data
            self._held = b""
        pos = 0
        while pos < len(data) and not self.finished and not self.broken:
            pos = self._state(data, pos)
        self._at += len(data)

    # Each state takes the piece and a position in it and gives the position it came to.

    def _open(self, data: bytes, pos: int) -> int:
        pos = _skip_space(data, pos)
        if pos < len(data):
            self.broken = data[pos] != 0x7B
            self._state = self._name
        return pos + 1

    def _name(self, data: bytes, pos: int) -> int:
        pos = _skip_space(data, pos)
        if pos == len(data):
            return pos
        if data[pos] == 0x7D:
            self.finished = True
        elif data[pos] == 0x22:
            match = _STRING.match(data, pos)
            if match is None:
                self._held = data[pos:]
                self.broken = len(self._held) > _KEY_LIMIT
                return len(data)
            self._key = _unescaped(data[pos + 1 : match.end() - 1])
            self._state = self._colon
            return match.end()
        elif data[pos] != 0x2C:
            self.broken = True
        return pos + 1

    def _colon(self, data: bytes, pos: int) -> int:
        pos = _skip_space(data, pos)
        if pos < len(data):
            self.broken = data[pos] != 0x3A
            self._state = self._value
        return pos + 1

    def _value(self, data: bytes, pos: int) -> int:
        pos = _skip_space(data, pos)
        if pos == len(data):
            return pos
        self._start = self._at + pos
        self._pieces = [] if self._key in self._wanted else None
        self._size = 0
        self._depth = 0
        first = data[pos]
        if first == 0x22:
            return self._take(data, pos, pos + 1, self._string)
        if first in b"{[":
            self._depth = 1
            return self._take(data, pos, pos + 1, self._nested)
        if first in b",}]:":
            self.broken = True
            return pos
        self._state = self._scalar
        return pos

    def _scalar(self, data: bytes, pos: int) -> int:
        match = _SCALAR.match(data, pos)
        end = match.end() if match else pos
        if end == len(data):
            return self._take(data, pos, end, self._scalar)
        return self._end(data, pos, end)

    def _string(self, data: bytes, pos: int) -> int:
        end = pos
        if self._escaped:
            self._escaped = False
            end += 1
        quote = data.find(b'"', end)
        if data.find(b"\\", end, quote if quote >= 0 else len(data)) >= 0:
            match = _IN_STRING.match(data, end)
            quote = match.end() if match else end
            if quote == len(data):
                quote = -1
            elif data[quote] == 0x5C:  # a lone backslash at the end: what it escapes is in the next piece
                self._escaped = True
                quote = -1
        if quote < 0:
            return self._take(data, pos, len(data), self._string)
        if self._depth:
            return self._take(data, pos, quote + 1, self._nested)
        return self._end(data, pos, quote + 1)

    def _nested(self, data: bytes, pos: int) -> int:
        size = len(data)
        if size - pos > _COUNTING and data.find(b'"', pos) < 0:
            closes = data.count(b"]", pos) + data.count(b"}", pos)
            if closes < self._depth:  # a long run of numbers that cannot end the value
                self._depth += data.count(b"[", pos) + data.count(b"{", pos) - closes
                return self._take(data, pos, size, self._nested)
        end = pos
        while True:
            match = _PLAIN.match(data, end)
            end = match.end() if match else end
            if end == size:
                return self._take(data, pos, size, self._nested)
            found = data[end]
            end += 1
            if found == 0x22:  # a string that runs over the piece
                return self._take(data, pos, end, self._string)
            if found in b"[{":
                self._depth += 1
            else:
                self._depth -= 1
                if not self._depth:
                    return self._end(data, pos, end)

    def _take(self, data: bytes, pos: int, end: int, state: object) -> int:
        self._state = state  # type: ignore[assignment]
        if self._pieces is not None:
            self._size += end - pos
            if self._size > CAPTURE_LIMIT:
                self._pieces = None
                self.cut.add(self._key)
            else:
                self._pieces.append(data[pos:end])
        return end

    def _end(self, data: bytes, pos: int, end: int) -> int:
        self._take(data, pos, end, self._name)
        if self._pieces is not None:
            self.found[self._key] = b"".join(self._pieces)
            self._pieces = None
        if not self._wanted:
            self.spans[self._key] = (self._start, self._at + end)
        return end


def spans(body: bytes) -> dict[bytes, tuple[int, int]] | None:
    """Give where each top-level member's value lies; of several with one name the last. None: no complete object."""
    found = _spans_of_distinct(body)
    if found is None:
        members = Members()
        members.feed(body)
        found = members.spans if members.finished else None
    return found


def _spans_of_distinct(body: bytes) -> dict[bytes, tuple[int, int]] | None:
    """Give the spans where all names differ, None where they do not or the JSON is not strict.

    The decoder skips the values at its own speed and says how long each is; only the names are
    walked here. A name that comes twice makes the walk end before the closing brace, never at it.
    """
    try:
        values = _VALUES.decode(body)
    except REFUSED:
        return None
    found: dict[bytes, tuple[int, int]] = {}
    pos = body.find(b"{") + 1
    for value in values.values():
        match = _NAME.match(body, pos)
        if match is None:
            return None
        pos = match.end() + len(value)
        found[_unescaped(match[1])] = (match.end(), pos)
    return found if _CLOSING.fullmatch(body, pos) else None


def _skip_space(data: bytes, pos: int) -> int:
    match = _SPACE.match(data, pos)
    return match.end() if match else pos


def _unescaped(name: bytes) -> bytes:
    if b"\\" not in name:
        return name
    try:
        return msgspec.json.decode(b'"' + name + b'"', type=str).encode("utf-8", "replace")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return name
