"""The mock provider of streams: every open stream gets a chunk at every tick (``python -m bench.paced PORT``).

One timer serves all streams of an interval, so that the provider costs little beside the target.
"""

import asyncio
import sys
import time
from typing import ClassVar

import uvloop

from bench.exchange import chunk, read_pace, stream_end

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ntransfer-encoding: chunked\r\n\r\n"


def framed(event: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(event), event)


class Ticker:
    """The open streams of one interval."""

    def __init__(self, interval_s: float) -> None:
        self.interval_s = interval_s
        self.left: dict[Provider, int] = {}

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self.interval_s, loop.time())
            await asyncio.sleep(due - loop.time())
            for stream, left in list(self.left.items()):
                if left:
                    self.left[stream] = left - 1
                    event = chunk(sent_ns=time.monotonic_ns(), usage_member=stream.usage_member)
                    stream.transport.write(framed(event))
                else:
                    del self.left[stream]
                    stream.end()


class Provider(asyncio.Protocol):
    """One connection: requests of known length in, paced streams out."""

    tickers: ClassVar[dict[int, tuple[Ticker, asyncio.Task[None]]]] = {}  # by milliseconds

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""
        self.ticker: Ticker | None = None
        self.usage_member = False
        self.chunks = 0

    def connection_lost(self, exc: Exception | None) -> None:
        if self.ticker is not None:
            self.ticker.left.pop(self, None)

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
        self.usage_member = b'"include_usage":true' in body.replace(b" ", b"")
        pace = read_pace(body)
        self.chunks = pace.chunks
        if pace.interval_ms not in self.tickers:
            ticker = Ticker(pace.interval_ms / 1000)
            self.tickers[pace.interval_ms] = (ticker, asyncio.ensure_future(ticker.run()))
        self.ticker = self.tickers[pace.interval_ms][0]
        self.transport.write(HEAD)
        self.ticker.left[self] = pace.chunks

    def end(self) -> None:
        self.ticker = None
        last = stream_end(chunks=self.chunks, usage_member=self.usage_member)
        self.transport.write(framed(last) + b"0\r\n\r\n")


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Provider, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
