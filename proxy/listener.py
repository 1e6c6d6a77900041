"""The gate's side of HTTP: uvicorn's httptools protocol, with a bounded request head and errors as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from proxy.app import GateApplication
from proxy.pipeline import WITHOUT_BODY
from proxy.sockets import EXTENSION

READ_BYTES = 256 * 1024  # what the event loop reads at once
LINGER_S = 30.0  # how long a client may go on sending what nobody reads: closing at once would take its answer away
KEEP_ALIVE_S = 75  # longer than the 60 s after which common load balancers close an idle connection themselves


class QuietServer(uvicorn.Server):
    """uvicorn's server, whose signals are its owner's business."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def gate_server(app: GateApplication, *, header_bytes: int, shutdown_s: float) -> QuietServer:
    """Make the server: nothing of its own in the replies, no log line per request."""

    def protocol(*args: Any, **kwargs: Any) -> asyncio.Protocol:
        return _GateProtocol(app, header_bytes, *args, **kwargs)

    return QuietServer(
        uvicorn.Config(
            app,
            http=protocol,  # type: ignore[arg-type] # uvicorn calls it as it would the class
            ws="none",
            loop="none",
            lifespan="on",
            interface="asgi3",
            proxy_headers=False,
            server_header=False,
            date_header=False,
            access_log=False,
            log_config=None,
            log_level="critical",
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=max(1, round(shutdown_s)),
        )
    )


class _GateProtocol(HttpToolsProtocol):
    """One client connection."""

    def __init__(self, gate: GateApplication, header_bytes: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gate = gate
        self._header_bytes = header_bytes
        self._head_left = header_bytes  # of the head that is arriving
        self._in_head = True
        self._deaf = False  # what still comes is read and thrown away
        self._early: bytearray | None = None  # set: a WebSocket was asked for; what came behind the asking

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        if self._early is not None:
            self._hold_early(data)
            return
        # A bomb without a line end reaches no callback: bound what is fed while a head is open, too.
        if self._in_head:
            self._head_left -= len(data)
            # The first piece of a request may hold its body as well: only callbacks can tell, so allow for one read.
            if self._head_left < -READ_BYTES:
                self._refuse_head()
                return
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if EXTENSION in self.scope.get("extensions", {}):
                self._wait_for_switch(rest)
            else:
                self._ignore_upgrade(rest)
        except httptools.HttpParserError:
            self.send_400_response("")

    def _wait_for_switch(self, rest: bytes) -> None:
        """Hold what comes behind the head of a request for a WebSocket until the provider has agreed or not."""
        self.cycle.keep_alive = False
        super().on_message_complete()
        self._early = bytearray()
        self._hold_early(rest)

    def _hold_early(self, data: bytes) -> None:
        if self._early is not None:
            self._early += data
            if len(self._early) > READ_BYTES:
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
            SimpleNamespace(on_body=self.on_body, on_message_complete=self.on_message_complete)
        )
        framing = [pair for pair in self.headers if pair[0] in (b"content-length", b"transfer-encoding")]
        head = b"".join(b"%b: %b\r\n" % pair for pair in framing)
        self.data_received(b"POST / HTTP/1.1\r\n" + head + b"\r\n" + rest)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._size = 0

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        self._count(len(name) + len(value) + 4)
        if len(name) == 17 and name.lower() == b"transfer-encoding" and value.lower() != b"chunked":
            # The parser would let pass what we would then send on as plain chunks.
            self._refuse(501, "transfer_coding_unknown", "Of the transfer codings only `chunked` is known here.")

    def on_headers_complete(self) -> None:
        if self._deaf:
            return
        self._in_head = False
        if (b"upgrade", b"websocket") in self.headers and self.parser.should_upgrade():
            self.scope["extensions"] = {EXTENSION: {"hand_over": self._hand_over}}
        super().on_headers_complete()
        self.cycle.send = partial(self._send, self.cycle)  # type: ignore[method-assign]

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # too early
        super().on_message_complete()
        self._in_head = True
        self._head_left = self._header_bytes

    def send_400_response(self, msg: str) -> None:
        """Answer what is not HTTP."""
        self._refuse(400, "invalid_http", "This is not a valid HTTP/1.1 request.")

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._header_bytes:
            self._refuse_head()

    def _refuse_head(self) -> None:
        message = f"The request's head is larger than {self._header_bytes} bytes."
        self._refuse(431, "request_header_fields_too_large", message)

    def _refuse(self, status: int, code: str, message: str) -> None:
        if self._deaf:
            return
        self._deaf = True
        running = self.cycle is not None and not self.cycle.response_complete
        if running and not self.cycle.more_body:
            # This request came behind another, whose client shall have its reply: it takes the connection with it.
            self._gate.refused(status, code)
            self.cycle.keep_alive = False
            return
        call_id = b""
        if running:
            # The body of a call is broken: to who carries it, its client is gone, and that is its record.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        else:
            call_id = b"x-joulegate-call-id: %b\r\n" % self._gate.refused(status, code).encode()
        if not running or not self.cycle.response_started:
            error = {"message": message, "type": "invalid_request_error", "param": None, "code": code}
            body = json.dumps({"error": error}).encode()
            head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n" % len(body)
            self.transport.write(STATUS_LINE[status] + head + call_id + b"\r\n" + body)
        self._linger()

    async def _send(self, cycle: RequestResponseCycle, message: MutableMapping[str, Any]) -> None:
        """Write a reply as uvicorn's own ``send`` does, with three differences.

        What was parsed from a provider's reply is not checked again; HTTP/1.0 gets no chunks, a reply without
        a length ends with its connection (RFC 9112 §6.1); and a close lets the client read its answer first.
        """
        if cycle.flow.write_paused and not cycle.disconnected:
            await cycle.flow.drain()
        if cycle.disconnected:
            return
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
        if self._in_head:
            self.transport.close()
        else:
            self._linger()

    def _linger(self) -> None:
        """Say that nothing more comes, and close when the client has seen it: at once would take its answer away."""
        self._deaf = True
        self.connections.discard(self)  # a shutdown need not wait for it
        if not self.transport.is_closing():
            self.flow.resume_reading()
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.close)
