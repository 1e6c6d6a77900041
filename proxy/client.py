"""A call's client: what it asks, and the way back to it, whatever server it came through."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from proxy.errors import JoulegateError
from proxy.teams import Headers

HandOver = Callable[[Headers], tuple[asyncio.Transport, bytes]]  # of a connection that switches protocols
WITHOUT_BODY = frozenset((204, 304))  # statuses whose replies end with their head


class ClientGone(JoulegateError):
    """The client left while its request was still coming."""


class Refused(NamedTuple):
    """Why our own server broke off a request in the middle of its body."""

    status: int
    code: str


class Client(Protocol):
    """One request and its reply; header names are in lower case in both directions."""

    method: str
    path: bytes  # as it came
    query: bytes  # likewise, without the question mark
    headers: Headers
    refused: Refused | None
    hand_over: HandOver | None  # set: a WebSocket is asked for, and the server can give its connection

    def address(self) -> str | None:
        """Give the client's IP address, as its connection has it; ``None`` where it has none."""

    async def receive(self) -> tuple[bytes, bool]:
        """Give the body's next bytes and whether more come; raises :class:`ClientGone` where the client has left."""

    def when_gone(self, then: Callable[[], None] | None) -> None:
        """Call ``then``, once, when the client leaves or if it has; ``None``: nobody wants to know any more."""

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole reply. Nothing is sent to a client that has gone, here and below."""

    async def start(self, status: int, headers: Headers, piece: bytes) -> None:
        """Send a reply's head, and as much of its body as is there; more is to come."""

    async def write(self, piece: bytes) -> None:
        """Send a piece of the reply's body, waiting while the client is slow to take what came before."""

    async def end(self, piece: bytes) -> None:
        """Send the last piece and the reply's end. A call that returns without it breaks the reply off."""
