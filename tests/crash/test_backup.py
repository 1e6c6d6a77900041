"""A backup made while the service runs, restored after the ledger was lost, as docs/how-to/operate.md says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.ledger.engine import open_engine
from tests.crash.accounts import Row, differences, rows, settle
from tests.crash.running import SETTLED_WITHIN_S, port, toml, wait_for
from tests.crash.traffic import Traffic, traffic
from tests.databases import PostgresServer
from tests.service.running import Service, service

pytestmark = pytest.mark.heavy

SEED = 20261128
BACKUP = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('VACUUM INTO ?', sys.argv[2:])"


def recorded(url: str) -> dict[int, Row]:
    engine = open_engine(url)
    found = rows(engine)
    engine.dispose()
    assert len({row.number for row in found}) == len(found)
    return {row.number: row for row in found}


def more_calls(load: Traffic, running: Service, url: str) -> set[int]:
    """Make calls, and wait until the ledger has them; gives the numbers of all that finished until now."""
    load.gates = [port(running)]
    enough = len(load.finished()) + 50
    load.go()
    wait_for(lambda: len(load.finished()) > enough, running)
    load.rest()
    finished = {call.number for call in load.finished()}
    wait_for(lambda: finished <= recorded(url).keys(), running)
    return finished


def test_a_sqlite_ledger_is_backed_up_in_use_and_restored(tmp_path: Path) -> None:
    ledger, backup = tmp_path / "joulegate.db", tmp_path / "backup.db"
    url = f"sqlite:///{ledger}"
    with traffic(SEED) as load:
        configuration = toml(load.origin, url)
        with service(tmp_path, configuration) as running:
            before = more_calls(load, running, url)
            load.go()
            subprocess.run([sys.executable, "-c", BACKUP, ledger, backup], check=True)
            load.rest()
            after = more_calls(load, running, url)
            running.kill()  # before the journal's segment is deleted: it still has the calls since the start
        for suffix in ("", "-wal", "-shm"):
            ledger.with_name(ledger.name + suffix).unlink(missing_ok=True)
        backup.rename(ledger)
        assert before <= recorded(url).keys()
        assert not after <= recorded(url).keys()
        with service(tmp_path, configuration) as running:
            wait_for(lambda: after <= recorded(url).keys(), running)
            more_calls(load, running, url)
            engine = open_engine(url)
            assert settle(lambda: differences(load.calls, load.reached, rows(engine)), SETTLED_WITHIN_S) == []
            engine.dispose()
            assert running.stop() == 0


def test_a_ledger_on_postgresql_is_dumped_in_use_and_restored(tmp_path: Path, postgres: PostgresServer) -> None:
    url, restored = postgres.migrated(), postgres.database()
    programs = postgres.server.bin_path
    dump = tmp_path / "joulegate.dump"
    with traffic(SEED) as load:
        with service(tmp_path, toml(load.origin, url)) as running:
            before = more_calls(load, running, url)
            load.go()
            run(programs / "pg_dump", "--format=custom", "--file", str(dump), url)
            load.rest()
            after = more_calls(load, running, url)
            running.kill()
        run(programs / "pg_restore", "--no-owner", "--dbname", restored, str(dump))
        assert before <= recorded(restored).keys()
        assert not after <= recorded(restored).keys()
        with service(tmp_path, toml(load.origin, restored)) as running:
            wait_for(lambda: after <= recorded(restored).keys(), running)
            more_calls(load, running, restored)
            engine = open_engine(restored)
            assert settle(lambda: differences(load.calls, load.reached, rows(engine)), SETTLED_WITHIN_S) == []
            engine.dispose()
            assert running.stop() == 0


def run(program: Path, *arguments: str) -> None:
    command = [str(program), *(each.replace("postgresql+psycopg:", "postgresql:") for each in arguments)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    subprocess.run(command, env=environment, check=True)
