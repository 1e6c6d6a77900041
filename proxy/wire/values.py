"""JSON objects cut out of a byte stream: one per line (NDJSON), the elements of one array, or simply one after another.

What stands between the objects (line ends, commas, the brackets of the array around them) is skipped, so a
document that is written over many lines is one object here as well. Every byte is looked at once.
"""

from __future__ import annotations

import re

import msgspec

from proxy.wire.lenient import REFUSED

VALUE_LIMIT = 8 * 1024 * 1024  # bytes of one object that are held for reading
HEAD_LIMIT = 64 * 1024  # bytes in front of an array that are held
_NAME_LIMIT = 64  # bytes of an array's name, colon and bracket together

_PLAIN = re.compile(rb'[^"\[\]{}]*+')
_IN_STRING = re.compile(rb'(?>(?:[^"\\]++|\\.)*)', re.DOTALL)
_QUOTE, _OPENING = 0x22, b"{["
_SPACE = b" \t\r\n"
_WHOLE = msgspec.json.Decoder(msgspec.Raw)


class Values:
    """Gives back whole objects, whatever the pieces they arrive in."""

    __slots__ = ("_at", "_depth", "_dropping", "_held", "_limit", "_quoted", "_within", "ended", "oversized")

    def __init__(self, limit: int = VALUE_LIMIT, *, within_array: bool = False) -> None:
        self.oversized = False  # an object was too large and is not given back
        self.ended = False  # the array that the objects lie in: what follows is not read
        self._within = within_array
        self._held = bytearray()
        self._limit = limit
        self._at = 0  # what of the held bytes has been looked at
        self._depth = 0  # brackets open
        self._quoted = False  # inside a string
        self._dropping = False  # inside an object that is too large

    def payloads(self, data: bytes) -> list[bytes]:
        """Give the objects that ``data`` completed."""
        if self.ended:
            return []
        if not self._held and not self._depth and data.startswith(b"{") and len(data) <= self._limit:
            try:
                _WHOLE.decode(data)  # the usual network chunk is one line; to check it is faster than to cut it
                return [data.rstrip(_SPACE)]
            except REFUSED:
                pass
        held, found = self._held, []
        held += data
        start, at, size = 0, self._at, len(held)
        while at < size:
            if self._quoted:
                at = _end(_IN_STRING, held, at)
                if at == size or held[at] != _QUOTE:  # it goes on, perhaps behind a lone backslash
                    break
                self._quoted = False
                at += 1
            elif self._depth:
                at = _end(_PLAIN, held, at)
                if at == size:
                    break
                byte = held[at]
                at += 1
                if byte == _QUOTE:
                    self._quoted = True
                else:
                    self._depth += 1 if byte in _OPENING else -1
                    if not self._depth:
                        if not self._dropping:
                            found.append(bytes(held[start:at]))
                        self._dropping = False
                        start = at
            else:
                start = held.find(b"{", at)
                if self._within and held.find(b"]", at, start if start >= 0 else size) >= 0:
                    self.ended = True
                    held.clear()
                    return found
                if start < 0:
                    start = at = size
                else:
                    self._depth, at = 1, start + 1
        if at - start > self._limit or self._dropping:
            self.oversized = self._dropping = True
            start = at
        del held[:start]
        self._at = at - start
        return found

    def last_payload(self) -> list[bytes]:
        """Give nothing: an object whose end never came cannot be read."""
        return []


class Elements:
    """Cuts the objects out of one array within a document, and what stands in front of it; without any, all of it.

    ``array`` finds the name and the opening bracket; inside a string its quotes would be escaped.
    """

    def __init__(self, array: re.Pattern[bytes]) -> None:
        self.oversized = False
        self.found = False  # the array
        self.head = b""  # what stands in front of the array, as far as it is held
        self._array = array
        self._seen = b""
        self._values = Values(within_array=True)

    def payloads(self, data: bytes) -> list[bytes]:
        """Give the elements that ``data`` completed."""
        if not self.found:
            known = len(self._seen)
            self._seen += data
            found = self._array.search(self._seen, max(0, known - _NAME_LIMIT))
            if found is None:
                if len(self._seen) > HEAD_LIMIT:
                    self.oversized = True
                    self.head = self.head or self._seen[:HEAD_LIMIT]
                    self._seen = self._seen[-_NAME_LIMIT:]
                return []
            self.found = True
            self.head = self.head or self._seen[: found.start()]
            data, self._seen = self._seen[found.end() :], b""
        payloads = self._values.payloads(data)
        self.oversized = self._values.oversized
        return payloads

    def last_payload(self) -> list[bytes]:
        """Give the document where it has no such array."""
        return [] if self.found else [self._seen]


def _end(pattern: re.Pattern[bytes], held: bytearray, at: int) -> int:
    match = pattern.match(held, at)
    return match.end() if match else at
