"""JSON objects cut out of a byte stream: one per line (NDJSON), the elements of one array, or simply one after another.

What stands between the objects (line ends, commas, the brackets of the array around them) is skipped, so a
document that is written over many lines is one object here as well. Every byte is looked at once.
"""

from __future__ import annotations

import re

import msgspec

from proxy.wire.lenient import REFUSED

VALUE_LIMIT = 8 * 1024 * 1024  # bytes of one object that are held for reading

_PLAIN = re.compile(rb'[^"\[\]{}]*+')
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_QUOTE, _OPENING = 0x22, b"{["
_SPACE = b" \t\r\n"
_WHOLE = msgspec.json.Decoder(msgspec.Raw)


class Values:
    """Gives back whole objects, whatever the pieces they arrive in."""

    __slots__ = ("_at", "_depth", "_dropping", "_held", "_limit", "_quoted", "oversized")

    def __init__(self, limit: int = VALUE_LIMIT) -> None:
        self.oversized = False  # an object was too large and is not given back
        self._held = bytearray()
        self._limit = limit
        self._at = 0  # what of the held bytes has been looked at
        self._depth = 0  # brackets open
        self._quoted = False  # inside a string
        self._dropping = False  # inside an object that is too large

    def payloads(self, data: bytes) -> list[bytes]:
        """Give the objects that ``data`` completed."""
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


def _end(pattern: re.Pattern[bytes], held: bytearray, at: int) -> int:
    match = pattern.match(held, at)
    return match.end() if match else at
