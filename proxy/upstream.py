"""The gate's HTTP/1.1 client: bytes as they are, chunk by chunk, with backpressure and pooled connections.

An :class:`Exchange` is one request and its reply. The reply's body comes as the provider sent it
(its content-encoding untouched), in the pieces in which it arrived. There is no read timeout: a
reasoning model may be silent for minutes, and the client's own patience decides. Nothing is sent
twice: a provider would bill it twice.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from typing import cast

import httptools

from proxy.client import ClientGone
from proxy.errors import JoulegateError
from proxy.routing import Origin
from proxy.teams import HOP_BY_HOP, Headers

BUFFERED_BYTES_AT_MOST = 256 * 1024  # of a reply, while its client is slower than its provider
IDLE_S = 4.0  # below the 5 s after which common servers (uvicorn, Node) close an idle connection
HEAD_BYTES_AT_MOST = 256 * 1024
KEEPALIVE_PROBE_S = 60  # TCP keepalive: silence is allowed, a dead peer is noticed


class UpstreamError(JoulegateError):
    """The provider could not be reached or did not finish: a stable code and what happened."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Upstream:
    """A pool of connections to providers."""

    def __init__(self, *, connect_timeout_s: float) -> None:
        self._connect_timeout_s = connect_timeout_s
        self._idle: dict[Origin, list[_Connection]] = {}
        self._tls: ssl.SSLContext | None = None
        self._sweep: asyncio.TimerHandle | None = None

    async def open(self, origin: Origin) -> Exchange:
        """Take or make a connection; raises :class:`UpstreamError` 502/504 where none can be made."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable():
                return Exchange(self, origin, connection)
            connection.abort()
        return Exchange(self, origin, await self._connect(origin))

    async def close(self) -> None:
        """Close the idle connections."""
        if self._sweep is not None:
            self._sweep.cancel()
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()

    def keep(self, origin: Origin, connection: _Connection) -> None:
        """Put a connection back whose reply has ended cleanly."""
        connection.idle_since = connection.loop.time()
        self._idle.setdefault(origin, []).append(connection)
        if self._sweep is None:
            self._sweep = connection.loop.call_later(IDLE_S, self._drop_stale)

    def _drop_stale(self) -> None:
        for idle in self._idle.values():
            for connection in [each for each in idle if not each.usable()]:
                idle.remove(connection)
                connection.abort()
        loop = asyncio.get_running_loop()
        self._sweep = loop.call_later(IDLE_S, self._drop_stale) if any(self._idle.values()) else None

    async def _connect(self, origin: Origin) -> _Connection:
        loop = asyncio.get_running_loop()
        where = f"{origin.host}:{origin.port}"
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: _Connection(loop),
                    origin.host,
                    origin.port,
                    ssl=self._tls_context() if origin.tls else None,
                    server_hostname=origin.host if origin.tls else None,
                )
        except TimeoutError:
            message = f"The provider at {where} did not accept a connection within {self._connect_timeout_s:g} s."
            raise UpstreamError(504, "upstream_connect_timeout", message) from None
        except ssl.SSLError as error:  # an OSError too: name it first
            message = f"The provider at {where} failed the TLS handshake: {error.reason or type(error).__name__}."
            raise UpstreamError(502, "upstream_tls_failed", message) from None
        except OSError as error:
            what = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
            message = f"The provider at {where} cannot be reached: {what or type(error).__name__}."
            raise UpstreamError(502, "upstream_unreachable", message) from None
        return connection

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:  # loading the system's certificates takes tens of milliseconds: once, when needed
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


class Exchange:
    """One request and its reply over one connection."""

    __slots__ = ("_connection", "_origin", "_pump", "_released", "_upstream", "headers", "status")

    def __init__(self, upstream: Upstream, origin: Origin, connection: _Connection) -> None:
        self._upstream = upstream
        self._origin = origin
        self._connection = connection
        self._pump: asyncio.Task[None] | None = None
        self._released = False  # the connection may be another exchange's by now
        self.status = 0
        self.headers: Headers = []

    def send(
        self,
        method: bytes,
        target: bytes,
        headers: Headers,
        body: bytes | AsyncIterator[bytes] | None,
        *,
        upgrade: bool = False,
    ) -> None:
        """Send the request: a body held whole at once, one that still comes as it comes (in the background).

        ``upgrade`` asks for a WebSocket; where :attr:`switched` says so afterwards, the provider agreed.
        """
        lines = [method, b" ", target, b" HTTP/1.1\r\nhost: ", self._origin.authority, b"\r\n"]
        framed = False
        for name, value in headers:
            if name == b"content-length":
                if isinstance(body, bytes):
                    continue  # ours below: the body may have been prepared
                framed = True
            lines += (name, b": ", value, b"\r\n")
        if upgrade:
            lines.append(b"connection: upgrade\r\nupgrade: websocket\r\n")
        if isinstance(body, bytes):
            lines += (b"content-length: ", str(len(body)).encode(), b"\r\n\r\n", body)
        elif body is None or framed:
            lines.append(b"\r\n")
        else:
            lines.append(b"transfer-encoding: chunked\r\n\r\n")
        self._connection.begin(method, upgrade=upgrade)
        self._connection.transport.write(b"".join(lines))
        if body is not None and not isinstance(body, bytes):
            self._pump = self._connection.loop.create_task(self._send_rest(body, chunked=not framed))

    async def head(self) -> None:
        """Wait for the reply's head: ``status`` and end-to-end ``headers``. Raises :class:`UpstreamError`."""
        await self._connection.wait_for_head()
        self.status = self._connection.status
        self.headers = self._connection.headers

    async def read(self) -> bytes:
        """Give the body's next bytes, ``b""`` at its end. Raises :class:`UpstreamError` where it breaks off."""
        connection = self._connection
        while not connection.pieces:
            if connection.complete:
                return b""
            if connection.failure is not None:
                raise connection.failure
            await connection.wait()
        return connection.take()

    async def readable(self, within_s: float) -> bool:
        """Wait at most so long for more of the body, its end or its failure."""
        return await self._connection.readable(within_s)

    def when_sent(self, then: Callable[[], None]) -> None:
        """Call ``then`` when the whole request has been sent: now, or when its last piece has gone."""
        if self._pump is None:
            then()
        else:
            self._pump.add_done_callback(lambda pump: None if pump.cancelled() else then())

    @property
    def switched(self) -> bool:
        """Whether the provider has agreed to speak another protocol from here on."""
        return self._connection.status == 101

    def take_over(self) -> tuple[asyncio.Transport, bytes]:
        """Give the connection away after a switch, with what has arrived on it; it is never pooled again."""
        self._released = True
        return self._connection.transport, b"".join(self._connection.pieces)

    @property
    def ended(self) -> bool:
        """Whether the whole reply has arrived (it may still have to be read)."""
        return self._connection.complete

    def abort(self) -> None:
        """Close the connection now, unless it was released; whoever waits for the reply gets an UpstreamError."""
        if self._released:
            return
        self._stop_pump()
        self._connection.fail(502, "upstream_cancelled", "The call was cancelled.")
        self._connection.abort()

    def release(self) -> None:
        """Give the connection back for the next call; only when all of the reply was read."""
        self._released = True
        pumping = self._pump is not None and not self._pump.done()
        self._stop_pump()
        if self._connection.reusable and not pumping:
            self._upstream.keep(self._origin, self._connection)
        else:
            self._connection.abort()

    def _stop_pump(self) -> None:
        if self._pump is not None:
            self._pump.cancel()

    async def _send_rest(self, body: AsyncIterator[bytes], *, chunked: bool) -> None:
        transport = self._connection.transport
        try:
            async for piece in body:
                await self._connection.writable()
                if transport.is_closing():
                    return
                if piece:
                    transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                transport.write(b"0\r\n\r\n")
        except ClientGone:
            self.abort()


class _Connection(asyncio.Protocol):
    """One connection: httptools parses, this keeps what the exchange reads."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport: asyncio.Transport
        self.idle_since = 0.0
        self._lost = False
        self._waiter: asyncio.Future[None] | None = None
        self._write_waiter: asyncio.Future[None] | None = None
        self._write_paused = False
        self._read_paused = False
        self._reset(b"", upgrade=False)

    def _reset(self, method: bytes, *, upgrade: bool) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self._method = method
        self._upgrade = upgrade
        self.status = 0
        self.headers: Headers = []
        self._head_bytes = 0
        self._head_done = False
        self._framed = False
        self.pieces: list[bytes] = []
        self._buffered = 0
        self.complete = False
        self.reusable = False
        self.failure: UpstreamError | None = None

    # What the exchange calls

    def begin(self, method: bytes, *, upgrade: bool) -> None:
        self._reset(method, upgrade=upgrade)

    def usable(self) -> bool:
        return not self._lost and not self.transport.is_closing() and self.loop.time() - self.idle_since < IDLE_S

    async def wait_for_head(self) -> None:
        while not self._head_done:
            if self.failure is not None:
                raise self.failure
            await self.wait()

    async def wait(self) -> None:
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def readable(self, within_s: float) -> bool:
        if not self._has_news() and within_s > 0:
            timer = self.loop.call_later(within_s, self._wake)
            try:
                await self.wait()
            finally:
                timer.cancel()
        return self._has_news()

    def _has_news(self) -> bool:
        return bool(self.pieces) or self.complete or self.failure is not None

    def take(self) -> bytes:
        data = self.pieces[0] if len(self.pieces) == 1 else b"".join(self.pieces)
        self.pieces = []
        self._buffered = 0
        if self._read_paused:
            self._read_paused = False
            if not self._lost:
                self.transport.resume_reading()
        return data

    async def writable(self) -> None:
        if self._write_paused and not self._lost:
            self._write_waiter = self.loop.create_future()
            await self._write_waiter

    def fail(self, status: int, code: str, message: str) -> None:
        if not self.complete and self.failure is None:
            self.failure = UpstreamError(status, code, message)
            self._wake()

    def abort(self) -> None:
        self.transport.abort()

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE_PROBE_S)

    def data_received(self, data: bytes) -> None:
        if self.complete or not self._method:  # nothing was asked: not a connection to use again
            self.abort()
            return
        if not self._head_done:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_AT_MOST:
                self.fail(502, "upstream_invalid", "The provider's reply has too large a head.")
                self.abort()
                return
        if self.status == 101:
            self.on_body(data)
            self._wake()
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as switched:
            if self.status == 101:
                self.on_body(data[switched.args[0] :])
            else:  # nobody asked for another protocol
                self.fail(502, "upstream_invalid", "The provider's reply is not HTTP.")
                self.abort()
        except httptools.HttpParserError:
            self.fail(502, "upstream_invalid", "The provider's reply is not HTTP.")
            self.abort()
        if self.complete or self._head_done:
            self._wake()

    def eof_received(self) -> None:
        pass  # the transport closes itself; connection_lost says what it meant

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._head_done and not self._framed and exc is None:
            self.complete = True  # RFC 9112 §6.3: a reply without a length ends with its connection
            self._wake()
        elif self._head_done:
            self.fail(502, "upstream_closed", "The provider closed the connection in the middle of its reply.")
        else:
            self.fail(502, "upstream_closed", "The provider closed the connection without a reply.")
        self.resume_writing()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)

    # What httptools calls

    def on_message_begin(self) -> None:
        if self.complete:  # a second reply, which nobody asked for
            self.reusable = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._head_done:  # a trailer comes after: it is not part of the head
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self.parser.get_status_code()
        switches = status == 101 and self._upgrade
        if self._head_done or (100 <= status < 200 and not switches):
            return
        if not (200 <= status <= 599 or switches):
            self.fail(502, "upstream_invalid", f"The provider's reply has the status {status}, which is none.")
            self.abort()
            return
        self.status = status
        named: set[bytes] = set()
        for name, value in self.headers:
            if name in (b"content-length", b"transfer-encoding"):
                self._framed = True
            elif name == b"connection":
                named |= {token.strip().lower() for token in value.split(b",")}
        self.headers = [pair for pair in self.headers if pair[0] not in HOP_BY_HOP and pair[0] not in named]
        self._head_done = True
        if self._method == b"HEAD":
            # The parser does not know the request: it would wait for a body that never comes.
            self.complete = True

    def on_body(self, body: bytes) -> None:
        if self.complete:
            return
        self.pieces.append(body)
        self._buffered += len(body)
        if self._buffered > BUFFERED_BYTES_AT_MOST and not self._read_paused:
            self._read_paused = True
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        if self.status == 101:  # what follows is another protocol, whose end is the connection's
            return
        if not self._head_done:  # an interim reply (1xx): the real one follows
            self.headers = []
            return
        if self.complete:
            return
        self.complete = True
        self.reusable = self.parser.should_keep_alive()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
