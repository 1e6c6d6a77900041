"""AWS event streams, the writing side: one message with its headers and both checksums.

Source: AWS, "Amazon Transcribe developer guide", section "Event stream encoding".
"""

from __future__ import annotations

from binascii import crc32
from struct import Struct

import msgspec

from proxy.simulator.asking import JsonObject
from proxy.simulator.events import Event, Wait

CONTENT_TYPE = "application/vnd.amazon.eventstream"

_LENGTHS = Struct(">II")
_U32 = Struct(">I")
_OVERHEAD = 16  # bytes: lengths and checksums
_STRING = b"\7"  # the type of a header's value


def event(kind: str, payload: JsonObject, *, wait: Wait = "none") -> Event:
    """Write an event of this type."""
    return Event(data=_message({":event-type": kind, ":message-type": "event"}, payload), wait=wait)


def exception(kind: str, payload: JsonObject) -> Event:
    """Write an exception: the stream ends with it."""
    return Event(data=_message({":exception-type": kind, ":message-type": "exception"}, payload))


def _message(headers: dict[str, str], payload: JsonObject) -> bytes:
    block = b"".join(_header(*pair) for pair in (headers | {":content-type": "application/json"}).items())
    body = msgspec.json.encode(payload)
    lengths = _LENGTHS.pack(_OVERHEAD + len(block) + len(body), len(block))
    message = lengths + _U32.pack(crc32(lengths)) + block + body
    return message + _U32.pack(crc32(message))


def _header(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + _STRING + len(value).to_bytes(2) + value.encode()
