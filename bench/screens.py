"""How soon the console's pages are there under live traffic, and whether the live one stays flat in memory.

    python -m bench.screens [--ledger URL] [--rate 20] [--rounds 3]           first contentful paint of each page
    python -m bench.screens --live 10 [--rate 200]                            the live page's memory, minute by minute

The console is served as `joulegate serve` does, over loopback, while calls are written to its ledger and shown. The
browser is Debian's chromium, headless, one tab; each page is loaded afresh, without what the browser kept. Paint is
what the browser itself reports, in milliseconds since the navigation began; beside it is when the last byte came.
Memory is JavaScript's heap after a collection, and the number of DOM nodes. Without --ledger the ledger begins empty.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import resource
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import uvicorn

from bench.millions import row
from proxy.console import RecentCalls, build_console
from proxy.console.frame import PLACES
from proxy.estimating import ConfiguredEstimator
from proxy.ledger.engine import open_engine
from proxy.ledger.revision import migrate
from proxy.ledger.write import Ledger
from proxy.metrics import Metrics
from proxy.sections import Config
from proxy.serving import QuietServer
from tests.console.browser import Browser, browser
from tests.console.conftest import Recorder

FURTHER = ("/explore?by=day&measure=energy", "/explore?by=team,model,zone", "/calls", "/facts?show=prices")
TICK_S = 0.1


@contextlib.contextmanager
def served(url: str, rate: float) -> Iterator[int]:
    """Serve the console on a free port while so many calls a second come in."""
    engine, recent = open_engine(url), RecentCalls()
    migrate(engine)
    estimator, ledger = ConfiguredEstimator(Config()), Ledger(engine)
    app = build_console(
        engine=engine,
        metrics=Metrics(teams=set(), providers=set(), model_name=lambda row: row.model),
        recent=recent,
        recorder=Recorder(),
        gate_url="http://127.0.0.1:8700",
        estimate=estimator.supposed,
        estimate_call=estimator,
        closing=lambda: server.should_exit,
    )
    server = QuietServer(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5))
    listening, over, draw = socket.create_server(("127.0.0.1", 0)), threading.Event(), random.Random()

    def traffic() -> None:
        sent, began = 0, time.monotonic()
        while not over.wait(TICK_S):
            due = int(rate * (time.monotonic() - began)) - sent
            rows = [row(draw, datetime.now(UTC), sent + each) for each in range(due)]
            sent += due
            if rows:
                ledger.commit(rows, journal="bench", positions={}, at=datetime.now(UTC))
                recent.add(rows)
        print(f"  {sent:,} calls were written, {sent / (time.monotonic() - began):.0f} a second")

    threads = [
        threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening]))),
        threading.Thread(target=traffic),
    ]
    for thread in threads:
        thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        over.set()
        threads[1].join()
        server.should_exit = True
        threads[0].join()
        listening.close()
        engine.dispose()


def paint(tab: Browser, url: str) -> tuple[float, float]:
    """Load a page; give its first contentful paint and the end of its reply, in milliseconds."""
    tab.send("Page.navigate", url="about:blank")
    tab.wait("location.href == 'about:blank'")
    tab.send("Network.clearBrowserCache")
    tab.send("Page.navigate", url=url)
    first = "performance.getEntriesByName('first-contentful-paint')[0]"
    tab.wait(f"location.href.startsWith({url!r}) && {first} !== undefined", seconds=120)
    return tab.evaluate(f"{first}.startTime"), tab.evaluate("performance.getEntriesByType('navigation')[0].responseEnd")


def first_paints(port: int, rounds: int) -> None:
    print(f"  {'page':34} {'first paint':>12} {'slowest':>9} {'last byte':>10}  ms")
    with browser() as tab:
        tab.send("Network.enable")
        for path in (*(place for place, _ in PLACES), *FURTHER):
            found = [paint(tab, f"http://127.0.0.1:{port}{path}") for _ in range(rounds)]
            painted, ended = zip(*found, strict=True)
            print(
                f"  {path:34} {statistics.median(painted):12.0f} {max(painted):9.0f} {statistics.median(ended):10.0f}",
                flush=True,
            )


def memory(port: int, minutes: float) -> None:
    print(f"  {'minute':>8} {'heap, kB':>10} {'nodes':>8} {'listeners':>10} {'rows':>6} {'console, MB':>12}")
    with browser() as tab:
        tab.send("Performance.enable")
        tab.send("Page.navigate", url=f"http://127.0.0.1:{port}/")
        tab.wait("document.readyState == 'complete' && document.querySelectorAll('#calls tr').length == 50", seconds=60)
        began, number = time.monotonic(), 0
        while number <= minutes:
            time.sleep(max(0.0, began + 60 * number - time.monotonic()))
            tab.send("HeapProfiler.collectGarbage")
            found = {each["name"]: each["value"] for each in tab.send("Performance.getMetrics")["metrics"]}
            rows = tab.evaluate("document.querySelectorAll('#calls tr').length")
            print(
                f"  {number:8} {found['JSHeapUsedSize'] / 1000:10,.0f} {found['Nodes']:8,.0f}"
                f" {found['JSEventListeners']:10,.0f} {rows:6}"
                f" {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:12,.0f}",
                flush=True,
            )
            number += 1
        assert tab.complaints == [], tab.complaints


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.screens", description=__doc__.split("\n")[0])
    parser.add_argument("--ledger", metavar="URL", help="a ledger to stand behind the pages; it is written to")
    parser.add_argument("--rate", type=float, help="calls a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--live", type=float, metavar="MINUTES", help="watch the live page for so long")
    given = parser.parse_args()
    rate = given.rate if given.rate is not None else 20 if given.live is None else 200
    with tempfile.TemporaryDirectory() as folder:
        url = given.ledger or f"sqlite:///{folder}/ledger.db"
        print(f"{given.ledger or 'an empty ledger'}, {rate:g} calls a second")
        with served(url, rate) as port:
            if given.live is None:
                first_paints(port, given.rounds)
            else:
                memory(port, given.live)


if __name__ == "__main__":
    main()
