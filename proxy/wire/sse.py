"""Server-sent events over bytes: framing that keeps every byte, and the payload of one event.

The rule kept here: the blocks that :class:`Framer` gives back, joined, are the bytes it was fed.
A block is one event with its closing blank line, so whoever relays can drop or change one event and
pass all others on untouched. Lines end in LF, CRLF or CR and in nothing else: ``str.splitlines``
would also split at U+2028 and friends, which are legal inside JSON strings.

Source: WHATWG HTML, section 9.2 "Server-sent events".
"""

from __future__ import annotations

import re

EVENT_LIMIT = 8 * 1024 * 1024  # bytes of one event that are held for reading

# Two line ends in a row. "\r\n" counts once, so a lone "\r" must not be followed by "\n".
_BLANK_LINE = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\n|\r|\Z)")
_LINE_END = re.compile(rb"\r\n|\n|\r")
_CR = 13  # looking for a byte by its number is the fastest way there is
_BOM = b"\xef\xbb\xbf"


class Fragment(bytes):
    """A piece of an event that is too large to be held; to be relayed, not to be read."""

    __slots__ = ()


class Framer:
    """Cuts a byte stream into events, whatever the pieces it arrives in."""

    __slots__ = ("_carriage", "_held", "_limit", "_overflowing", "oversized")

    def __init__(self, limit: int = EVENT_LIMIT) -> None:
        self.oversized = False  # a Fragment was given back
        self._held = bytearray()
        self._limit = limit
        self._carriage = False  # the stream has a CR somewhere, so LF LF is not the only blank line
        self._overflowing = False  # inside an event that went over the limit

    def feed(self, data: bytes) -> list[bytes]:
        """Give back the events that ``data`` completed, each with its blank line."""
        if not self._carriage and _CR in data:
            self._carriage = True
        if (
            data.find(b"\n") == len(data) - 2
            and data.endswith(b"\n\n")
            and not (self._held or self._carriage or self._overflowing)
        ):
            return [data]  # the usual network chunk is exactly one event of one line
        search_from = 0
        if self._held:
            search_from = max(0, len(self._held) - 3)  # a blank line of at most four bytes may straddle the edge
            self._held += data
            if self._last_end(self._held, search_from) < 0:
                return self._overflow() if self._overflowing or len(self._held) > self._limit else []
            data = bytes(self._held)
            self._held.clear()
        blocks = self._split(data, search_from)
        if len(self._held) > self._limit:
            blocks += self._overflow()
        return blocks

    def payloads(self, data: bytes) -> list[bytes]:
        """Give the payloads of the events that ``data`` completed, for who only reads."""
        if not (self._held or self._overflowing):
            start = _only_payload(data)  # the usual network chunk again, looked at once instead of twice
            if start:
                return [data[start:]]
        return _payloads(self.feed(data))

    def last_payload(self) -> list[bytes]:
        """Give the payload of the last event, whose blank line never came, if there is one."""
        return _payloads(self.close())

    def close(self) -> list[bytes]:
        """Give back the last event, whose blank line never came, if there is one."""
        if not self._held:
            return []
        rest = bytes(self._held)
        self._held.clear()
        return [Fragment(rest) if self._overflowing else rest]

    def _last_end(self, held: bytearray, search_from: int) -> int:
        """Give an end of an event at or after ``search_from``, or -1."""
        if not self._carriage:
            return held.find(b"\n\n", search_from)
        match = _BLANK_LINE.search(held, search_from)
        if match is None or (match.end() == len(held) and held.endswith(b"\r")):
            return -1  # a CR at the very end may be half of a CRLF
        return match.end()

    def _split(self, data: bytes, search_from: int) -> list[bytes]:
        blocks: list[bytes] = []
        start, size = 0, len(data)
        if self._carriage:
            for match in _BLANK_LINE.finditer(data, search_from):
                end = match.end()
                if end == size and data.endswith(b"\r"):
                    break
                self._append(blocks, data[start:end])
                start = end
        else:
            # Looking for single line ends is several times as fast as looking for two in a row.
            at = data.find(b"\n", search_from)
            while at >= 0:
                if data.startswith(b"\n", at + 1):
                    self._append(blocks, data[start : at + 2])
                    start = at = at + 2
                else:
                    at += 1
                at = data.find(b"\n", at)
        if start < size:
            self._held += data[start:]
        return blocks

    def _append(self, blocks: list[bytes], block: bytes) -> None:
        if self._overflowing:
            self._overflowing = False
            block = Fragment(block)
        blocks.append(block)

    def _overflow(self) -> list[bytes]:
        """Let go of an event that is too large; its last bytes stay, they may start the blank line."""
        self.oversized = self._overflowing = True
        with memoryview(self._held) as held:
            fragment = Fragment(held[:-3])
        del self._held[:-3]
        return [fragment]


def _payloads(blocks: list[bytes]) -> list[bytes]:
    found = [payload(block) for block in blocks if block.__class__ is not Fragment]
    return [data for data in found if data]


def payload(block: bytes) -> bytes:
    """Give the joined ``data`` of one event, ``b""`` where it has none; line ends may trail it.

    A bare JSON object where an event should be is taken as its own payload: some servers send their
    error so in the middle of a stream, or a whole reply behind the comments that kept the connection open.
    """
    start = _only_payload(block)
    if start or block.startswith(b"{"):
        return block[start:]
    spans = data_spans(block)
    if not spans and (bare := block.lstrip(b" \t\r\n")).startswith(b"{"):
        return bare
    return b"\n".join(block[start:end] for start, end in spans)


def _only_payload(data: bytes) -> int:
    """Give where the payload begins in what is exactly one event of one data line, maybe named; 0 where it is not."""
    line_end, start = data.find(b"\n"), 6
    if data.startswith(b"event: "):
        start = line_end + 7
        line_end = data.find(b"\n", line_end + 1)
    if not data.startswith(b"data: ", start - 6):
        return 0
    size = len(data)
    if line_end == size - 2 and data.endswith(b"\n") and _CR not in data:
        return start
    if line_end == size - 3 and start == 6 and data.endswith(b"\r\n\r\n") and data.find(b"\r") == size - 4:
        return start
    return 0


def data_spans(block: bytes) -> list[tuple[int, int]]:
    """Give where the value of each ``data`` line lies in ``block``, as (start, end) without the line end."""
    if block.startswith(b"data: ") and block.find(b"\n") == len(block) - 2 and _CR not in block:
        return [(6, len(block) - 2)]
    spans = []
    for match in _LINE.finditer(block):
        start, end = match.span()
        if start == 0 and block.startswith(_BOM):
            start = 3
        if not block.startswith(b"data", start):
            continue
        line = block[start:end].rstrip(b"\r\n")
        end = start + len(line)
        if line.startswith(b"data: "):
            spans.append((start + 6, end))
        elif line.startswith(b"data:"):
            spans.append((start + 5, end))
        elif line == b"data":
            spans.append((end, end))
    return spans
