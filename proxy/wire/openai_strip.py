"""Takes out of a chat stream exactly what ``stream_options.include_usage`` added to it.

Added are: one chunk with no choices that carries the usage, and a ``usage`` member on every other
chunk. The chunk goes with its blank line, the member with its comma; every other byte stays. A few servers send chunks
one to a line, without events around them: there the chunk goes with its line.

Usage on a chunk that brings something and goes on is not among it: whoever states it there states it unasked, in every
chunk, and a direct call shows it. Such a stream passes as it is.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.wire.canon import at
from proxy.wire.lenient import Lenient
from proxy.wire.members import spans
from proxy.wire.reply import IN_FRONT, could_become_events, is_events
from proxy.wire.sse import EVENT_LIMIT, Fragment, Framer, data_spans

_FIRST_LINE_AT_MOST = 64 * 1024  # bytes that are held to see whether they are a chunk on a line of its own
_NULL_MEMBER = re.compile(rb',[ \t]*"usage"[ \t]*:[ \t]*null(?=[ \t]*[,}])')
_COMMENT_OR_BLANK = re.compile(rb"(?:\xef\xbb\xbf)?(?:(?::[^\r\n]*)?(?:\r\n|\n|\r))*")


class _Chunk(msgspec.Struct, gc=False):
    choices: Any = None
    usage: Any = msgspec.UNSET
    error: Any = None


_CHUNK = Lenient(_Chunk, _Chunk)


class UsageStripper:
    """Fed with decoded bytes at any split; complete events come out at once."""

    __slots__ = ("_framer", "_head", "_unasked", "_untouched")

    def __init__(self) -> None:
        self._framer: Framer | _Lines = Framer()
        self._head: bytes | None = b""  # bytes before it is known whether these are events
        self._untouched = False
        self._unasked = False  # the provider states usage in every chunk, asked or not

    @property
    def idle(self) -> bool:
        """Whether nothing is to be taken out from here on."""
        return self._untouched or self._unasked

    def feed(self, data: bytes) -> bytes:
        """Take bytes, give back what the client may see now."""
        if self._untouched:
            return data
        if self._head is not None:
            data = self._head + data
            seen = data.lstrip(IN_FRONT)
            if not is_events(seen):
                if could_become_events(seen) or _could_become_line(seen):
                    self._head = data
                    return b""
                self._untouched = not is_chunk(seen.partition(b"\n")[0])
                self._framer = _Lines()
            self._head = None
            if self._untouched:
                return data
        blocks = self._framer.feed(data)
        if len(blocks) == 1:
            return self._stripped(blocks[0])
        return b"".join([self._stripped(block) for block in blocks])

    def close(self) -> bytes:
        """Give back what was held at the end of the stream."""
        if self._head is not None:
            return self._head
        return b"".join([self._stripped(block) for block in self._framer.close()])

    def _stripped(self, block: bytes) -> bytes:
        if b'usage"' not in block or self._unasked or block.__class__ is Fragment:
            return block
        lines = [(0, len(block))] if self._framer.__class__ is _Lines else data_spans(block)
        data = b"\n".join([block[start:end] for start, end in lines]) if len(lines) != 1 else block[slice(*lines[0])]
        chunk = _CHUNK.decode(data)
        if chunk is None or chunk.usage is msgspec.UNSET:
            return block
        if isinstance(chunk.usage, dict):
            self._unasked = any(map(_says, chunk.choices if isinstance(chunk.choices, list) else ()))
            if self._unasked:
                return block
            if not chunk.choices and not chunk.error:
                # Comments and blank lines before the event are a keep-alive of their own.
                match = _COMMENT_OR_BLANK.match(block)
                return match[0] if match else b""
        span = _member(data)
        if span is None:
            return block
        return block[: _raw(lines, span[0])] + block[_raw(lines, span[1]) :]


class _Lines:
    """Cuts a byte stream into its lines; one that is too large is let go of in fragments."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Give back the lines that ``data`` completed, each with its end."""
        known = len(self._held)
        self._held += data
        end = self._held.rfind(b"\n", known) + 1
        if not end:
            return self.close() if len(self._held) > EVENT_LIMIT else []
        lines = bytes(self._held[:end])
        del self._held[:end]
        return [line + b"\n" for line in lines[:-1].split(b"\n")]

    def close(self) -> list[bytes]:
        """Give back the last line, whose end never came."""
        rest = bytes(self._held)
        self._held.clear()
        return [rest] if rest else []


def is_chunk(value: bytes) -> bool:
    """Tell whether an object is a chunk of a stream: one of its choices says what came anew, or goes on."""
    chunk = _CHUNK.decode(value) if b'"choices"' in value and (b'"delta"' in value or b'"text"' in value) else None
    choices = chunk.choices if chunk is not None and isinstance(chunk.choices, list) else ()
    return any(
        isinstance(choice, dict)
        and choice.get("message") is None
        and (choice.get("delta") is not None or ("text" in choice and choice.get("finish_reason") is None))
        for choice in choices
    )


def _could_become_line(head: bytes) -> bool:
    """Tell whether bytes are too few to say that their first line is no chunk."""
    return head.startswith(b"{") and b"\n" not in head and len(head) <= _FIRST_LINE_AT_MOST


def _says(choice: object) -> bool:
    """Tell whether a choice brings something, be it the role alone, and goes on."""
    return bool(at(choice, ("delta",)) or at(choice, ("text",))) and at(choice, ("finish_reason",)) is None


def _member(data: bytes) -> tuple[int, int] | None:
    """Give where the top-level usage member lies, with the comma that goes with it."""
    if data.count(b'"usage"') == 1:
        match = _NULL_MEMBER.search(data)
        if match is not None:
            return match.span()
    found = spans(data)
    if found is None or b"usage" not in found:
        return None
    start, end = found[b"usage"]
    name = data.rindex(b'"', 0, data.rindex(b":", 0, start))
    name = data.rindex(b'"', 0, name)
    before = data[:name].rstrip(b" \t\r\n")
    if before.endswith(b","):
        return len(before) - 1, end
    after = data[end:].lstrip(b" \t\r\n")
    if after.startswith(b","):
        rest = after[1:].lstrip(b" \t\r\n")
        return name, len(data) - len(rest)
    return name, end


def _raw(lines: list[tuple[int, int]], offset: int) -> int:
    """Give where in the block the payload's byte ``offset`` lies, the payload being the lines joined."""
    for start, end in lines:
        if offset <= end - start:
            return start + offset
        offset -= end - start + 1
    return lines[-1][1]
