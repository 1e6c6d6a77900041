"""A request on one of our own connections, and its reply: what :class:`proxy.client.Client` asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

from proxy.client import WITHOUT_BODY, ClientGone, HandOver, Refused
from proxy.teams import Headers

if TYPE_CHECKING:
    from proxy.inbound import Connection

BODY_BYTES_AT_MOST = 64 * 1024  # of a body that nobody has asked for yet; then its client has to wait
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


STATUS_LINE = {status: _status_line(status) for status in range(100, 600)}


class Request:
    """One request, from its head to the end of its reply."""

    __slots__ = (
        "_chunked", "_connection", "_expects", "_held", "_more", "_old", "_on_gone", "_pieces", "_waiter",
        "complete", "gone", "hand_over", "headers", "keep_alive", "method", "path", "query", "refused", "started",
        "task",
    )  # fmt: skip

    def __init__(
        self,
        connection: Connection,
        method: str,
        path: bytes,
        query: bytes,
        headers: Headers,
        *,
        old: bool,
        keep_alive: bool,
        expects: bool,
        hand_over: HandOver | None,
    ) -> None:
        """``old``: of HTTP/1.0, which knows no chunks; ``expects``: the client waits to be told to send its body."""
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.keep_alive = keep_alive
        self.hand_over = hand_over
        self.refused: Refused | None = None
        self.started = False  # the reply's head is sent
        self.complete = False  # and so is its end
        self.gone = False  # nobody reads the reply any more
        self.task: asyncio.Task[None] | None = None
        self._connection = connection
        self._old = old
        self._expects = expects
        self._chunked = False
        self._pieces: list[bytes] = []
        self._held = 0
        self._more = True
        self._waiter: asyncio.Future[None] | None = None
        self._on_gone: Callable[[], None] | None = None

    # The client's side, for who answers it

    def address(self) -> str | None:
        """Give the client's IP address."""
        peer = self._connection.transport.get_extra_info("peername")
        return peer[0] if isinstance(peer, tuple) else None

    async def receive(self) -> tuple[bytes, bool]:
        """Give the body's next bytes and whether more come; raises :class:`ClientGone`."""
        connection = self._connection
        while not self._pieces and self._more and not self.gone:
            if self._expects:
                self._expects = False
                connection.transport.write(_CONTINUE)
            connection.resume_reading()
            self._waiter = connection.loop.create_future()
            await self._waiter
        if self.gone:
            raise ClientGone("The client left while its request was still coming.")
        pieces, self._pieces, self._held = self._pieces, [], 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), self._more

    def when_gone(self, then: Callable[[], None] | None) -> None:
        """Call ``then`` when the client leaves or if it has; ``None``: nobody wants to know any more."""
        self._on_gone = then
        if then is not None:
            if self.gone:
                self._tell()
            else:
                self._connection.resume_reading()  # else its end would not be seen

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole reply."""
        if await self._may_send():
            head = self._head(status, headers)
            self._connection.transport.write(head + self._framed(body, last=True))
            self._end()

    async def start(self, status: int, headers: Headers, piece: bytes) -> None:
        """Send a reply's head, and as much of its body as is there; more is to come."""
        if await self._may_send():
            head = self._head(status, headers)
            self._connection.transport.write(head + self._framed(piece) if piece else head)

    async def write(self, piece: bytes) -> None:
        """Send a piece of the reply's body, waiting while the client is slow to take what came before."""
        if await self._may_send():
            self._connection.transport.write(self._framed(piece))

    async def end(self, piece: bytes) -> None:
        """Send the last piece and the reply's end."""
        if await self._may_send():
            last = self._framed(piece, last=True)
            if last:
                self._connection.transport.write(last)
            self._end()

    async def _may_send(self) -> bool:
        """Wait until the client has taken what came before; tells whether it is still there."""
        if self._connection.writing_paused:
            await self._connection.writable()
        return not self.gone

    def _head(self, status: int, headers: Headers) -> bytes:
        self.started = True
        self._expects = False
        if self._connection.at_its_last:
            self.keep_alive = False
        chunked = not self._old and self.method != "HEAD" and status not in WITHOUT_BODY
        lines = [STATUS_LINE[status]]
        for name, value in headers:
            if name == b"content-length":
                if status == 204:
                    continue  # RFC 9110 §8.6
                chunked = False
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive:
            lines.append(b"connection: close\r\n")
        lines.append(b"transfer-encoding: chunked\r\n\r\n" if chunked else b"\r\n")
        self._chunked = chunked
        return b"".join(lines)

    def _framed(self, piece: bytes, *, last: bool = False) -> bytes:
        """Give the bytes that stand for a piece of the body, which may be none."""
        if self._chunked:
            framed = b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
            return framed + b"0\r\n\r\n" if last else framed
        return b"" if self.method == "HEAD" else piece

    def _end(self) -> None:
        self.complete = True
        self._connection.replied(self)

    # The connection's side

    @property
    def held(self) -> int:
        """How many bytes of the body wait to be received."""
        return self._held

    def feed(self, piece: bytes) -> None:
        """Take the next piece of the body."""
        self._pieces.append(piece)
        self._held += len(piece)
        self._wake()

    def feed_end(self) -> None:
        """Take note that the body is whole."""
        self._more = False
        self._wake()

    def break_off(self, refused: Refused | None = None) -> None:
        """Tell who answers that its client is gone; ``refused``: because it was sent away."""
        if self.gone or self.complete:
            return
        self.gone = True
        self.refused = refused
        self._wake()
        self._tell()

    def leave(self) -> None:
        """Take note that nobody answers any more: a reply without its end is broken off."""
        if not self.complete and not self.gone:
            self._connection.transport.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _tell(self) -> None:
        then, self._on_gone = self._on_gone, None
        if then is not None:
            then()
