"""What Prometheus adds up is what the ledger says and what the clients saw, however many processes count and die."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from proxy.ledger.engine import open_engine
from proxy.ledger.tables import calls
from tests.crash.accounts import differences, rows, settle, summary
from tests.crash.running import SETTLED_WITHIN_S, calls_counted, metric, port, toml, wait_for
from tests.crash.traffic import output_tokens, traffic
from tests.databases import PostgresServer
from tests.service.running import service

pytestmark = pytest.mark.heavy

SEED = int(os.environ.get("CRASH_SEED", "20261128"))
WORKERS, INSTANCES = 4, 2
CALLS = 1000
SUMS = {
    "joulegate_flops_total": calls.c.flops,
    "joulegate_energy_joules_total": calls.c.joules,
    "joulegate_energy_joules_low_total": calls.c.joules_low,
    "joulegate_energy_joules_high_total": calls.c.joules_high,
    "joulegate_water_liters_total": calls.c.liters,
    "joulegate_cost_usd_total": calls.c.cost_usd,
}


def test_four_workers_in_two_instances_on_one_database_add_up(tmp_path: Path, postgres: PostgresServer) -> None:
    """Workers and consoles die on the way: those who count go on where the ones before were, and never lower."""
    draw = random.Random(SEED)
    url = postgres.migrated()
    folders = [tmp_path / f"machine-{number}" for number in range(INSTANCES)]
    for folder in folders:
        folder.mkdir()
    engine = open_engine(url)
    with traffic(SEED, clients=16) as load:
        configuration = toml(load.origin, url, workers=WORKERS)
        with service(folders[0], configuration) as one, service(folders[1], configuration) as other:
            instances = (one, other)
            load.gates = [port(one), port(other)]
            load.go()
            seen, killed = [0.0, 0.0], 0
            while len(load.finished()) < CALLS or killed < 2 * INSTANCES:
                time.sleep(draw.uniform(0.2, 0.6))
                number = draw.randrange(INSTANCES)
                children = instances[number].named_children()
                gates = [pid for name, pid in children.items() if name.startswith("gate")]
                if len(gates) == WORKERS:
                    os.kill(draw.choice(gates), signal.SIGKILL)
                for each, running in enumerate(instances):
                    if (counted := calls_counted(running)) is not None:
                        assert counted >= seen[each], killed
                        seen[each] = counted
                        if each == number and counted and "console" in children:
                            os.kill(children["console"], signal.SIGKILL)
                            killed += 1
            load.rest()
            wrong = settle(lambda: differences(load.calls, load.reached, rows(engine)), SETTLED_WITHIN_S)
            assert wrong == [], wrong[:20]
            recorded = rows(engine)
            sys.stdout.write(f"\n{killed} consoles killed; {summary(load.calls, recorded)}\n")
            wait_for(lambda: None not in map(calls_counted, instances), one)
            wait_for(lambda: metric(instances, "joulegate_calls_total", team="crash") == len(recorded), one)
            assert min(metric(each, "joulegate_calls_total") for each in instances) > CALLS / 10
            for outcome in ("ok", "aborted", "interrupted"):
                counted = sum(row.outcome == outcome for row in recorded)
                assert metric(instances, "joulegate_calls_total", outcome=outcome) == counted, outcome
            # What a client knows of the calls that came to their end, the others added from the ledger.
            finished = {call.call_id: output_tokens(call.number) for call in load.finished()}
            others = sum(row.output_tokens or 0 for row in recorded if row.id not in finished)
            assert metric(instances, "joulegate_tokens_total", kind="output") == sum(finished.values()) + others
            with engine.connect() as connection:
                for name, column in SUMS.items():
                    in_ledger = float(connection.execute(sa.select(sa.func.sum(column))).scalar_one())
                    assert metric(instances, name) == pytest.approx(in_ledger, rel=1e-9), name
                    assert in_ledger > 0
    engine.dispose()
