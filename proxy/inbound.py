"""Connections of clients: HTTP/1.1 by httptools, with bounds for all but a body, and errors as JSON.

All of a request but its body is bounded in size: its head, and with it the extensions and trailers of
its chunks. The parser keeps a line until it ends, so what is fed to it is counted, not what it gives back.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import httptools

from proxy.client import Refused
from proxy.request import BODY_BYTES_AT_MOST, STATUS_LINE, Request
from proxy.teams import Headers
from proxy.wire.registry import surface_for

if TYPE_CHECKING:
    from proxy.listener import GateServer

EARLY_BYTES = 256 * 1024  # what is held of what a client sends before its WebSocket is agreed to
CHUNK_BYTES = 20  # what a chunk may have beside its data at no charge: a size of 16 digits and two line ends
LINGER_S = 30.0  # how long a client may go on sending what nobody reads: closing at once would take its answer away


class Connection(asyncio.Protocol):
    """One client's connection: requests are parsed as they come and answered one after another."""

    def __init__(self, server: GateServer, loop: asyncio.AbstractEventLoop) -> None:
        settings = server.app.gate.settings
        self.loop = loop
        self.transport: asyncio.Transport
        self.writing_paused = False
        self.lingers = False  # nothing more is said: a shutdown need not wait for its end
        self._server = server
        self._header_bytes = settings.header_bytes
        self._head_s = settings.head_s
        self._parser = httptools.HttpRequestParser(self)
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)  # what follows is not carried
        # Of the request that is arriving
        self._url = b""
        self._headers: Headers = []
        self._expects = False
        self._left = self._header_bytes  # what it may have beside its body
        self._in_head = self._in_body = False  # both False: none has begun
        self._behind = False  # a request has ended within this read: another may have begun behind it, anywhere
        self._latest: Request | None = None  # whose head has come last
        # Of the connection
        self._running: Request | None = None  # which is being answered
        self._waiting: deque[Request] = deque()  # for their turn
        self._deaf = False  # what still comes is read and thrown away
        self._early: bytearray | None = None  # set: a WebSocket was asked for; what came behind the asking
        self._reading_paused = False
        self._write_waiter: asyncio.Future[None] | None = None
        self._due: float | None = None  # when the client has waited, or kept waiting, too long
        self._timer: asyncio.TimerHandle | None = None  # one that rings early is set again, not each time anew
        self._rings_at = 0.0

    # What the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        self.transport = cast("asyncio.Transport", transport)
        self._server.connections.add(self)
        self._wait(self._server.keep_alive_s)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell who answers that the client has left."""
        self._server.connections.discard(self)
        self._deaf = True
        self._waiting.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._running is not None:
            self._running.break_off()
        self.resume_writing()

    def pause_writing(self) -> None:
        """Take note that the client is slow to take what was sent."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """Let who waits go on sending."""
        self.writing_paused = False
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Parse what came."""
        # A head has to end within what is left of its bytes; what comes behind them may be its body.
        while len(data) > self._left and not (self._in_body or self._deaf):
            head, data = data[: self._left], data[self._left :]
            self._feed(head)
            if self._left <= 0 and not self._in_body:
                self._refuse_size()
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._early is not None:
            self._hold_early(data)
            return
        self._left -= len(data)
        self._behind = False
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self._latest is not None and self._latest.hand_over is not None:
                self._wait_for_switch(rest)
            else:
                self._ignore_upgrade(rest)
        except httptools.HttpParserError:
            self._refuse(400, "invalid_http", "This is not a valid HTTP/1.1 request.")
        if self._in_head or self._in_body:
            self._bound(data)

    def _bound(self, data: bytes) -> None:
        """Bound what has not ended with this read: the size of all but a body, the time of a head."""
        if self._in_body:
            self._left = min(self._left, self._header_bytes)  # what small chunks did not need is not saved up
        elif self._behind:
            unended = len(data) - (data.rfind(b"\n") + 1)
            self._left = self._header_bytes - self._fields_bytes() - unended
        if self._left < 0:
            self._refuse_size()
        elif self._in_head and self._due is None:
            self._wait(self._head_s)

    def _fields_bytes(self) -> int:
        return len(self._url) + sum(len(name) + len(value) + 4 for name, value in self._headers)

    # What httptools calls

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._url, self._headers, self._expects = b"", [], False
        self._in_head = True
        self._due = None

    def on_url(self, url: bytes) -> None:
        """Take a piece of its target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if self._in_body:
            return  # a trailer: taken among the headers it would count as one of them (RFC 9110 §6.5.1)
        name = name.lower()
        if name == b"expect":
            self._expects = value.lower() == b"100-continue"
        elif name == b"transfer-encoding" and value.lower() != b"chunked":
            # The parser would let pass what we would then send on as plain chunks.
            self._refuse(501, "transfer_coding_unknown", "Of the transfer codings only `chunked` is known here.")
        self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Have the request answered, now or after the ones before it."""
        if self._behind and self._fields_bytes() > self._header_bytes:
            self._refuse_size()
        if self._deaf:
            return
        parser = self._parser
        path, query = _split(self._url)
        old = parser.get_http_version() == "1.0"
        switches = parser.should_upgrade() and (b"upgrade", b"websocket") in self._headers
        request = Request(
            self,
            parser.get_method().decode("ascii"),
            path,
            query,
            self._headers,
            old=old,
            keep_alive=parser.should_keep_alive() and not old and not self._server.ending,
            expects=self._expects,
            hand_over=self._hand_over if switches else None,
        )
        self._latest = request
        self._in_head, self._in_body = False, True
        self._left += CHUNK_BYTES
        self._due = None
        if self._running is None:
            self._run(request)
        else:
            self._pause_reading()
            self._waiting.append(request)

    def on_chunk_header(self) -> None:
        """Allow for the next chunk's framing."""
        self._left += CHUNK_BYTES

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        request = self._latest
        if self._deaf or request is None:
            return
        self._left += len(body)
        if request.complete:  # it had its answer early: its connection stays while more of it comes
            self._wait(self._server.keep_alive_s)
            return
        request.feed(body)
        if request.held > BODY_BYTES_AT_MOST:
            self._pause_reading()

    def on_message_complete(self) -> None:
        """End the request."""
        request = self._latest
        if self._deaf or request is None or self._parser.should_upgrade():
            return  # too late, or too early
        self._in_body = False
        self._left = self._header_bytes
        self._behind = True
        request.feed_end()
        if request.complete:
            self._wait(self._server.keep_alive_s)

    # What the server and the request that is answered call

    def finish(self) -> None:
        """Let the next answer whose client can be told so be the last one."""
        if self._latest is not None and not self._latest.started:
            self._latest.keep_alive = False
        if self._running is None and not self.lingers:
            self._wait(self._server.keep_alive_s)

    @property
    def at_its_last(self) -> bool:
        """Whether nothing behind the request that is answered will be, as what came behind it was refused."""
        return self._deaf and not self._waiting

    async def writable(self) -> None:
        """Wait until the client has taken what was sent, or is gone."""
        while self.writing_paused:
            self._write_waiter = self.loop.create_future()
            await self._write_waiter

    def resume_reading(self) -> None:
        """Read on, unless a request waits for its turn."""
        if self._reading_paused and not self._waiting and self._early is None:
            self._reading_paused = False
            if not self.transport.is_closing():
                self.transport.resume_reading()

    def replied(self, request: Request) -> None:
        """Take note that a reply has been sent to its end."""
        self._running = None
        if not request.keep_alive or self.at_its_last:
            self._close_when_told()
            return
        if self.transport.is_closing():
            return
        if self._waiting:
            self._run(self._waiting.popleft())
        elif not self._in_head:
            self._wait(self._server.keep_alive_s)
        self.resume_reading()
        if self._in_head:
            self._wait(self._head_s)  # it has begun behind this one

    def _run(self, request: Request) -> None:
        self._running = request
        self._server.begin(request)

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self.transport.is_closing():
            self._reading_paused = True
            self.transport.pause_reading()

    # Waiting

    def _wait(self, seconds: float) -> None:
        """Have :meth:`_late` called in so long, in the place of what was waited for before."""
        self._due = self.loop.time() + seconds
        if self._timer is None or self._rings_at > self._due:
            if self._timer is not None:
                self._timer.cancel()
            self._set_timer(self._due)

    def _set_timer(self, at: float) -> None:
        self._rings_at = at
        self._timer = self.loop.call_at(at, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._due is not None:
            if self.loop.time() < self._due:
                self._set_timer(self._due)
            else:
                self._late()

    def _late(self) -> None:
        """End the wait for a request, or for the rest of its head."""
        if not self._in_head:
            self.transport.close()
        elif self._reading_paused:  # it is we who keep its client waiting
            self._wait(self._head_s)
        else:
            self._refuse(408, "request_timeout", f"The request's head did not come within {self._head_s:g} seconds.")

    # Other protocols

    def _wait_for_switch(self, rest: bytes) -> None:
        """Hold what comes behind the head of a request for a WebSocket until the provider has agreed or not."""
        request = cast("Request", self._latest)
        request.keep_alive = False
        self._in_body = False
        request.feed_end()
        self._early = bytearray()
        self._hold_early(rest)

    def _hold_early(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self._pause_reading()

    def _hand_over(self, headers: Headers) -> tuple[asyncio.Transport, bytes]:
        """Agree to the switch with ``headers`` and give the connection away, with what came early on it."""
        head = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        switch = b"connection: Upgrade\r\nupgrade: websocket\r\n"
        self.transport.write(STATUS_LINE[101] + head + switch + b"\r\n")
        request = cast("Request", self._latest)
        request.started = request.complete = True
        self._server.connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        return self.transport, bytes(self._early or b"")

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Take the body of a request that offers another protocol: RFC 9110 §7.8 lets a server ignore the offer."""
        # The parser stops after such a head (Java's client sends one with its first request): another takes over.
        cast("Request", self._latest).keep_alive = False
        self._parser = httptools.HttpRequestParser(
            SimpleNamespace(
                on_body=self.on_body, on_chunk_header=self.on_chunk_header, on_message_complete=self._complete_last
            )
        )
        framing = [pair for pair in self._headers if pair[0] in (b"content-length", b"transfer-encoding")]
        head = b"".join(b"%b: %b\r\n" % pair for pair in framing)
        again = b"POST / HTTP/1.1\r\n" + head + b"\r\n" + rest
        self._left += len(again)  # counted once
        self._feed(again)

    def _complete_last(self) -> None:
        self.on_message_complete()
        self._deaf = True  # no head is read any more: what follows would be taken for more of this body

    # Refusing

    def _refuse_size(self) -> None:
        what = "The request's head, with the extensions and trailers of its chunks,"
        message = f"{what} is larger than {self._header_bytes} bytes."
        self._refuse(431, "request_header_fields_too_large", message)

    def _refuse(self, status: int, code: str, message: str) -> None:
        if self._deaf:
            return
        self._deaf = True
        running, latest = self._running, self._latest
        call_id = b""
        answered = False
        if self._in_body and not self._waiting:
            # The body of a call is broken: to who carries it, its client is gone, and why is its record.
            if latest is not None:
                answered = latest.started
                latest.break_off(Refused(status, code))
        else:
            refused = self._server.app.refused(status, code, *self._asked())
            call_id = b"x-joulegate-call-id: %b\r\n" % refused.encode()
            if self._in_body:
                self._waiting.pop()  # nobody carries it yet
            if running is not None:
                return  # it came behind another, whose client shall have its reply: that takes the connection with it
        if not answered:
            body = surface_for(*self._asked()).error(status, code, message)
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + call_id + b"\r\n" + body)
        self._linger()

    def _asked(self) -> tuple[str, str]:
        """Give the method and the path of the latest request, as far as they have come."""
        method = self._parser.get_method() if self._url else b""
        return method.decode("ascii"), self._url.decode("latin-1").partition("?")[0]

    def _close_when_told(self) -> None:
        """Close after the last reply; its client may still be sending."""
        if self._in_head or self._in_body or self._deaf:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Say that nothing more comes, and close when the client has seen it: at once would take its answer away."""
        self._deaf = True
        self.lingers = True
        self._waiting.clear()  # nobody would see these answered
        if not self.transport.is_closing():
            self.resume_reading()
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.close)


def _split(url: bytes) -> tuple[bytes, bytes]:
    """Take a request's target apart into path and query, both as they came; raises ``ValueError``."""
    if not url.isascii():
        raise ValueError("a request's target is ASCII")
    if url[:1] == b"/" and b"#" not in url:
        path, _, query = url.partition(b"?")
        return path, query
    parsed = httptools.parse_url(url)  # of a proxy's form, http://host/path, or none
    return parsed.path, parsed.query or b""
