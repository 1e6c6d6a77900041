"""The gate's server: accepts connections, lets the application answer what comes on them, ends in good order."""

from __future__ import annotations

import asyncio
import logging
import math
import socket
from collections.abc import Callable
from functools import partial

from proxy.app import GateApplication
from proxy.inbound import Connection
from proxy.request import Request

BACKLOG = 4096  # connections that wait to be accepted
KEEP_ALIVE_S = 75.0  # longer than the 60 s after which common load balancers close an idle connection themselves
IDLE_S = 0.5  # how long an idle connection is kept when the gate ends: a request may be under way on it
_LOOK_S = 0.02  # between looks whether all calls have ended, while it ends
_LAST_WORDS_S = 1.0  # for calls that were broken off, to be written down

log = logging.getLogger("joulegate")


class GateServer:
    """Serves the data plane in one event loop."""

    def __init__(self, app: GateApplication) -> None:
        self.app = app
        self.connections: set[Connection] = set()
        self.ending = False  # every reply is the last on its connection
        self.keep_alive_s = KEEP_ALIVE_S  # how long a connection may be without a request
        self._calls: set[Request] = set()
        self._stopping = asyncio.Event()
        self._within_s = 0.0
        self._until = math.inf

    async def serve(self, listening: socket.socket, started: Callable[[], None] | None = None) -> None:
        """Serve on an open socket until :meth:`stop`; ``started`` is called once calls are taken."""
        loop = asyncio.get_running_loop()
        self.app.begin()
        accepting = await loop.create_server(partial(Connection, self, loop), sock=listening, backlog=BACKLOG)
        if started is not None:
            started()
        await self._stopping.wait()
        accepting.close()
        listening.close()
        await asyncio.sleep(_LOOK_S)  # connections that were accepted just now are made known
        while self._busy and loop.time() < self._until:  # noqa: ASYNC110 telling of every end would cost every call
            await asyncio.sleep(_LOOK_S)
        left = [call.task for call in self._calls if call.task is not None]
        if left:
            log.warning("%d calls had not ended within %g s: broken off", len(left), self._within_s)
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=_LAST_WORDS_S)
        for connection in list(self.connections):
            connection.transport.abort()
        await self.app.finish()

    @property
    def _busy(self) -> bool:
        return bool(self._calls) or any(not each.lingers for each in self.connections)

    def stop(self, within_s: float | None = None, idle_s: float = IDLE_S) -> None:
        """Accept no more connections, and end when all calls have ended; to be called in the loop's thread.

        They have ``within_s`` (``gate.shutdown_s`` unless said) to end, then they are broken off. A connection without
        a call is kept for ``idle_s``: its client may be sending the next one. Asked again, the sooner end holds.
        """
        now = asyncio.get_running_loop().time()
        self.ending = True
        within_s = self.app.gate.settings.shutdown_s if within_s is None else within_s
        if now + within_s < self._until:
            self._until, self._within_s = now + within_s, within_s
        self.keep_alive_s = min(self.keep_alive_s, idle_s)
        for connection in list(self.connections):
            connection.finish()
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
