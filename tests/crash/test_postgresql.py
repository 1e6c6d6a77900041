"""A PostgreSQL that is stopped, killed or cut off while calls go on: none fails, every one arrives later, once."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest

from proxy.ledger.engine import open_engine
from tests.crash.accounts import differences, rows, settle, summary, sums_that_differ
from tests.crash.running import SETTLED_WITHIN_S, calls_counted, metric, port, toml, wait_for
from tests.crash.traffic import Traffic, output_tokens, traffic
from tests.databases import PostgresServer, running_postgres
from tests.service.running import Service, get, service

pytestmark = pytest.mark.heavy

OUTAGE_S = float(os.environ.get("CRASH_OUTAGE_S", "3"))
SEED = int(os.environ.get("CRASH_SEED", "20261128"))
KILLS = 12


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server that a test may break."""
    with running_postgres() as server:
        yield server


@contextlib.contextmanager
def loaded(folder: Path, url: str) -> Iterator[tuple[Traffic, Service]]:
    with traffic(SEED) as load, service(folder, toml(load.origin, url)) as running:
        load.gates = [port(running)]
        load.go()
        yield load, running


def lag(running: Service) -> float:
    try:
        return metric(running, "joulegate_ledger_lag_seconds")
    except httpx2.TransportError:  # the console is on its way
        return 0.0


def agree(load: Traffic, running: Service, url: str) -> None:
    """Clients, provider, ledger and metrics tell the same of all calls, and no call has failed."""
    load.rest()
    engine = open_engine(url)
    wrong = settle(lambda: differences(load.calls, load.reached, rows(engine)), SETTLED_WITHIN_S)
    recorded = rows(engine)
    assert sums_that_differ(engine) == []
    engine.dispose()
    assert wrong == [], (wrong[:20], running.output.decode()[-3000:])
    sys.stdout.write(f"\n{summary(load.calls, recorded)}\n")
    assert {call.end for call in load.calls} == {"finished", "left"}
    assert {row.outcome for row in recorded} == {"ok", "aborted"}
    wait_for(lambda: metric(running, "joulegate_calls_total") == len(recorded), running)
    assert metric(running, "joulegate_calls_total", outcome="ok") == sum(row.outcome == "ok" for row in recorded)
    tokens = sum(row.output_tokens or 0 for row in recorded)
    assert metric(running, "joulegate_tokens_total", kind="output") == tokens
    assert tokens >= sum(output_tokens(call.number) for call in load.finished())


def test_a_server_that_is_stopped_under_load_costs_nothing(tmp_path: Path, own_postgres: PostgresServer) -> None:
    url = own_postgres.migrated()
    with loaded(tmp_path, url) as (load, running):
        wait_for(lambda: len(load.finished()) > 50 and calls_counted(running), running)
        own_postgres.stop()
        before = len(load.finished())
        time.sleep(OUTAGE_S)
        assert len(load.finished()) > before + 10 * OUTAGE_S
        health = get(f"{running.console}/api/health").json()
        assert health["status"] == "standing_still"
        assert health["ledger_lag_seconds"] > OUTAGE_S / 2
        assert metric(running, "joulegate_ledger_lag_seconds") > OUTAGE_S / 2
        console = running.named_children()["console"]
        os.kill(console, signal.SIGKILL)  # the next one cannot know yet what this one has counted
        wait_for(lambda: running.named_children().get("console", console) != console, running)
        wait_for(lambda: lag(running) > 0, running)
        assert calls_counted(running) is None
        own_postgres.start()
        wait_for(lambda: get(f"{running.console}/api/health").json()["status"] == "ok", running)
        agree(load, running, url)
        assert running.output.count(b"recording stands still") >= 1
        assert running.stop() == 0


def test_a_server_killed_in_the_middle_of_transactions_gets_every_call_once(
    tmp_path: Path, own_postgres: PostgresServer
) -> None:
    """Some commits come through whose answer does not: the recorder must find out which."""
    draw = random.Random(SEED)
    url = own_postgres.migrated()
    with loaded(tmp_path, url) as (load, running):
        wait_for(lambda: len(load.finished()) > 20, running)
        for _ in range(KILLS):
            time.sleep(draw.uniform(0.1, 0.5))
            kill_a_writer(own_postgres, draw)
        agree(load, running, url)
        assert running.stop() == 0


def kill_a_writer(server: PostgresServer, draw: random.Random) -> None:
    """Send SIGKILL to a process of the server that works for us, or stop all of it."""
    deadline = time.monotonic() + SETTLED_WITHIN_S
    while True:
        try:
            with psycopg.connect(server.server.get_uri(), autocommit=True) as own:
                found = own.execute(
                    "SELECT pid FROM pg_stat_activity WHERE application_name = 'joulegate' AND state <> 'idle'"
                ).fetchall()
        except psycopg.OperationalError:  # it is recovering
            found = []
        if found:
            break
        assert time.monotonic() < deadline
        time.sleep(draw.uniform(0, 0.01))
    if draw.random() < 0.75:
        with contextlib.suppress(ProcessLookupError):
            os.kill(found[0][0], signal.SIGKILL)  # the server ends all others, and recovers
    else:
        server.stop()
        server.start()
