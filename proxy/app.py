"""The data plane as an ASGI application: LLM traffic, ``/healthz`` and ``/readyz``, nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from estimator import Usage
from proxy.asgi import AsgiClient, Receive, Scope, Send
from proxy.call import Closed
from proxy.client import Client
from proxy.counting import Counter, by_characters, find_counter
from proxy.estimating import ConfiguredEstimator
from proxy.gate import Gate
from proxy.in_force import Slot as RosterSlot
from proxy.journal import Journal
from proxy.lag import Lag
from proxy.pipeline import carry, record_unreadable
from proxy.reaching import reach
from proxy.roster import FILE, Roster
from proxy.routing import Provider, Routes, Translator
from proxy.sections import Config
from proxy.teams import Headers, Teams
from proxy.unwritten import Slot
from proxy.upstream import Upstream

if TYPE_CHECKING:
    from proxy.budgets.exposure import Exposure
    from proxy.budgets.following import Following

TICK_S = 1.0  # journal.fsync = "interval": what a power loss may cost at most
MODELS_PREPARED = 4096  # clients choose the names: a bound keeps them from filling memory


def build_gate(
    config: Config,
    *,
    journal: Journal | None = None,
    worker: str = "1",
    slot: Slot | None = None,
    lag: Lag | None = None,
    translator: Translator | None = None,
    roster_slot: RosterSlot | None = None,
    exposure: Exposure | None = None,
) -> GateApplication:
    """Build the gate for a configuration; the journal is opened where the configuration says unless given.

    ``slot`` is where the journal says what it could not write, ``lag`` where the recorder says how far it is behind;
    ``translator`` carries the calls of translated routes; ``roster_slot`` is where it is said which keys are in force;
    ``exposure`` is what the gates of this machine share of the budgets there are.
    Raises :class:`ConfigError` where the configuration cannot be used, ``OSError`` where the journal cannot be opened.
    """
    directory = Path(config.journal.directory)
    if journal is None:
        journal = Journal.open(directory, worker=f"{worker}-{os.getpid()}", fsync=config.journal.fsync, slot=slot)
    gate = Gate(
        settings=config.gate,
        teams=Teams(
            config.team,
            keys_required=config.gate.keys == "required",
            roster=Roster(directory / FILE, roster_slot),
        ),
        routes=Routes(config, translator),
        upstream=Upstream(connect_timeout_s=config.gate.connect_timeout_s),
        journal=journal,
        count=by_characters,
        reach=reach,
    )
    made: list[ConfiguredEstimator] = []

    def estimator() -> ConfiguredEstimator:
        if not made:
            made.append(ConfiguredEstimator(config))
        return made[0]

    if config.gate.estimate_headers:
        gate.estimate_headers = partial(estimate_headers, estimator())
        gate.prepare_estimate = Preparation(estimator())
    following = None
    if exposure is not None:
        from proxy.budgets.following import Following

        following = Following(
            gate, exposure, int(worker) - 1, estimator, configured=config.budget, roster=directory / FILE
        )
    return GateApplication(gate, journal, lag, following)


class GateApplication:
    """The data plane: an ASGI application, and what our own listener serves without that detour."""

    def __init__(
        self, gate: Gate, journal: Journal, lag: Lag | None = None, following: Following | None = None
    ) -> None:
        self.gate = gate
        self._following = following
        self._journal = journal
        self._lag = lag
        self._tasks: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one ASGI scope."""
        if scope["type"] == "http":
            await self.serve(AsgiClient(scope, receive, send))
        elif scope["type"] == "lifespan":
            await receive()
            self.begin()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await self.finish()
            await send({"type": "lifespan.shutdown.complete"})
        else:
            await send({"type": "websocket.close", "code": 1011})

    def serve(self, client: Client) -> Awaitable[None]:
        """Answer one request."""
        if client.path == b"/healthz":
            return _say(client, 200, b"ok\n")
        if client.path != b"/readyz":
            return carry(self.gate, client)
        return _say(client, *self._ready())

    def _ready(self) -> tuple[int, bytes]:
        """Say whether calls should be sent here; those that are sent are carried in any case."""
        if self._journal.problem is not None:
            return 503, b"the journal cannot be written: calls go on, but their records wait in memory\n"
        if self._lag is None:
            return 200, b"ready\n"
        behind_s, limit_s = self._lag.seconds, self.gate.settings.ready_lag_s
        if 0 < limit_s < behind_s:
            return 503, b"the ledger is %.0f s behind: calls go on, and wait in the journal\n" % behind_s
        return 200, b"ready, the ledger is %.1f s behind\n" % behind_s

    def give_way(self) -> None:
        """Take note that another process has taken this one's place: it finishes what it has."""
        if self._following is not None:
            self._following.give_way()

    def refused(self, status: int, code: str, method: str, path: str) -> str:
        """Record a request that was turned away before it was one (too large a head, not HTTP); gives its id."""
        return record_unreadable(self.gate, status, code, method, path)

    def begin(self) -> None:
        """Begin what goes on beside the calls, in the running loop."""
        loop = asyncio.get_running_loop()
        self._tasks = {loop.create_task(self._tick()), loop.create_task(self._prepare_counter())}

    async def finish(self) -> None:
        """Let go of the providers and end the journal, after the last call."""
        for task in self._tasks:
            task.cancel()
        await self.gate.upstream.close()
        self._journal.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            self._journal.tick()
            fresh = self.gate.teams.look()
            if self._following is not None:
                await self._following.look(fresh=fresh)

    async def _prepare_counter(self) -> None:
        counter: Counter = await asyncio.to_thread(find_counter)
        self.gate.count = counter


class Preparation:
    """Has a model's first estimate made while its first call is out: a closed one's takes some ten milliseconds."""

    def __init__(self, estimator: ConfiguredEstimator) -> None:
        self._estimator = estimator
        self._seen: set[tuple[str, str]] = set()

    def __call__(self, model: str, provider: Provider) -> None:
        """See that calls of a model can be estimated at once by the time the first one is answered."""
        key = (model, provider.name)
        if key not in self._seen and len(self._seen) < MODELS_PREPARED:
            self._seen.add(key)
            asyncio.get_running_loop().run_in_executor(None, self._prepare, model, provider)

    def _prepare(self, model: str, provider: Provider) -> None:
        with contextlib.suppress(Exception):  # whatever is wrong is said when a call is estimated
            self._estimator.centre(
                Usage(input_tokens=1, output_tokens=1),
                model,
                provider=provider.name,
                zone=provider.zone,
                at_us=time.time_ns() // 1000,
                service_tier=None,
            )


def estimate_headers(estimator: ConfiguredEstimator, closed: Closed) -> Headers:
    """Give the headers that tell a client what its call cost; what is unknown is left out."""
    if closed.usage is None:
        return []
    model = closed.model or closed.opened.model_requested
    if model is None:
        return []
    values = estimator.centre(
        closed.usage,
        model,
        provider=closed.opened.provider,
        zone=closed.opened.zone,
        at_us=closed.opened.started_at_us,
        service_tier=closed.service_tier,
        region=closed.region,
    )
    headers: Headers = []
    if values.cost_usd is not None:
        headers.append((b"x-joulegate-cost-usd", _plain(values.cost_usd)))
    if values.joules is not None:
        headers.append((b"x-joulegate-energy-joules", f"{values.joules:.6g}".encode()))
    if values.grams_co2e is not None:
        headers.append((b"x-joulegate-co2e-grams", f"{values.grams_co2e:.6g}".encode()))
    return headers


def _plain(dollars: Decimal) -> bytes:
    """Write an exact decimal without an exponent and without zeros behind its last digit."""
    text = f"{dollars:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).encode()


async def _say(client: Client, status: int, text: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(text)).encode())]
    await client.reply(status, headers, text)
