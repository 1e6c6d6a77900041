"""WebSockets: the two ends of a connection joined byte for byte, and every billed turn written down from a copy.

A connection is one call, recorded when it ends; each turn on it is a call of its own with the same ``operation_id``,
recorded before its client sees its end. So a connection that lasts for hours is metered as it goes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

import msgspec

from proxy.call import Closed, Opened, Outcome
from proxy.identity import new_id
from proxy.tee import Sink
from proxy.wire.surface import Reading
from proxy.wire.turns import Turns
from proxy.wire.websocket import Messages, negotiated

LINGER_S = 30.0  # how long the one end may take to read its last bytes after the other has gone
ASKING_BYTES = 64 * 1024  # a client's longer messages hold sound and pictures


class TurnMeter:
    """Writes down the turns of one connection."""

    def __init__(self, opened: Opened, *, extensions: bytes, sink: Sink) -> None:
        self.turns = 0
        self._opened = opened
        self._sink = sink
        self._reading = Turns(opened.model_requested)
        self._server = Messages(negotiated(extensions, b"server"))
        self._client = Messages(negotiated(extensions, b"client"), ASKING_BYTES)
        self._began_ns = time.time_ns()
        self._bytes = 0

    def from_server(self, data: bytes) -> None:
        """Read what the provider sent, before its client sees it; never raises."""
        self._bytes += len(data)
        for message in self._server.feed(data):
            running = self._reading.running
            turn = self._reading.message(message)
            if turn is not None:
                self._write_down(turn)
            elif self._reading.running and not running:
                self._began_ns = time.time_ns()

    def from_client(self, data: bytes) -> None:
        """Follow what the client sends: the model it asks for, and its end; never raises."""
        for message in self._client.feed(data):
            self._reading.asking(message)

    @property
    def closing(self) -> bool:
        """Whether one side has said that it ends the connection."""
        return self._server.closing or self._client.closing

    @property
    def flags(self) -> tuple[str, ...]:
        """Give what was odd about the connection as a whole."""
        found = {
            "websocket.unreadable": self._server.broken,
            "event.oversized": self._server.oversized,
            "reader.failed": self._reading.failed,
        }
        return tuple(flag for flag, holds in found.items() if holds)

    def _write_down(self, turn: Reading) -> None:
        now_ns = time.time_ns()
        self.turns += 1
        opened = msgspec.structs.replace(
            self._opened,
            id=new_id(now_ns),
            started_at_us=self._began_ns // 1000,
            stream=True,
            request_bytes=None,
        )
        self._sink.append(
            Closed(
                opened=opened,
                ended_at_us=now_ns // 1000,
                outcome="ok" if turn.error is None else "error",
                status=None,
                model=turn.model,
                provider_request_id=turn.response_id,
                usage=turn.usage,
                usage_source="absent" if turn.usage is None else "reported",
                flags=turn.flags,
                reason=turn.error or (None if turn.usage is not None else "usage.not_reported"),
                latency_us=max(0, now_ns - self._began_ns) // 1000,
                time_to_first_token_us=None,
                overhead_us=None,
                response_bytes=self._bytes,
                service_tier=turn.service_tier,
            )
        )
        self._began_ns, self._bytes = now_ns, 0


class _End(asyncio.Protocol):
    """One end of the joined connection: what it says goes to the other, no faster than that one reads."""

    def __init__(self, transport: asyncio.Transport, hear: Callable[[bytes], None]) -> None:
        self.transport = transport
        self.lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.went_first = False
        self._hear = hear
        self._other: _End

    def join(self, other: _End) -> None:
        self._other = other

    def data_received(self, data: bytes) -> None:
        self._hear(data)  # first: what was consumed is written down before its client sees it
        if not self._other.transport.is_closing():
            self._other.transport.write(data)

    def pause_writing(self) -> None:
        if not self._other.transport.is_closing():
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        if not self._other.transport.is_closing():
            self._other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.lost.done():
            self.went_first = not self._other.lost.done()
            self.lost.set_result(None)
        self._other.transport.close()  # when it has sent what it still holds


async def relay(
    client: tuple[asyncio.Transport, bytes], provider: tuple[asyncio.Transport, bytes], meter: TurnMeter
) -> tuple[Outcome, str | None]:
    """Join both ends until one is gone; gives how it ended. Each end comes with what it has already said."""
    ends = _End(client[0], meter.from_client), _End(provider[0], meter.from_server)
    for end, other, early in ((ends[0], ends[1], client[1]), (ends[1], ends[0], provider[1])):
        end.join(other)
        if early:
            end.data_received(early)
    for end in ends:
        end.transport.set_protocol(cast("asyncio.BaseProtocol", end))
        if end.transport.is_closing():  # its loss was told to who had it before
            end.connection_lost(None)
        else:
            end.transport.resume_reading()
    try:
        await asyncio.wait([end.lost for end in ends], return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait([end.lost for end in ends], timeout=LINGER_S)
    finally:
        for end in ends:
            end.transport.abort()
    if meter.closing:
        return "ok", None
    return ("aborted", "client_gone") if ends[0].went_first else ("error", "upstream_closed")
