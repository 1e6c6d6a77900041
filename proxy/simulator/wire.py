"""How a reply goes over the wire: encodings, odd pieces, pace, and the ways to break off."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import brotli  # type: ignore[import-untyped]
import zstandard
from starlette.types import Receive, Scope, Send

from proxy.simulator.events import Wait
from proxy.simulator.wishes import Wishes
from proxy.simulator.words import Dice, dice

TRANSPORT = "joulegate.simulator.transport"  # where the simulator's server leaves the connection for a reset


class Encoder(Protocol):
    """A content-encoding that can be flushed after every event."""

    def encode(self, data: bytes, *, last: bool) -> bytes:
        """Give bytes that decode to all that was put in so far."""


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._encoder = zlib.compressobj(6, zlib.DEFLATED, window_bits)

    def encode(self, data: bytes, *, last: bool) -> bytes:
        return self._encoder.compress(data) + self._encoder.flush(zlib.Z_FINISH if last else zlib.Z_SYNC_FLUSH)


class _Brotli:
    def __init__(self) -> None:
        self._encoder = brotli.Compressor(quality=4)

    def encode(self, data: bytes, *, last: bool) -> bytes:
        written: bytes = self._encoder.process(data)
        ended: bytes = self._encoder.finish() if last else self._encoder.flush()
        return written + ended


class _Zstandard:
    def __init__(self) -> None:
        self._encoder = zstandard.ZstdCompressor().compressobj()

    def encode(self, data: bytes, *, last: bool) -> bytes:
        how = zstandard.COMPRESSOBJ_FLUSH_FINISH if last else zstandard.COMPRESSOBJ_FLUSH_BLOCK
        return self._encoder.compress(data) + self._encoder.flush(how)


ENCODERS: dict[str, Callable[[], Encoder]] = {
    "gzip": lambda: _Zlib(31),
    "deflate": lambda: _Zlib(15),
    "deflate-raw": lambda: _Zlib(-15),  # what some servers send as "deflate"
    "br": _Brotli,
    "zstd": _Zstandard,
}


class Splitter:
    """Cuts a byte stream at odd places, across the borders of its events too; loses nothing."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._held = b""

    def cut(self, data: bytes, *, last: bool) -> list[bytes]:
        """Give the pieces that go out now."""
        self._held += data
        # Pieces of a large body grow with it, so that megabytes do not become millions of writes.
        longest = max(24, len(self._held) // 64)
        pieces: list[bytes] = []
        start = 0
        while start < len(self._held):
            end = start + self._dice.randint(1, longest)
            if end > len(self._held) and not last:
                break
            pieces.append(self._held[start:end])
            start = end
        self._held = self._held[start:]
        return pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Milliseconds before the first token and before each further one."""

    first_ms: float
    token_ms: float

    def seconds(self, wait: Wait) -> float:
        """Give the wait in seconds."""
        return {"none": 0.0, "first": self.first_ms, "token": self.token_ms}[wait] / 1000


class Line:
    """The connection to one client, as the wishes of its request shape it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, wishes: Wishes) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._encoders = [ENCODERS[name]() for name in wishes.encodings]
        self._splitter = Splitter(dice(wishes.splits)) if wishes.splits is not None else None
        self._left = asyncio.Event()
        self._watch = asyncio.ensure_future(self._watch_client())

    async def _watch_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left.set()

    @property
    def left(self) -> bool:
        """Whether the client has gone."""
        return self._left.is_set()

    def close(self) -> None:
        """Stop watching the client."""
        self._watch.cancel()

    async def wait(self, seconds: float | None) -> bool:
        """Wait, for ever if None; False as soon as the client has gone."""
        if seconds == 0:
            await asyncio.sleep(0)  # lets what was written leave by itself
        elif not self.left:
            try:
                await asyncio.wait_for(self._left.wait(), seconds)
            except TimeoutError:
                return True
        return not self.left

    async def start(self, status: int, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Send the head."""
        await self._send({"type": "http.response.start", "status": status, "headers": list(headers)})

    async def write(self, data: bytes, *, last: bool = False) -> None:
        """Send the next bytes of the body, encoded and cut as wished."""
        for encoder in self._encoders:
            data = encoder.encode(data, last=last)
        if self._splitter is None:
            await self._send({"type": "http.response.body", "body": data, "more_body": not last})
            return
        for piece in self._splitter.cut(data, last=last):
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)  # lets each piece leave by itself
        if last:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def reset(self) -> None:
        """Break the connection off, after what was written has left."""
        transport: asyncio.Transport | None = self._scope.get("extensions", {}).get(TRANSPORT)
        if transport is None:
            raise ConnectionResetError("cut off on request")  # another server: the reply ends incomplete
        await asyncio.sleep(0)
        for _ in range(5000):  # a client that does not read is not waited for longer
            if not transport.get_write_buffer_size() or self.left:
                break
            await asyncio.sleep(0.001)
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
        await self._left.wait()
