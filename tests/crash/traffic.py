"""Calls for crash tests, made and answered in one thread: whoever kills a gate knows exactly what its clients saw.

Each call has a number. It goes to the gate as a tag, which ends up in the ledger's row, and to the provider as a
header, so that three accounts can be compared: the client's, the provider's and the ledger's.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["plain", "stream", "leave_stream", "leave_plain"]
End = Literal["finished", "left", "broken", "not_made", "stuck"]

MODEL = "gpt-4o-mini"
TOKEN_S = 0.004  # between two events of a stream: some are always under way
STUCK_S = 60.0  # nothing of this takes a second
_KINDS: tuple[Kind, ...] = ("plain", "plain", "stream", "stream", "stream", "leave_stream", "leave_plain")


@dataclass(slots=True)
class Call:
    """One call as its client saw it."""

    number: int
    kind: Kind
    end: End = "not_made"
    call_id: str | None = None
    output_tokens: int | None = None  # that the provider reported, where the client read so far
    status: int | None = None


@dataclass
class Traffic:
    """Clients and a provider. ``calls`` and ``reached`` may be read by another thread while they grow."""

    seed: int
    clients: int = 8
    team: str = "crash"
    calls: list[Call] = field(default_factory=list)
    reached: set[int] = field(default_factory=set)  # numbers that the provider saw
    gates: list[int] = field(default_factory=list)  # ports; a client takes the next one for each connection
    origin: str = ""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _going: asyncio.Event = field(default_factory=asyncio.Event)  # else clients rest
    _flowing: asyncio.Event = field(default_factory=asyncio.Event)
    _idle: int = 0
    _loop: asyncio.AbstractEventLoop | None = None

    def go(self) -> None:
        """Make calls from now on."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._going.set)

    def rest(self, within_s: float = 60.0) -> None:
        """Make no more calls; returns when those under way have ended."""
        assert self._loop is not None
        asyncio.run_coroutine_threadsafe(self._rest(), self._loop).result(within_s)

    def hold(self) -> None:
        """Let the provider begin streams and not end them."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def release(self) -> None:
        """Let them run on."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._flowing.set)

    def finished(self) -> list[Call]:
        return [call for call in self.calls if call.end == "finished"]

    async def _rest(self) -> None:
        self._going.clear()
        while self._idle < self.clients:  # noqa: ASYNC110 a test may poll
            await asyncio.sleep(0.01)

    async def _client(self, number: int) -> None:
        draw = random.Random(f"{self.seed}/{number}")
        link: _Link | None = None
        while True:
            if not self._going.is_set():
                if link is not None:
                    link.close()
                    link = None
                self._idle += 1
                await self._going.wait()
                self._idle -= 1
            call = Call(next(self._numbers), draw.choice(_KINDS))
            self.calls.append(call)
            try:
                if link is None:
                    link = await _Link.open(self.gates[(number + call.number) % len(self.gates)])
                keep = await asyncio.wait_for(self._make(call, link, draw), STUCK_S)
            except TimeoutError:
                call.end = "stuck"
                keep = False
            except (OSError, asyncio.IncompleteReadError):
                call.end = "not_made" if link is None else "broken"
                keep = False
                await asyncio.sleep(0.02)
            except asyncio.CancelledError:
                if link is not None:
                    link.close()
                raise
            if link is not None and not keep:
                link.close()
                link = None

    async def _make(self, call: Call, link: _Link, draw: random.Random) -> bool:
        """Make one call; gives whether its connection can be used again."""
        call.end = "broken"  # until proven otherwise
        streamed = call.kind in ("stream", "leave_stream")
        body = json.dumps({"model": MODEL, "stream": streamed, "messages": [{"role": "user", "content": "hello"}]})
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: gate\r\ncontent-type: application/json\r\n"
            f"x-joulegate-team: {self.team}\r\nx-joulegate-tags: n={call.number}\r\nx-number: {call.number}\r\n"
            f"authorization: Bearer sk-of-the-client\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        link.writer.write(head.encode() + body.encode())
        if call.kind == "leave_plain":
            await asyncio.sleep(draw.uniform(0, 0.03))
            call.end = "left"
            return False
        call.status, headers = await link.head()
        call.call_id = headers["x-joulegate-call-id"]
        keep = headers.get("connection") != "close"
        if headers.get("transfer-encoding") != "chunked":
            reply = await link.reader.readexactly(int(headers["content-length"]))
            if call.status == 200:
                call.output_tokens = json.loads(reply)["usage"]["completion_tokens"]
                call.end = "finished"
            return keep
        leaves_after = draw.randrange(0, 12) if call.kind == "leave_stream" else -1
        events = 0
        async for chunk in link.chunks():
            if b"data: [DONE]" in chunk:
                call.end = "finished"
                if draw.random() < 0.3:  # as SDKs do: they do not wait for the end of the transfer
                    return False
            else:
                events += chunk.count(b"data: ")
                if 0 <= leaves_after <= events:
                    call.end = "left"
                    return False
        call.output_tokens = None  # the usage was asked for by the gate, and is not shown
        return keep

    async def _provide(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                headers = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
                asked = json.loads(await reader.readexactly(int(headers["content-length"])))
                number = int(headers["x-number"])
                self.reached.add(number)
                if asked.get("stream"):
                    await _stream(number, writer, self._flowing)
                else:
                    await _answer(number, writer)


def output_tokens(number: int) -> int:
    """How many tokens the provider says it made for a call."""
    return 3 + number * 7919 % 11


async def _answer(number: int, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep((number % 5) * TOKEN_S)
    usage = {"prompt_tokens": 9, "completion_tokens": output_tokens(number), "total_tokens": 9 + output_tokens(number)}
    message = {"role": "assistant", "content": "word " * output_tokens(number)}
    reply = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1, "model": MODEL, "usage": usage}
    reply["choices"] = [{"index": 0, "message": message, "finish_reason": "stop"}]
    body = json.dumps(reply).encode()
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()


async def _stream(number: int, writer: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
    head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    writer.write(head.encode())
    plain = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    for _ in range(output_tokens(number)):
        delta = {"index": 0, "delta": {"content": "word "}, "finish_reason": None}
        _event(writer, json.dumps(plain | {"choices": [delta], "usage": None}))
        await writer.drain()
        await asyncio.sleep(TOKEN_S)
    await flowing.wait()
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    _event(writer, json.dumps(plain | {"choices": [last], "usage": None}))
    usage = {"prompt_tokens": 9, "completion_tokens": output_tokens(number), "total_tokens": 9 + output_tokens(number)}
    _event(writer, json.dumps(plain | {"choices": [], "usage": usage}))
    _event(writer, "[DONE]")
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _event(writer: asyncio.StreamWriter, text: str) -> None:
    data = f"data: {text}\n\n".encode()
    writer.write(b"%x\r\n%b\r\n" % (len(data), data))


@dataclass(slots=True)
class _Link:
    """A client's connection to a gate."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @classmethod
    async def open(cls, port: int) -> _Link:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def close(self) -> None:
        self.writer.transport.abort()

    async def head(self) -> tuple[int, dict[str, str]]:
        lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        return int(lines[0].split()[1]), dict(line.lower().split(": ", 1) for line in lines[1:])

    async def chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            yield (await self.reader.readexactly(size + 2))[:-2]
        await self.reader.readexactly(2)


@contextlib.contextmanager
def traffic(seed: int, *, clients: int = 8, team: str = "crash") -> Iterator[Traffic]:
    """Run a provider and resting clients; say :meth:`Traffic.go` once ``gates`` are known."""
    made = Traffic(seed, clients=clients, team=team)
    made._flowing.set()
    up, stop = threading.Event(), asyncio.Event()

    async def run() -> None:
        made._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(made._provide, "127.0.0.1", 0, backlog=1000)
        made.origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with asyncio.TaskGroup() as tasks:  # a client that fails ends all, and the test
            waiting = [tasks.create_task(made._client(number)) for number in range(clients)]
            up.set()
            await stop.wait()
            for each in waiting:
                each.cancel()
        server.close()

    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(lambda: asyncio.run(run()))
        assert up.wait(10)
        try:
            yield made
        finally:
            if made._loop is not None and not running.done():
                made._loop.call_soon_threadsafe(stop.set)
            running.result(30)
