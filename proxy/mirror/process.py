"""The mirror's process beside the recorder's: it may be slow or dead without any effect on a call or on the ledger."""

from __future__ import annotations

import os
import signal
import threading

from proxy.lag import Lag
from proxy.ledger.engine import open_engine
from proxy.mirror.clickhouse import ClickHouse, open_mirror
from proxy.mirror.mirror import Mirror
from proxy.sections import Config
from proxy.supervisor import Lifeline

NICENESS = 15  # behind the recorder, which is behind the gates


def run_mirror(config: Config, lag: Lag, lifeline: Lifeline) -> None:
    """Copy the ledger into the configured mirror until told to stop; ``lag`` says how far that is behind."""
    if config.mirror.url is None:
        raise ValueError("no mirror is configured")
    os.nice(NICENESS)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    lifeline.terminate_with_parent()
    lifeline.at_work()
    Mirror(open_engine(config.ledger.url), ClickHouse(open_mirror(config.mirror.url)), lag=lag).run(stop)
