"""How soon the console's pages are there under live traffic, and whether the live one stays flat in memory.

    python -m bench.screens [--ledger URL] [--rate 20] [--rounds 3]           first contentful paint of each page
    python -m bench.screens --live 10 [--rate 200] [--interpreted]            the live page's memory, minute by minute
    python -m bench.screens --redraws 3000                                    what redraws of its sums leave behind

The console is served as `joulegate serve` does, over loopback, while calls are written to its ledger and shown. The
browser is Debian's chromium, headless, one tab; each page is loaded afresh, without what the browser kept. Paint is
what the browser itself reports, in milliseconds since the navigation began; beside it is when the last byte came.
Without --ledger the ledger begins empty.

The live page is opened after three minutes of traffic, when its chart is full. Memory is read after a collection:
JavaScript's heap; what of it the browser's own account calls code (machine code, bytecode, and what the engine notes
about them: more, as long as it finds something to make faster), and the rest, which is the page's; beside it, what the
browser keeps for the page's elements; and all that the processes which draw have for themselves, these readings
included. CPU is the share of a core that the tab's main thread took since the line before. Redraws are shown one by
one, by changing what differs, as the page does, and by putting all of it in again.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import socket
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import uvicorn

from bench.millions import MODELS, TEAMS, row
from proxy.console import RecentCalls, build_console
from proxy.console.frame import PLACES
from proxy.console.pulse import STEP_S, STEPS
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


COLUMNS = ("minute", "heap, kB", "its code", "the rest", "beside", "nodes", "listeners", "rows", "CPU, %", "tab, MB")


def memory(port: int, minutes: float, *flags: str) -> None:
    time.sleep(STEPS * STEP_S)  # until the chart is full: what it has to hold grows so long
    print("  ".join(f"{each:>9}" for each in COLUMNS), flush=True)
    with browser(*flags) as tab:
        tab.send("Performance.enable")
        tab.send("Page.navigate", url=f"http://127.0.0.1:{port}/")
        tab.wait("document.readyState == 'complete' && document.querySelectorAll('#calls tr').length == 50", seconds=60)
        began, number = time.monotonic(), 0
        before = metrics(tab)
        while number <= minutes:
            time.sleep(max(0.0, began + 60 * number - time.monotonic()))
            now = metrics(tab)
            busy = (now["ThreadTime"] - before["ThreadTime"]) / (now["Timestamp"] - before["Timestamp"])
            tab.send("HeapProfiler.collectGarbage")
            left, used, resident = metrics(tab), tab.send("Runtime.getHeapUsage"), tab.resident()
            rows = tab.evaluate("document.querySelectorAll('#calls tr').length")
            heap, beside, code = used["usedSize"], used["embedderHeapUsedSize"], tab.heap()["code"]
            sizes = (each / 1000 for each in (heap, code, heap - code, beside))
            columns = (number, *sizes, left["Nodes"], left["JSEventListeners"], rows, 100 * busy, resident / 1e6)
            print("  ".join(f"{each:9,.0f}" for each in columns), flush=True)
            before, number = metrics(tab), number + 1
        assert tab.complaints == [], tab.complaints


def metrics(tab: Browser) -> dict[str, float]:
    return {each["name"]: each["value"] for each in tab.send("Performance.getMetrics")["metrics"]}


WAYS = {"what differs": "renew(part, drawings[n % 2])", "all again": "part.innerHTML = drawings[n % 2]"}
EACH = 1000


def redraws(port: int, number: int) -> None:
    print(f"  {'redraws':>8} {'heap, kB':>9} {'tab, MB':>8}")
    for way, script in WAYS.items():
        print(f"  {way}")
        with browser() as tab:
            tab.send("Page.navigate", url=f"http://127.0.0.1:{port}/")
            tab.wait(f"document.querySelectorAll('#today tbody tr').length == {len(TEAMS) + len(MODELS)}", seconds=60)
            tab.evaluate(
                """import('/static/renew.js').then((module) => {
                    globalThis.renew = module.renew;
                    globalThis.part = document.getElementById('today');
                    globalThis.drawings = [part.innerHTML, part.innerHTML.replaceAll('team-', 'group-')];
                })""",
                awaited=True,
            )
            for done in range(0, number + 1, EACH):
                if done:
                    shown = "await new Promise(requestAnimationFrame)"
                    tab.evaluate(
                        f"(async () => {{ for (let n = 0; n < {EACH}; n++) {{ {script}; {shown}; }} }})()", awaited=True
                    )
                tab.send("HeapProfiler.collectGarbage")
                heap = tab.send("Runtime.getHeapUsage")["usedSize"]
                print(f"  {done:8,} {heap / 1000:9,.0f} {tab.resident() / 1e6:8,.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.screens", description=__doc__.split("\n")[0])
    parser.add_argument("--ledger", metavar="URL", help="a ledger to stand behind the pages; it is written to")
    parser.add_argument("--rate", type=float, help="calls a second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--live", type=float, metavar="MINUTES", help="watch the live page for so long")
    parser.add_argument("--interpreted", action="store_true", help="with a browser that makes no machine code")
    parser.add_argument("--redraws", type=int, metavar="NUMBER", help="draw the live page's sums so many times")
    given = parser.parse_args()
    rate = given.rate if given.rate is not None else 20 if given.live is None else 200
    with tempfile.TemporaryDirectory() as folder:
        url = given.ledger or f"sqlite:///{folder}/ledger.db"
        print(f"{given.ledger or 'an empty ledger'}, {rate:g} calls a second")
        with served(url, rate) as port:
            if given.redraws is not None:
                redraws(port, given.redraws)
            elif given.live is None:
                first_paints(port, given.rounds)
            else:
                memory(port, given.live, *(("--js-flags=--jitless",) if given.interpreted else ()))


if __name__ == "__main__":
    main()
