from __future__ import annotations

import asyncio

import pytest

from proxy import upstream as module
from proxy.routing import Origin
from proxy.upstream import BUFFERED_BYTES_AT_MOST, Upstream, UpstreamError
from tests.loopback import chunk, provider, reply, says, stream_head


async def call(upstream: Upstream, origin: str, body: bytes | None = None, method: bytes = b"GET") -> tuple[int, bytes]:
    exchange = await upstream.open(Origin.parse(origin))
    exchange.send(method, b"/x?a=1", [(b"x-a", b"1")], body)
    await exchange.head()
    pieces = []
    while piece := await exchange.read():
        pieces.append(piece)
    assert exchange.ended
    assert await exchange.read() == b""
    exchange.release()
    return exchange.status, b"".join(pieces)


async def closed(origin) -> None:
    async with asyncio.timeout(10):
        while not origin.closed:  # noqa: ASYNC110 the provider runs in another thread
            await asyncio.sleep(0.01)


def run(script, steps) -> object:
    with provider(script) as origin:

        async def whole():
            upstream = Upstream(connect_timeout_s=5)
            try:
                return await steps(upstream, origin)
            finally:
                await upstream.close()
                await asyncio.sleep(0)  # the transports close

        return asyncio.run(whole())


def test_a_request_is_framed_by_its_body():
    async def steps(upstream, origin):
        for body in (None, b"", b"abc"):
            assert await call(upstream, origin.origin, body, b"POST") == (200, b"{}")
        lines = [seen.head.partition(b"\r\n")[2] for seen in origin.seen]
        host = f"host: 127.0.0.1:{origin.port}\r\nx-a: 1\r\n".encode()
        assert lines == [host + b"\r\n", host + b"content-length: 0\r\n\r\n", host + b"content-length: 3\r\n\r\n"]
        assert origin.seen[2].body == b"abc"

    run(says(reply(b"{}")), steps)


def test_a_body_that_comes_in_pieces_is_sent_in_chunks():
    async def pieces():
        for piece in (b"a", b"", b"b" * 100_000):
            yield piece
            await asyncio.sleep(0)

    async def steps(upstream, origin):
        exchange = await upstream.open(Origin.parse(origin.origin))
        exchange.send(b"POST", b"/", [], pieces())
        sent = asyncio.Event()
        exchange.when_sent(sent.set)
        await exchange.head()
        await sent.wait()
        assert origin.seen[0].body == b"a" + b"b" * 100_000
        exchange.abort()

    run(says(reply(b"{}")), steps)


def test_idle_connections_are_closed_after_a_while(monkeypatch):
    monkeypatch.setattr(module, "IDLE_S", 0.1)

    async def steps(upstream, origin):
        await call(upstream, origin.origin)
        await call(upstream, origin.origin)
        assert (origin.connections, origin.closed) == (1, 0)
        await closed(origin)
        await call(upstream, origin.origin)
        assert origin.connections == 2

    run(says(reply(b"{}")), steps)


def test_origins_share_no_connections():
    async def steps(upstream, origin):
        for name in ("127.0.0.1", "localhost", "127.0.0.1"):
            await call(upstream, f"http://{name}:{origin.port}")
        assert origin.connections == 2

    run(says(reply(b"{}")), steps)


def test_closing_closes_what_is_idle():
    async def steps(upstream, origin):
        await call(upstream, origin.origin)
        await upstream.close()
        await closed(origin)

    run(says(reply(b"{}")), steps)


def test_aborting_wakes_whoever_waits_and_closes_the_connection():
    async def script(seen, writer):
        writer.write(stream_head())
        await seen.gone()

    async def steps(upstream, origin):
        exchange = await upstream.open(Origin.parse(origin.origin))
        exchange.send(b"GET", b"/", [], None)
        await exchange.head()
        asyncio.get_running_loop().call_later(0.01, exchange.abort)
        with pytest.raises(UpstreamError) as error:
            await exchange.read()
        assert error.value.code == "upstream_cancelled"
        with pytest.raises(UpstreamError):
            await exchange.read()
        await closed(origin)

    run(script, steps)


def test_aborting_what_was_released_leaves_its_connection_to_others():
    async def steps(upstream, origin):
        exchange = await upstream.open(Origin.parse(origin.origin))
        exchange.send(b"GET", b"/", [], None)
        await exchange.head()
        while await exchange.read():
            pass
        exchange.release()
        exchange.abort()
        assert await call(upstream, origin.origin) == (200, b"{}")
        assert origin.connections == 1

    run(says(reply(b"{}")), steps)


def test_waiting_for_more_ends_in_time():
    async def script(seen, writer):
        writer.write(stream_head())
        await writer.drain()
        await asyncio.sleep(0.1)
        writer.write(chunk(b"a") + chunk(b""))

    async def steps(upstream, origin):
        exchange = await upstream.open(Origin.parse(origin.origin))
        exchange.send(b"GET", b"/", [], None)
        await exchange.head()
        assert not await exchange.readable(0.01)
        assert not await exchange.readable(0)
        assert await exchange.readable(10)
        assert await exchange.read() == b"a"
        exchange.abort()

    run(script, steps)


def test_a_reply_nobody_reads_is_not_read_without_bounds():
    sent = 0

    async def script(seen, writer):
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while sent < 64 * 2**20:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536
        writer.close()

    async def steps(upstream, origin):
        exchange = await upstream.open(Origin.parse(origin.origin))
        exchange.send(b"GET", b"/", [], None)
        await exchange.head()
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.2)
        assert before < 32 * 2**20
        assert len(await exchange.read()) < 3 * BUFFERED_BYTES_AT_MOST
        size = 0
        while piece := await exchange.read():
            assert len(piece) < 3 * BUFFERED_BYTES_AT_MOST
            size += len(piece)
        assert size > 32 * 2**20

    run(script, steps)
