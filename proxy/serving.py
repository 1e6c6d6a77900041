"""uvicorn as its owners run it: the gate, the console and the simulator."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

KEEP_ALIVE_S = 75  # longer than the 60 s after which common load balancers close an idle connection themselves


class QuietServer(uvicorn.Server):
    """uvicorn's server, whose signals are its owner's business; ``when_started`` is called once it serves."""

    when_started: Callable[[], None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        if self.when_started is not None:
            self.when_started()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def quiet(app: ASGIApp, **settings: Any) -> uvicorn.Config:
    """Configure a server that adds nothing of its own to what ``app`` says, and writes no log."""
    return uvicorn.Config(
        app,
        ws="none",
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_keep_alive=KEEP_ALIVE_S,
        **settings,
    )
