"""WebSocket frames over bytes: the messages of one direction, read from a copy of what is relayed.

Nothing is answered, checked or changed here: the two ends keep the protocol among themselves. A message is given when
it is complete; one over the limit is skipped. Control frames are passed over, also between a message's fragments.

Source: RFC 6455 (frames, masking), RFC 7692 (permessage-deflate).
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

MESSAGE_LIMIT = 4 * 1024 * 1024  # bytes of one message that are held for reading; sound comes in smaller pieces

_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10
_FLUSHED = b"\x00\x00\xff\xff"  # RFC 7692 §7.2.2: taken off the end of every compressed message


@dataclass(frozen=True, slots=True, kw_only=True)
class Deflate:
    """How one direction is compressed."""

    keeps_context: bool = True  # a message may refer to the ones before it


def negotiated(extensions: bytes, side: bytes) -> Deflate | None:
    """Read the server's ``sec-websocket-extensions`` for what ``side`` (b"server" or b"client") sends; None: plain."""
    for extension in extensions.split(b","):
        name, *parameters = (part.strip() for part in extension.split(b";"))
        if name != b"permessage-deflate":
            continue
        return Deflate(keeps_context=side + b"_no_context_takeover" not in parameters)
    return None


class Messages:
    """Gives back whole messages, whatever the pieces the frames arrive in. Never raises; memory bounded."""

    __slots__ = ("_compressed", "_deflate", "_head", "_inflater", "_left", "_limit", "_mask", "_message", "_offset",
                 "_reading", "_skipping", "_whole", "broken", "closing", "oversized")  # fmt: skip

    def __init__(self, deflate: Deflate | None = None, limit: int = MESSAGE_LIMIT) -> None:
        self.broken = False  # this is no WebSocket traffic, or compressed in an unknown way: nothing more is read
        self.oversized = False  # a message was too large and is not given back
        self.closing = False  # this side has said that it ends the connection
        self._deflate = deflate
        self._inflater = _inflater() if deflate is not None else None
        self._limit = limit
        self._head = b""  # of a frame whose head is not complete
        self._left = 0  # bytes of the current frame's payload still to come
        self._mask = b""
        self._offset = 0  # of the next payload byte in the mask
        self._reading = False  # the current frame belongs to a message that is read
        self._whole = False  # …and is its last
        self._compressed = False
        self._skipping = False  # the message is over the limit
        self._message = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Give the messages that ``data`` completed."""
        found: list[bytes] = []
        at, size = 0, len(data)
        while at < size and not self.broken:
            if self._left:
                end = min(size, at + self._left)
                self._take(data[at:end])
                self._left -= end - at
                at = end
            else:
                head = self._head + data[at : at + 14 - len(self._head)]
                used = self._begin(head)
                if not used:
                    self._head = head
                    break
                at += used - len(self._head)
                self._head = b""
            if not self._left and self._reading and self._whole:
                self._end(found)
        return found

    def _begin(self, head: bytes) -> int:
        """Read a frame's head; gives its size, 0 where it is not complete."""
        if len(head) < 2:
            return 0
        size = head[1] & 0x7F
        at = 2
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(head[2:at])
        masked = bool(head[1] & 0x80)
        if len(head) < at + 4 * masked:
            return 0
        code = head[0] & 0x0F
        self._mask = head[at : at + 4] if masked else b""
        self._offset = 0
        self._left = size
        self._reading = code < _CLOSE
        self._whole = self._reading and bool(head[0] & 0x80)
        if code in (_TEXT, _BINARY):
            self._message.clear()
            self._skipping = False
            self._compressed = bool(head[0] & 0x40)
            self.broken = self._compressed and self._inflater is None
        elif code == _CLOSE:
            self.closing = True
        elif code not in (_CONTINUATION, _PING, _PONG) or head[0] & 0x30:
            self.broken = True
        return at + 4 * masked

    def _take(self, piece: bytes) -> None:
        if not self._reading:
            return
        # A compressed message is needed whole even where it is too large: the next may refer to it.
        if len(self._message) + len(piece) > self._limit:
            self._skip()
        if self._skipping and not self._carries_context:
            return
        if self._mask:
            piece = _unmasked(piece, self._mask, self._offset)
            self._offset += len(piece)
        self._message += piece if not self._compressed else self._inflated(piece)
        if self._skipping:
            self._message.clear()

    @property
    def _carries_context(self) -> bool:
        return self._compressed and self._deflate is not None and self._deflate.keeps_context

    def _inflated(self, piece: bytes) -> bytes:
        """Inflate a piece within the limit: a few bytes can stand for a thousand times as many."""
        inflater = self._inflater
        if inflater is None:
            return b""
        room = max(1, self._limit + 1 - len(self._message))
        try:
            inflated = inflater.decompress(piece, room)
            while inflater.unconsumed_tail:
                self._skip()
                inflated = b""
                inflater.decompress(inflater.unconsumed_tail, self._limit)
        except zlib.error:
            self.broken = True
            return b""
        return inflated

    def _skip(self) -> None:
        self.oversized = self._skipping = True
        self._message.clear()

    def _end(self, found: list[bytes]) -> None:
        if self._compressed:
            self._message += self._inflated(_FLUSHED)
            if self._deflate is not None and not self._deflate.keeps_context:
                self._inflater = _inflater()
        if not self._skipping and not self.broken:
            found.append(bytes(self._message))
        self._message.clear()
        self._reading = False


def _inflater() -> zlib._Decompress:
    return zlib.decompressobj(-zlib.MAX_WBITS)  # the largest window inflates what was made with a smaller one


def _unmasked(piece: bytes, mask: bytes, offset: int) -> bytes:
    size = len(piece)
    turned = mask[offset % 4 :] + mask[: offset % 4]
    key = (turned * (size // 4 + 1))[:size]
    return (int.from_bytes(piece) ^ int.from_bytes(key)).to_bytes(size)
