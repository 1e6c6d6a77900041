"""Messages of AWS's event streams, made for tests: the writing side of ``proxy.wire.eventstream``."""

from __future__ import annotations

import base64
import json
import struct
from binascii import crc32


def message(payload: bytes, headers: dict[str, str] | bytes) -> bytes:
    """Give one message; headers as bytes are taken as they are."""
    if isinstance(headers, dict):
        headers = b"".join(
            struct.pack(">B", len(name.encode())) + name.encode() + b"\7" + struct.pack(">H", len(value.encode()))
            + value.encode()
            for name, value in headers.items()
        )  # fmt: skip
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    body = lengths + struct.pack(">I", crc32(lengths)) + headers + payload
    return body + struct.pack(">I", crc32(body))


def event(kind: str, payload: object) -> bytes:
    """Give an event of Bedrock's ConverseStream."""
    names = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return message(json.dumps(payload, separators=(",", ":")).encode(), names)


def chunk(inner: object) -> bytes:
    """Give a chunk of Bedrock's InvokeModelWithResponseStream: the model's own event in base64."""
    return event("chunk", {"bytes": base64.b64encode(json.dumps(inner).encode()).decode(), "p": "abcdefgh"})


def exception(kind: str, payload: object) -> bytes:
    """Give an exception that AWS's model of the service foresees."""
    names = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return message(json.dumps(payload).encode(), names)
