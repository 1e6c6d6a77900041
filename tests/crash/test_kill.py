"""Processes killed at random moments under load: no call is lost, none is doubled, whoever dies.

Nor in the metrics, which go on where the ones before were.

``CRASH_ROUNDS`` and ``CRASH_SEED`` change how often and which moments; `make crash` runs 200 rounds on each database.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from proxy.identity import uuid7
from proxy.ledger.engine import open_engine
from tests.crash.accounts import differences, rows, settle, summary, sums_that_differ
from tests.crash.running import SETTLED_WITHIN_S, calls_counted, port, toml, wait_for
from tests.crash.traffic import Traffic, traffic
from tests.service.running import Service, service

pytestmark = pytest.mark.heavy

ROUNDS = int(os.environ.get("CRASH_ROUNDS", "6"))
SEED = int(os.environ.get("CRASH_SEED", "20261128"))
TARGETS = ("gate", "gate", "console", "console", "both", "everything")


def kill(running: Service, target: str, draw: random.Random) -> list[str]:
    """Send SIGKILL to whom ``target`` names, in any order and not quite at once; gives their names."""
    named = running.named_children()
    gates = [name for name in named if name.startswith("gate")]
    dying = {
        "gate": draw.sample(gates, draw.randint(min(1, len(gates)), len(gates))),
        "console": [name for name in named if name == "console"],
        "both": list(named),
    }[target]
    draw.shuffle(dying)
    for name in dying:
        with contextlib.suppress(ProcessLookupError):
            os.kill(named[name], signal.SIGKILL)
        time.sleep(draw.choice((0, 0, draw.uniform(0, 0.05))))
    return dying


def wrong_since(engine: sa.Engine, load: Traffic, first: int, since_id: str) -> list[str]:
    made = load.calls[first:]
    numbers = {call.number for call in made}
    recorded = [row for row in rows(engine, since_id=since_id) if row.number in numbers]
    return differences(made, load.reached & numbers, recorded)


def test_processes_killed_at_random_moments_lose_and_double_nothing(tmp_path: Path, ledger_url: str) -> None:
    draw = random.Random(SEED)
    sys.stdout.write(f"\nseed {SEED}, {ROUNDS} rounds on {ledger_url.partition(':')[0]}\n")
    killed: Counter[str] = Counter()
    engine = open_engine(ledger_url)
    # Every target in each six rounds, in any order.
    targets = (target for _ in itertools.count() for target in draw.sample(TARGETS, len(TARGETS)))
    with traffic(SEED) as load, contextlib.ExitStack() as lives:
        configuration = toml(load.origin, ledger_url, workers=2)
        running = lives.enter_context(service(tmp_path, configuration))
        for number in range(1, ROUNDS + 1):
            load.gates = [port(running)]
            first = len(load.calls)
            since_id = uuid7(time.time_ns() // 1_000_000 - 1000, 0)
            load.go()
            target = next(targets)
            for _ in range(draw.randint(1, 2)):
                time.sleep(draw.uniform(0.05, 0.8))
                if target == "everything":
                    running.kill()
                    load.rest()
                    killed["everything"] += 1
                    lives.close()
                    running = lives.enter_context(service(tmp_path, configuration))
                    load.gates = [port(running)]
                    load.go()
                else:
                    killed.update(name.rstrip(" 0123456789") for name in kill(running, target, draw))
            time.sleep(draw.uniform(0, 0.3))
            load.rest()
            wrong = settle(lambda: wrong_since(engine, load, first, since_id), SETTLED_WITHIN_S)  # noqa: B023
            assert wrong == [], (f"round {number}, {target}", wrong[:20], running.output.decode()[-3000:])
        recorded = rows(engine)
        wait_for(lambda: calls_counted(running) == len(recorded), running)
        assert running.stop() == 0
        sys.stdout.write(f"killed: {dict(killed)}; {summary(load.calls, recorded)}\n")
        assert differences(load.calls, load.reached, recorded) == []
        assert sums_that_differ(engine) == []
        assert len(load.finished()) > 10 * ROUNDS
        assert sum(row.outcome == "interrupted" for row in recorded) > 0
        assert list((tmp_path / "joulegate-journal").glob("*.journal")) == []
    engine.dispose()
