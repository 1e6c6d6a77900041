"""Runs the simulator on a loopback port: by itself, inside a running loop, or in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from proxy.serving import QuietServer, quiet
from proxy.simulator.app import build_simulator
from proxy.simulator.wire import TRANSPORT


class _Connection(HttpToolsProtocol):
    """Lets the application reach the connection, so that it can reset it on request."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {TRANSPORT: self.transport}  # type: ignore[dict-item]


class _Ending(uvicorn.Server):
    """Ends on a signal without a word: what it breaks off is nobody's loss."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logging.getLogger("uvicorn.error").disabled = True
        await super().shutdown(sockets)


def _config(app: ASGIApp) -> uvicorn.Config:
    config = quiet(app, http=_Connection, lifespan="off", timeout_graceful_shutdown=1)
    config.ws = "auto"  # whichever library of WebSockets is installed; with none, they are refused
    return config


def listen(host: str, port: int) -> socket.socket:
    """Open the listening socket; port 0 takes any free one. Raises OSError if it is taken."""
    return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024)


def origin_of(listening: socket.socket) -> str:
    """Give ``http://host:port``."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(listening: socket.socket, *, fast: bool = False, seed: int = 0) -> None:
    """Serve on an open socket until SIGINT or SIGTERM."""
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn raises the signal again once it has shut down
        _Ending(_config(build_simulator(fast=fast, seed=seed))).run(sockets=[listening])


def serve_on(listening: socket.socket) -> None:
    """Serve on an open socket as long as the process lives; no signal is touched."""
    QuietServer(_config(build_simulator())).run(sockets=[listening])


@contextlib.asynccontextmanager
async def serving(*, host: str = "127.0.0.1", port: int = 0, fast: bool = False, seed: int = 0) -> AsyncIterator[str]:
    """Serve inside the running loop; gives the origin."""
    listening = listen(host, port)
    server = QuietServer(_config(build_simulator(fast=fast, seed=seed)))
    running = asyncio.ensure_future(server.serve(sockets=[listening]))
    try:
        yield origin_of(listening)  # connections wait in the backlog until the server is up
    finally:
        server.should_exit = True
        await running
        listening.close()


@contextlib.contextmanager
def in_thread(*, fast: bool = True, seed: int = 0) -> Iterator[str]:
    """Serve on a free port in a thread of its own, for tests and benchmarks; gives the origin."""
    listening = listen("127.0.0.1", 0)
    server = QuietServer(_config(build_simulator(fast=fast, seed=seed)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    try:
        yield origin_of(listening)
    finally:
        server.should_exit = True
        thread.join()
        listening.close()
