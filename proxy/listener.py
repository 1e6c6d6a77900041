"""The gate's server: accepts connections, lets the application answer what comes on them, ends in good order."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from functools import partial

from proxy.app import GateApplication
from proxy.inbound import Connection
from proxy.request import Request

BACKLOG = 4096  # connections that wait to be accepted
KEEP_ALIVE_S = 75.0  # longer than the 60 s after which common load balancers close an idle connection themselves
_LOOK_S = 0.02  # between looks whether all calls have ended, while it ends
_LAST_WORDS_S = 1.0  # for calls that were broken off, to be written down

log = logging.getLogger("joulegate")


class GateServer:
    """Serves the data plane in one event loop."""

    def __init__(self, app: GateApplication) -> None:
        self.app = app
        self.connections: set[Connection] = set()
        self._calls: set[Request] = set()
        self._stopping = asyncio.Event()

    async def serve(self, listening: socket.socket, started: Callable[[], None] | None = None) -> None:
        """Serve on an open socket until :meth:`stop`; calls that run then have ``gate.shutdown_s`` to end.

        ``started`` is called once calls are taken.
        """
        loop = asyncio.get_running_loop()
        self.app.begin()
        accepting = await loop.create_server(
            partial(Connection, self, loop, keep_alive_s=KEEP_ALIVE_S), sock=listening, backlog=BACKLOG
        )
        if started is not None:
            started()
        await self._stopping.wait()
        accepting.close()
        listening.close()
        for connection in list(self.connections):
            connection.finish()
        deadline = loop.time() + self.app.gate.settings.shutdown_s
        while self._busy and loop.time() < deadline:  # noqa: ASYNC110 telling of every end would cost every call
            await asyncio.sleep(_LOOK_S)
        left = [call.task for call in self._calls if call.task is not None]
        if left:
            log.warning("%d calls had not ended within %g s: broken off", len(left), self.app.gate.settings.shutdown_s)
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=_LAST_WORDS_S)
        for connection in list(self.connections):
            connection.transport.abort()
        await self.app.finish()

    @property
    def _busy(self) -> bool:
        return bool(self._calls) or any(not each.lingers for each in self.connections)

    def stop(self) -> None:
        """Accept no more, and end when all calls have ended; to be called in the loop's thread."""
        self._stopping.set()

    def begin(self, request: Request) -> None:
        """Answer a request in a task of its own."""
        self._calls.add(request)
        request.task = asyncio.get_running_loop().create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            await self.app.serve(request)
        finally:
            self._calls.discard(request)
            request.leave()
