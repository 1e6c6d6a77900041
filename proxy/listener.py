"""The gate's side of HTTP: uvicorn's httptools protocol, with bounds for all but a body, and errors as JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, MutableMapping
from functools import partial
from types import SimpleNamespace
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from proxy.app import GateApplication
from proxy.gate import REFUSED
from proxy.pipeline import WITHOUT_BODY
from proxy.serving import QuietServer, quiet
from proxy.sockets import EXTENSION
from proxy.wire.registry import surface_for

EARLY_BYTES = 256 * 1024  # what is held of what a client sends before its WebSocket is agreed to
CHUNK_BYTES = 20  # what a chunk may have beside its data at no charge: a size of 16 digits and two line ends
LINGER_S = 30.0  # how long a client may go on sending what nobody reads: closing at once would take its answer away


def gate_server(app: GateApplication) -> QuietServer:
    """Make the server of the data plane."""

    def protocol(*args: Any, **kwargs: Any) -> asyncio.Protocol:
        return _GateProtocol(app, *args, **kwargs)

    return QuietServer(
        quiet(
            app,
            http=protocol,  # uvicorn calls it as it would the class
            loop="none",
            lifespan="on",
            interface="asgi3",
            date_header=False,
            log_level="critical",
            timeout_graceful_shutdown=max(1, round(app.gate.settings.shutdown_s)),
        )
    )


class _GateProtocol(HttpToolsProtocol):
    """One client connection.

    All of a request but its body is bounded in size: its head, and with it the extensions and trailers of its
    chunks. The parser keeps a line until it ends, so what is fed to it is counted, not what it gives back.
    """

    def __init__(self, gate: GateApplication, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gate = gate
        self._header_bytes = gate.gate.settings.header_bytes
        self._head_s = gate.gate.settings.head_s
        self._left = self._header_bytes  # of what the request that is arriving may have beside its body
        self._in_head = self._in_body = False  # of that request; both False: none has begun
        self._behind = False  # a request has ended within this read: another may have begun behind it, anywhere
        self.url = b""  # until a request begins
        self._deaf = False  # what still comes is read and thrown away
        self._early: bytearray | None = None  # set: a WebSocket was asked for; what came behind the asking

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._deaf = True
        self._unset_keepalive_if_required()

    def data_received(self, data: bytes) -> None:
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
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if EXTENSION in self.scope["extensions"]:
                self._wait_for_switch(rest)
            else:
                self._ignore_upgrade(rest)
        except httptools.HttpParserError:
            self.send_400_response("")
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
        elif self._in_head and self.timeout_keep_alive_task is None:
            self._wait(self._head_s)

    def _fields_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def _wait(self, seconds: float) -> None:
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """End the wait for a request, or for the rest of its head."""
        if not self._in_head:
            super().timeout_keep_alive_handler()
        elif self.flow.read_paused:  # it is we who keep its client waiting
            self._wait(self._head_s)
        else:
            self._refuse(408, "request_timeout", f"The request's head did not come within {self._head_s:g} seconds.")

    def _wait_for_switch(self, rest: bytes) -> None:
        """Hold what comes behind the head of a request for a WebSocket until the provider has agreed or not."""
        self.cycle.keep_alive = False
        super().on_message_complete()
        self._early = bytearray()
        self._hold_early(rest)

    def _hold_early(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            if len(self._early) > EARLY_BYTES:
                self.flow.pause_reading()

    def _hand_over(self, headers: Iterable[tuple[bytes, bytes]]) -> tuple[asyncio.Transport, bytes]:
        """Agree to the switch with ``headers`` and give the connection away, with what came early on it."""
        head = b"".join(b"%b: %b\r\n" % pair for pair in headers)
        switch = b"connection: Upgrade\r\nupgrade: websocket\r\n"
        self.transport.write(STATUS_LINE[101] + head + switch + b"\r\n")
        self.cycle.response_started = self.cycle.response_complete = True
        self.connections.discard(self)
        return self.transport, bytes(self._early or b"")

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Take the body of a request that offers another protocol: RFC 9110 §7.8 lets a server ignore the offer."""
        # The parser stops after such a head (Java's client sends one with its first request): another takes over.
        self.cycle.keep_alive = False
        self.parser = httptools.HttpRequestParser(
            SimpleNamespace(
                on_body=self.on_body, on_chunk_header=self.on_chunk_header, on_message_complete=self._complete_last
            )
        )
        framing = [pair for pair in self.headers if pair[0] in (b"content-length", b"transfer-encoding")]
        head = b"".join(b"%b: %b\r\n" % pair for pair in framing)
        again = b"POST / HTTP/1.1\r\n" + head + b"\r\n" + rest
        self._left += len(again)  # counted once
        self._feed(again)

    def _complete_last(self) -> None:
        self.on_message_complete()
        self._deaf = True  # no head is read any more: what follows would be taken for more of this body

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head = True
        self._unset_keepalive_if_required()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:
            return  # a trailer: taken among the headers it would count as one of them (RFC 9110 §6.5.1)
        super().on_header(name, value)
        if len(name) == 17 and name.lower() == b"transfer-encoding" and value.lower() != b"chunked":
            # The parser would let pass what we would then send on as plain chunks.
            self._refuse(501, "transfer_coding_unknown", "Of the transfer codings only `chunked` is known here.")

    def on_headers_complete(self) -> None:
        if self._behind and self._fields_bytes() > self._header_bytes:
            self._refuse_size()
        if self._deaf:
            return
        self.scope["extensions"] = {}
        if (b"upgrade", b"websocket") in self.headers and self.parser.should_upgrade():
            self.scope["extensions"][EXTENSION] = {"hand_over": self._hand_over}
        super().on_headers_complete()
        self._in_head, self._in_body = False, True
        self._left += CHUNK_BYTES
        self._unset_keepalive_if_required()
        self.cycle.send = partial(self._send, self.cycle)  # type: ignore[method-assign]

    def on_chunk_header(self) -> None:
        self._left += CHUNK_BYTES

    def on_body(self, body: bytes) -> None:
        if self._deaf:
            return
        self._left += len(body)
        super().on_body(body)
        if self.cycle.response_complete:  # it had its answer early: its connection stays while more of it comes
            self._wait(self.timeout_keep_alive)

    def on_message_complete(self) -> None:
        if self._deaf or self.parser.should_upgrade():
            return  # too late, or too early
        super().on_message_complete()
        self._in_body = False
        self._left = self._header_bytes
        self._behind = True
        if self.cycle.response_complete:
            self._wait(self.timeout_keep_alive)

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._refuse(400, "invalid_http", "This is not a valid HTTP/1.1 request.")

    def _refuse_size(self) -> None:
        what = "The request's head, with the extensions and trailers of its chunks,"
        message = f"{what} is larger than {self._header_bytes} bytes."
        self._refuse(431, "request_header_fields_too_large", message)

    def _refuse(self, status: int, code: str, message: str) -> None:
        if self._deaf:
            return
        self._deaf = True
        call_id = b""
        answered = False
        if self._in_body and not self.pipeline:
            # The body of a call is broken: to who carries it, its client is gone, and why is its record.
            answered = self.cycle.response_started
            self.cycle.scope["extensions"][REFUSED] = {"status": status, "code": code}
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        else:
            refused = self._gate.refused(status, code, *self._asked())
            call_id = b"x-joulegate-call-id: %b\r\n" % refused.encode()
            if self._in_body:
                self.pipeline.popleft()  # nobody carries it yet
            if self.cycle is not None and not self.cycle.response_complete:
                return  # it came behind another, whose client shall have its reply: that takes the connection with it
        if not answered:
            body = surface_for(*self._asked()).error(status, code, message)
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + call_id + b"\r\n" + body)
        self._linger()

    def _asked(self) -> tuple[str, str]:
        """Give the method and the path of the latest request, as far as they have come."""
        method = self.parser.get_method() if self.url else b""
        return method.decode("ascii"), self.url.decode("latin-1").partition("?")[0]

    async def _send(self, cycle: RequestResponseCycle, message: MutableMapping[str, Any]) -> None:
        """Write a reply as uvicorn's own ``send`` does, with three differences.

        What was parsed from a provider's reply is not checked again; HTTP/1.0 gets no chunks, a reply without
        a length ends with its connection (RFC 9112 §6.1); and a close lets the client read its answer first.
        """
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
        if self._deaf and not self.pipeline:
            cycle.keep_alive = False  # what came behind was refused: this reply is the last
        if message["type"] == "http.response.start":
            self._send_head(cycle, message["status"], message["headers"])
            return
        body = message.get("body", b"")
        more = message.get("more_body", False)
        if cycle.chunked_encoding:
            framed = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            cycle.transport.write(framed if more else framed + b"0\r\n\r\n")
        elif body and cycle.scope["method"] != "HEAD":
            cycle.transport.write(body)
        if not more:
            cycle.response_complete = True
            cycle.message_event.set()
            if not cycle.keep_alive:
                self._close_when_told()
            cycle.on_response()
            if self._in_head:
                self._wait(self._head_s)  # it has begun behind this one

    def _send_head(self, cycle: RequestResponseCycle, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        cycle.response_started = True
        cycle.waiting_for_100_continue = False
        cycle.chunked_encoding = (
            cycle.scope["http_version"] != "1.0" and cycle.scope["method"] != "HEAD" and status not in WITHOUT_BODY
        )
        lines = [STATUS_LINE[status]]
        for name, value in headers:
            if name == b"content-length":
                cycle.chunked_encoding = False
            lines += (name, b": ", value, b"\r\n")
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        if cycle.chunked_encoding:
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        cycle.transport.write(b"".join(lines))

    def _close_when_told(self) -> None:
        """Close after the last reply; its client may still be sending."""
        if self._in_head or self._in_body or self._deaf:
            self._linger()
        else:
            self.transport.close()

    def _linger(self) -> None:
        """Say that nothing more comes, and close when the client has seen it: at once would take its answer away."""
        self._deaf = True
        self.pipeline.clear()  # nobody would see these answered
        self.connections.discard(self)  # a shutdown need not wait for it
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.close)
