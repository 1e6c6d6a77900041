"""A client behind any ASGI server (specification 2.3 and later); our own listener does without."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from proxy.client import WITHOUT_BODY, ClientGone, HandOver, Refused
from proxy.teams import Headers

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AsgiClient:
    """The :class:`proxy.client.Client` of one ``http`` scope."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.method: str = scope["method"]
        self.path: bytes = scope["raw_path"]
        self.query: bytes = scope["query_string"]
        self.headers: Headers = list(scope["headers"])
        self._address: str | None = (scope.get("client") or (None,))[0]
        self.refused: Refused | None = None
        self.hand_over: HandOver | None = None
        self._receive = receive
        self._send = send
        self._listening: asyncio.Task[None] | None = None

    def address(self) -> str | None:
        """Give the client's IP address."""
        return self._address

    async def receive(self) -> tuple[bytes, bool]:
        """Give the body's next bytes."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("The client left while its request was still coming.")
        return message.get("body", b""), message.get("more_body", False)

    def when_gone(self, then: Callable[[], None] | None) -> None:
        """Listen for the disconnection, which is the last thing that an ASGI server says."""
        if self._listening is not None:
            self._listening.cancel()
        self._listening = None if then is None else asyncio.get_running_loop().create_task(self._listen(then))

    async def reply(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a whole reply."""
        await self.start(status, headers, b"")
        await self.end(body)

    async def start(self, status: int, headers: Headers, piece: bytes) -> None:
        """Send the head; a length beside no body would make servers wait for it."""
        if status in WITHOUT_BODY:
            headers = [pair for pair in headers if pair[0] != b"content-length"]
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        if piece:
            await self.write(piece)

    async def write(self, piece: bytes) -> None:
        """Send a piece."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self, piece: bytes) -> None:
        """Send the last piece."""
        await self._send({"type": "http.response.body", "body": piece, "more_body": False})

    async def _listen(self, then: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass  # the empty body of a request that has none
        then()
