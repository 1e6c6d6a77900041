"""AWS event streams: messages cut out of a byte stream, both of their checksums checked.

A message is the length of it all (u32) and of its headers (u32), a CRC-32 of these eight bytes, the
headers, the payload, and a CRC-32 of everything before; numbers are big-endian. After a checksum that
does not hold nothing can be told apart any more: the stream is ``broken`` and reading stops.

Source: AWS, "Amazon Transcribe developer guide", section "Event stream encoding" (the format is one
for all AWS services); the types of headers as in botocore's reader.
"""

from __future__ import annotations

from binascii import crc32
from struct import Struct

MESSAGE_LIMIT = 8 * 1024 * 1024  # bytes of one message that are held for reading
LARGEST_MESSAGE = 24 * 1024 * 1024 + 16  # bytes: what the format allows; more is rubbish

_PRELUDE = Struct(">III")
_U16 = Struct(">H")
_U32 = Struct(">I")
_OVERHEAD = _PRELUDE.size + _U32.size
_TRUE, _FALSE, _BYTES, _STRING = 0, 1, 6, 7
_SIZES = {_TRUE: 0, _FALSE: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # byte, short, int, long, timestamp, UUID


class Message(bytes):
    """The payload of one message, with those of its headers that are strings."""

    headers: dict[str, str]


class EventStream:
    """Gives back the messages of an event stream, whatever the pieces they arrive in."""

    __slots__ = ("_block", "_dropping", "_headers", "_held", "_limit", "broken", "oversized")

    def __init__(self, limit: int = MESSAGE_LIMIT) -> None:
        self.oversized = False  # a message was too large and is not given back
        self.broken = False  # a checksum does not hold; nothing more comes
        self._held = bytearray()
        self._limit = limit
        self._dropping = 0  # bytes still to come of a message that is too large
        self._block = b""  # the headers read last: most messages of a stream have the same
        self._headers: dict[str, str] = {}

    def payloads(self, data: bytes) -> list[Message]:
        """Give the messages that ``data`` completed."""
        if self.broken:
            return []
        if self._dropping:
            dropped = min(self._dropping, len(data))
            self._dropping -= dropped
            data = data[dropped:]
        held, start = self._held, 0
        found: list[Message] = []
        held += data
        while len(held) - start >= _PRELUDE.size:
            size, headers_size, checksum = _PRELUDE.unpack_from(held, start)
            if crc32(held[start : start + 8]) != checksum or not _OVERHEAD + headers_size <= size <= LARGEST_MESSAGE:
                return self._stop(found)
            end = start + size
            if size > self._limit:
                self.oversized = True
                self._dropping = max(0, end - len(held))
                start = min(end, len(held))
                continue
            if len(held) < end:
                break
            message = bytes(held[start:end])
            if crc32(message[:-4]) != _U32.unpack_from(message, size - 4)[0]:
                return self._stop(found)
            payload_at = _PRELUDE.size + headers_size
            block = message[_PRELUDE.size : payload_at]
            if block != self._block:
                headers = _strings(block)
                if headers is None:
                    return self._stop(found)
                self._block, self._headers = block, headers
            read = Message(message[payload_at:-4])
            read.headers = self._headers
            found.append(read)
            start = end
        del held[:start]
        return found

    def last_payload(self) -> list[Message]:
        """Give nothing: a message that did not come whole cannot be checked."""
        return []

    def _stop(self, found: list[Message]) -> list[Message]:
        self.broken = True
        self._held.clear()
        return found


def is_event_stream(head: bytes) -> bool:
    """Tell whether bytes begin an event stream: the high byte of a length below 24 MiB is no text's first."""
    return head[:1] in (b"\0", b"\1")


def _strings(block: bytes) -> dict[str, str] | None:
    """Give the headers that are strings; None: the block is no list of headers."""
    found: dict[str, str] = {}
    at, size = 0, len(block)
    while at < size:
        name_end = at + 1 + block[at]
        if name_end >= size:
            return None
        kind = block[name_end]
        value_at = name_end + 1
        if kind in (_BYTES, _STRING):
            if value_at + 2 > size:
                return None
            length = _U16.unpack_from(block, value_at)[0]
            value_at += 2
        elif kind in _SIZES:
            length = _SIZES[kind]
        else:
            return None
        end = value_at + length
        if end > size:
            return None
        if kind == _STRING:
            found[block[at + 1 : name_end].decode("utf-8", "replace")] = block[value_at:end].decode("utf-8", "replace")
        at = end
    return found
