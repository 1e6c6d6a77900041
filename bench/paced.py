"""The mock provider of streams (``python -m bench.paced PORT``): each stream gets a chunk at its own steady pace.

Streams are out of step with each other, as real ones are: chunks that came all at once would queue in the
proxy, and the queue would be measured instead of the proxy.
"""

import asyncio
import itertools
import sys
import time

import uvloop

from bench.exchange import Pace, chunk, read_pace, stream_end

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"
GOLDEN = 0.618034  # multiples of it, modulo 1, spread evenly however many there are


def framed(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


class Provider(asyncio.Protocol):
    """One connection: requests of known length in, paced streams out."""

    def __init__(self, phases: "itertools.count[int]") -> None:
        self.loop = asyncio.get_running_loop()
        self.phases = phases
        self.received = b""
        self.timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found:
            return
        lines = head.lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(body) < length:
            return
        self.received = body[length:]
        usage_member = b'"include_usage":true' in body.replace(b" ", b"")
        self.transport.write(HEAD)
        pace = read_pace(body)
        phase = next(self.phases) * GOLDEN % 1
        due = self.loop.time() + phase * pace.interval_ms / 1000
        self.timer = self.loop.call_at(due, self.tick, due, pace, pace.chunks, usage_member)

    def tick(self, due: float, pace: Pace, left: int, usage_member: bool) -> None:
        if left == 0:
            last = stream_end(chunks=pace.chunks, usage_member=usage_member)
            self.transport.write(framed(last) + b"0\r\n\r\n")
            return
        self.transport.write(framed(chunk(sent_ns=time.monotonic_ns(), usage_member=usage_member)))
        due += pace.interval_ms / 1000
        self.timer = self.loop.call_at(due, self.tick, due, pace, left - 1, usage_member)


async def serve(port: int) -> None:
    phases = itertools.count()
    server = await asyncio.get_running_loop().create_server(lambda: Provider(phases), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
