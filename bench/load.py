"""The load: wrk for whole replies, and an asyncio client that reads marked chunks for streams."""

import asyncio
import re
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from bench.exchange import MARK, Pace, question
from bench.processes import Cores

LUA = """
wrk.method = "POST"
wrk.body = [==[{body}]==]
wrk.headers["content-type"] = "application/json"
wrk.headers["authorization"] = "Bearer {key}"
"""
UNIT_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """What wrk saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


@dataclass(slots=True, kw_only=True)
class Streamed:
    """What the stream client saw; delays are from sending a chunk to receiving it."""

    chunks: int = 0
    delays_ms: list[float] = field(default_factory=list)


def wrk(url: str, *, key: str, connections: int, seconds: float, cores: Cores, folder: Path) -> Whole:
    """Send questions over a number of connections; anything but 2xx replies is an error."""
    script = folder / "question.lua"
    script.write_text(LUA.format(body=question().decode(), key=key))
    command = ["taskset", "--cpu-list", str(cores.load), "wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s"]
    command += ["--timeout", "30s", "--latency", "-s", str(script), url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    done = re.search(r"(\d+) requests in ([\d.]+)(m?s)", text)
    if done is None or "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(f"bench: wrk against {url} did not go well:\n{text}")
    return Whole(
        requests=int(done[1]),
        seconds=float(done[2]) * UNIT_MS[done[3]] / 1000,
        p50_ms=_percentile(text, 50),
        p99_ms=_percentile(text, 99),
    )


def _percentile(text: str, percent: int) -> float:
    match = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s)\s*$", text, re.MULTILINE)
    if match is None:
        raise SystemExit(f"bench: wrk printed no {percent}th percentile:\n{text}")
    return float(match[1]) * UNIT_MS[match[2]]


class StreamReader(asyncio.Protocol):
    """One connection that asks for a stream and counts its chunks as they come."""

    def __init__(self, request: bytes, seen: Streamed) -> None:
        self.request = request
        self.seen = seen
        self.tail = b""
        self.first = asyncio.get_running_loop().create_future()
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        text = self.tail + data
        rest = 0
        for match in MARK.finditer(text):
            rest = match.end()
            self.seen.chunks += 1
            self.seen.delays_ms.append((now - int(match[1])) / 1e6)
        if rest and not self.first.done():
            self.first.set_result(None)
        if b"[DONE]" in text and not self.ended.done():
            self.ended.set_result(None)
        self.tail = text[max(rest, len(text) - 64) :]

    def connection_lost(self, exc: Exception | None) -> None:
        for future in (self.first, self.ended):
            if not future.done():
                future.set_exception(ConnectionError(f"the stream broke off after: {self.tail!r}"))
                future.exception()  # seen: whoever waits gets it still


async def open_streams(url: str, *, key: str, streams: int, pace: Pace, seen: Streamed) -> list[StreamReader]:
    """Open a number of streams at once; returns when each has had its first chunk."""
    parts = urlsplit(url)
    body = question(pace=pace)
    request = (
        f"POST {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    ).encode() + body
    loop = asyncio.get_running_loop()
    readers = []
    for start in range(0, streams, 50):  # not all in one instant: a listen queue is not what is measured
        batch = range(start, min(start + 50, streams))
        made = [
            await loop.create_connection(lambda: StreamReader(request, seen), parts.hostname, parts.port) for _ in batch
        ]
        readers += [reader for _, reader in made]
    await asyncio.gather(*(reader.first for reader in readers))
    return readers


def read_streams(url: str, *, key: str, streams: int, pace: Pace) -> Streamed:
    """Open a number of streams, read each to its end."""
    seen = Streamed()

    async def run() -> None:
        readers = await open_streams(url, key=key, streams=streams, pace=pace, seen=seen)
        await asyncio.gather(*(reader.ended for reader in readers))

    uvloop.run(run())
    if seen.chunks != streams * pace.chunks:
        raise SystemExit(f"bench: {seen.chunks} of {streams * pace.chunks} chunks arrived from {url}")
    return seen
