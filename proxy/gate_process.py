"""One gate worker: an event loop that does nothing but carry calls."""

from __future__ import annotations

import asyncio
import gc
import socket
from typing import TYPE_CHECKING

from proxy.app import build_gate
from proxy.in_force import Slot as RosterSlot
from proxy.lag import Lag
from proxy.listener import GateServer
from proxy.routing import Translator
from proxy.sections import Config
from proxy.supervisor import Lifeline
from proxy.unwritten import Slot

if TYPE_CHECKING:
    from proxy.budgets.exposure import Exposure

_GARBAGE_OBJECTS = 20_000  # made and not freed since the last look: some megabytes at most
# Another serves new connections, so there is no hurry; clients' own pools let go of a connection long before.
IDLE_WHEN_REPLACED_S = 90.0


def run_gate(
    config: Config,
    listening: socket.socket,
    worker: str,
    lifeline: Lifeline,
    *,
    slot: Slot | None = None,
    lag: Lag | None = None,
    translator: Translator | None = None,
    roster_slot: RosterSlot | None = None,
    exposure: Exposure | None = None,
) -> None:
    """Serve until told to stop; streams that run are given ``gate.shutdown_s`` to end, ``replaced_s`` once replaced."""
    app = build_gate(
        config,
        worker=worker,
        slot=slot,
        lag=lag,
        translator=translator,
        roster_slot=roster_slot,
        exposure=exposure,
    )
    server = GateServer(app)

    async def serve() -> None:
        lifeline.watch(asyncio.get_running_loop(), server.stop, give_way)
        await server.serve(listening, started=lifeline.at_work)

    def give_way() -> None:
        app.give_way()
        server.stop(config.gate.replaced_s, idle_s=min(IDLE_WHEN_REPLACED_S, config.gate.replaced_s / 2))

    # What start-up made stays: keep the collector from walking it again and again. A call leaves no cycles behind, so
    # what looks for them may look rarely: by Python's own measure it took a thirtieth of a call's time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS, *gc.get_threshold()[1:])
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve())


def _loop_factory() -> type[asyncio.AbstractEventLoop]:
    try:
        import uvloop
    except ImportError:  # no uvloop for this platform: slower, not different
        return asyncio.SelectorEventLoop
    return uvloop.Loop
