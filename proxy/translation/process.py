"""The translator's process: an event loop with LiteLLM's SDK in it, on a loopback port that only the gates know."""

from __future__ import annotations

import asyncio
import os
import socket

from proxy.sections import Config
from proxy.serving import QuietServer, quiet
from proxy.supervisor import Lifeline
from proxy.translation.app import build_translator
from proxy.translation.asking import ways
from proxy.translation.surroundings import close_off


def run_translator(config: Config, listening: socket.socket, secret: bytes, lifeline: Lifeline) -> None:
    """Serve until told to stop; who connects while the SDK is being imported waits."""
    known = ways(config)  # while the environment still has the credentials
    close_off(os.environ)
    from proxy.translation.sdk import ask, explain

    server = QuietServer(quiet(build_translator(known, secret=secret, ask=ask, explain=explain), lifespan="off"))
    server.when_started = lifeline.at_work

    def end() -> None:
        server.should_exit = True

    async def serve() -> None:
        lifeline.watch(asyncio.get_running_loop(), end)
        await server.serve(sockets=[listening])

    asyncio.run(serve())
