"""The process beside the gates: reads their journals into the ledger, serves the console and ``/metrics``.

It may be slow, stuck or dead without any effect on a call: the journals wait for it.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import threading
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import uvicorn

from proxy.calculator.own import Own
from proxy.checks import gate_says
from proxy.config import console_tokens
from proxy.console import RecentCalls, build_console
from proxy.console.access import Access
from proxy.directory.publishing import Publisher
from proxy.estimating import ConfiguredEstimator, open_hours
from proxy.housekeeping import Housekeeping
from proxy.in_force import Slot as RosterSlot
from proxy.lag import Lag
from proxy.ledger.engine import open_engine
from proxy.ledger.tables import CallRow
from proxy.ledger.write import Ledger
from proxy.metrics import Metrics
from proxy.metrics_file import MetricsFile
from proxy.recorder import Recorder
from proxy.roster import FILE
from proxy.sections import Config
from proxy.serving import QuietServer
from proxy.supervisor import Lifeline
from proxy.unwritten import Slot

if TYPE_CHECKING:
    from proxy.budgets.exposure import Exposure
    from proxy.budgets.keeping import Keeping

PRICED = re.compile(r"/(.+?)@(?:listed|\d{4}-\d\d-\d\d)")  # the model in the id of a price
PREDECESSOR_S = 20.0  # how long another recorder may take to end; if it takes longer, it is of another service
NICENESS = 10  # where a core is short, the gates go first: the journals can wait, a caller should not


def run_console(
    config: Config,
    listening: socket.socket,
    gate_url: str,
    lifeline: Lifeline,
    *,
    gates: Sequence[Slot] = (),
    rosters: Sequence[RosterSlot] = (),
    lag: Lag | None = None,
    mirror_lag: Lag | None = None,
    exposure: Exposure | None = None,
    budgets_file: str = "",
) -> None:
    """Record and serve until told to stop; what the journals hold then is recorded first."""
    os.nice(NICENESS)
    engine = open_engine(config.ledger.url)
    hours = open_hours(config)
    estimate = ConfiguredEstimator(config, hours)
    metrics = Metrics(
        teams=[team.name for team in config.team],
        providers=[provider.name for provider in config.provider],
        model_name=partial(model_name, estimate),
    )
    recent = RecentCalls()

    def show(rows: Sequence[CallRow]) -> None:
        publisher.tell_teams()
        metrics.record(rows)
        recent.add(rows)

    directory = Path(config.journal.directory)
    ledger = Ledger(engine, None if config.ledger.tz is None else ZoneInfo(config.ledger.tz))
    kept = _keeping(config, ledger, exposure, budgets_file)
    recorder = Recorder(
        directory,
        ledger,
        estimate=estimate,
        familiar=estimate.known,
        on_rows=show,
        gates=gates,
        lag=lag,
        keeper=MetricsFile(directory / "metrics.json", metrics),
        reckoning=kept,
    )
    metrics.watch(recorder, mirror_lag, None if kept is None else kept.used)
    stop = threading.Event()
    recording = threading.Thread(target=recorder.run, args=(stop,), name="recorder")
    housekeeping = Housekeeping(engine, keep_days=config.ledger.keep_days, working=lambda: recorder.active)
    keeping = threading.Thread(target=housekeeping.run, args=(stop,), name="housekeeping")
    publisher = Publisher(
        engine,
        directory / FILE,
        configured=config.team,
        working=lambda: recorder.active,
        on_teams=metrics.know_teams,
        on_budgets=(lambda: None) if kept is None else kept.outdate,
        gates=rosters,
    )
    publishing = threading.Thread(target=publisher.run, args=(stop,), name="publishing")
    threads = [recording, keeping, publishing]
    if config.notify:
        from proxy.notices.telling import Notices

        notices = Notices(engine, config, working=lambda: recorder.active, standing=partial(gate_says, config))
        threads.append(threading.Thread(target=notices.run, args=(stop,), name="notices"))
    app = build_console(
        engine=engine,
        metrics=metrics,
        recent=recent,
        recorder=recorder,
        gate_url=gate_url,
        providers=[provider.name for provider in config.provider],
        access=Access(console_tokens(config.console)),
        estimate=estimate.supposed,
        estimate_call=estimate,
        configured=partial(Own.of, config),
        hours=(lambda at: ()) if hours is None else hours.known,
        key_problems=lambda: publisher.problems,
        budget_problems=lambda: () if kept is None else kept.problems,
        closing=lambda: server.should_exit,
        tz=config.ledger.tz or "UTC",
    )
    server = QuietServer(
        uvicorn.Config(app, ws="none", server_header=False, log_config=None, access_log=False, lifespan="auto",
                       timeout_graceful_shutdown=1)
    )  # fmt: skip

    def end() -> None:
        server.should_exit = True

    async def serve() -> None:
        lifeline.watch(asyncio.get_running_loop(), end)
        lifeline.at_work()
        # The console before this one answers until its recorder has ended: counters go on where it leaves them.
        waits_until = time.monotonic() + PREDECESSOR_S
        while not (recorder.leads or recorder.problem or server.should_exit) and time.monotonic() < waits_until:  # noqa: ASYNC110 a thread
            await asyncio.sleep(0.02)
        await server.serve(sockets=[listening])

    for thread in threads:
        thread.start()
    try:
        asyncio.run(serve())
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        if hours is not None:
            hours.close()


def _keeping(config: Config, ledger: Ledger, exposure: Exposure | None, file: str) -> Keeping | None:
    if exposure is None:
        return None
    from proxy.budgets.budget import Budgets, budgets_of
    from proxy.budgets.keeping import Keeping

    return Keeping(Budgets(budgets_of(config.budget)), exposure, ledger, file=file)


def model_name(estimator: ConfiguredEstimator, row: CallRow) -> str | None:
    """Name a call's model as the facts do: its card, else the entry of the price list; None where neither knows it."""
    for name in (row.model, row.model_requested):
        card_id = estimator.card_id(name, row.provider) if name is not None else None
        if card_id is not None:
            return card_id
    priced = PRICED.search(row.price_id) if row.price_id is not None else None
    return priced[1] if priced is not None else None
