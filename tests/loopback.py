"""Real parts for tests, over loopback: a provider that says exactly what a test scripts, and a running gate."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import uvloop

from proxy.app import GateApplication, build_gate
from proxy.call import Closed, Opened, Record
from proxy.config import load
from proxy.listener import GateServer
from proxy.routing import Translator
from proxy.sections import Config
from proxy.tail import Tail


@dataclass
class Seen:
    """A request as the provider got it."""

    head: bytes
    body: bytes
    reader: asyncio.StreamReader

    async def gone(self) -> None:
        """Wait until the gate has closed its connection."""
        while await self.reader.read(65536):
            pass

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        lines = self.head.rstrip(b"\r\n").split(b"\r\n")[1:]
        return [(n.lower(), v.strip()) for n, _, v in (line.partition(b":") for line in lines)]

    def header(self, name: bytes) -> bytes | None:
        return next((v for n, v in self.headers if n == name), None)


Script = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Provider:
    """A raw HTTP/1.1 server whose replies are a test's own bytes."""

    script: Script
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    closed: int = 0  # of the connections
    port: int = 0

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await _head(reader):
                seen = Seen(head, b"", reader)
                seen.body = await _body(reader, seen)
                self.seen.append(seen)
                await self.script(seen, writer)
                await writer.drain()
        finally:
            self.closed += 1


async def _head(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return b""


async def _body(reader: asyncio.StreamReader, seen: Seen) -> bytes:
    length = seen.header(b"content-length")
    if length is not None:
        return await reader.readexactly(int(length))
    if seen.header(b"transfer-encoding") != b"chunked":
        return b""
    body = bytearray()
    while size := int(await reader.readline(), 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    await reader.readexactly(2)
    return bytes(body)


def says(reply: bytes) -> Script:
    """Say the same to every request."""

    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(reply)

    return script


def reply(body: bytes, *headers: str, status: str = "200 OK", content_type: str = "application/json") -> bytes:
    """A whole reply with its length."""
    lines = [f"HTTP/1.1 {status}", f"content-type: {content_type}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def stream_head(*headers: str, content_type: str = "text/event-stream") -> bytes:
    """The head of a reply in chunks."""
    lines = ["HTTP/1.1 200 OK", f"content-type: {content_type}", "transfer-encoding: chunked", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk; an empty one ends the reply."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def until(event: threading.Event) -> None:
    """Wait in a script for what a test's own thread says."""
    while not event.is_set():  # noqa: ASYNC110 the event is of another thread
        await asyncio.sleep(0.001)


@contextlib.contextmanager
def listening(serve: Serve, **settings: object) -> Iterator[int]:
    """Serve connections in a thread of its own; gives the port."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(connected, "127.0.0.1", 0, limit=2**24, **settings))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def end() -> None:
        server.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.01)  # closed connections are let go of

    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextlib.contextmanager
def provider(script: Script, **settings: object) -> Iterator[Provider]:
    made = Provider(script)
    with listening(made.serve, **settings) as made.port:
        yield made


@dataclass
class RunningGate:
    """A gate on a loopback port, in a thread of its own."""

    port: int
    journal: Path
    app: GateApplication
    stop: Callable[[], None]  # as on SIGTERM; returns when the gate has ended

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def records(self) -> list[Record]:
        tail = Tail(self.journal)
        try:
            return [entry.record for entry in tail.read(1_000_000)]
        finally:
            tail.close()

    def closed(self, count: int, *, within_s: float = 10.0) -> list[Closed]:
        """Wait for so many ended calls, in the order in which they ended."""
        deadline = time.monotonic() + within_s
        while True:
            ended = [record for record in self.records() if isinstance(record, Closed)]
            if len(ended) >= count or time.monotonic() > deadline:
                assert len(ended) == count, [(c.outcome, c.reason) for c in ended]
                return ended
            time.sleep(0.01)

    def opened(self) -> list[Opened]:
        return [record for record in self.records() if isinstance(record, Opened)]


@contextlib.contextmanager
def gate(tmp_path: Path, toml: str = "", **settings: object) -> Iterator[RunningGate]:
    """Run a gate with this configuration text; ``settings`` replace values of its [gate] table."""
    file = tmp_path / "joulegate.toml"
    file.write_text(f'[journal]\ndirectory = "{tmp_path / "journal"}"\n{toml}')
    config = load(file, environment={}).config
    config = msgspec.structs.replace(config, gate=msgspec.structs.replace(config.gate, **settings))
    with running(config) as gate:
        yield gate


@contextlib.contextmanager
def running(config: Config, translator: Translator | None = None) -> Iterator[RunningGate]:
    app = build_gate(config, translator=translator)
    server = GateServer(app)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)  # so that a slow client is felt soon

    loop = uvloop.new_event_loop()

    def serve() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(server.serve(listening))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()

    def stop() -> None:
        with contextlib.suppress(RuntimeError):  # it has ended before
            loop.call_soon_threadsafe(server.stop)
        thread.join(30)
        assert not thread.is_alive()

    try:
        yield RunningGate(listening.getsockname()[1], Path(config.journal.directory), app, stop)
    finally:
        stop()
        listening.close()


class Client:
    """A raw client that reads as much as it is told to."""

    def __init__(self, port: int, *, timeout_s: float = 20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s)
        self._held = b""

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """Read up to and with ``mark``; what came is given also where the other side closed before."""
        while mark not in self._held:
            piece = self.socket.recv(65536)
            if not piece:
                break
            self._held += piece
        end = self._held.find(mark)
        end = len(self._held) if end < 0 else end + len(mark)
        read, self._held = self._held[:end], self._held[end:]
        return read

    def exactly(self, size: int) -> bytes:
        while len(self._held) < size and (piece := self.socket.recv(65536)):
            self._held += piece
        read, self._held = self._held[:size], self._held[size:]
        return read

    def answer(self) -> Answer:
        """Read one whole reply, the connection staying open."""
        head = self.until(b"\r\n\r\n")
        found = parse(head)
        if (length := found.header("content-length")) is not None:
            return parse(head + self.exactly(int(length)))
        body = b""
        while line := self.until(b"\r\n"):
            body += line + self.exactly(int(line, 16) + 2)
            if line == b"0\r\n":
                break
        return parse(head + body)

    def rest(self) -> bytes:
        """Read until the other side closes."""
        read, self._held = bytearray(self._held), b""
        while piece := self.socket.recv(65536):
            read += piece
        return bytes(read)

    def reset(self) -> None:
        """Leave with a RST, as a killed process may."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def ask(port: int, request: bytes, *, timeout_s: float = 20.0) -> bytes:
    """Send raw bytes, give all that comes back until the other side closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as client:
        client.sendall(request)
        received = bytearray()
        while piece := client.recv(65536):
            received += piece
        return bytes(received)


def post(path: str, body: bytes, *headers: str) -> bytes:
    """A raw POST that asks for its connection to be closed."""
    lines = [f"POST {path} HTTP/1.1", "host: gate", "connection: close", f"content-length: {len(body)}", *headers]
    if not any(header.lower().startswith("content-type") for header in headers):
        lines.append("content-type: application/json")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class Answer:
    """A reply taken apart."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes  # transfer coding taken off, content coding not
    whole: bool  # the end of the body was there

    def header(self, name: str) -> bytes | None:
        return next((v for n, v in self.headers if n == name.encode()), None)


def parse(raw: bytes) -> Answer:
    head, _, rest = raw.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    headers = [(n.lower(), v.strip()) for n, _, v in (line.partition(b":") for line in lines[1:])]
    status = int(lines[0].split(b" ")[1])
    if (b"transfer-encoding", b"chunked") not in headers:
        length = next((int(v) for n, v in headers if n == b"content-length"), None)
        return Answer(status, headers, rest, length is None or length == len(rest))
    body, at = bytearray(), 0
    while True:
        end = rest.find(b"\r\n", at)
        if end < 0:
            return Answer(status, headers, bytes(body), False)
        size = int(rest[at:end], 16)
        if size == 0:
            return Answer(status, headers, bytes(body), True)
        body += rest[end + 2 : end + 2 + size]
        at = end + 2 + size + 2
