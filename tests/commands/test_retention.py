from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from proxy.errors import ConfigError, JoulegateError
from tests.commands.typed import typed
from tests.rows import call_row, insert

NOW = datetime.now(UTC)


@pytest.fixture
def run(ledger_url, engine, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    insert(engine, *(call_row(started_at=NOW - timedelta(days=days)) for days in (0, 5, 40, 50, 400)))
    return lambda *words: typed("retention", "--database", ledger_url, *words)


def test_a_dry_run_says_what_would_go_and_a_run_does_it(run):
    dry = json.loads(run("--keep-days", "30", "--dry-run", "--json").stdout)
    assert (dry["rows"], dry["deleted"], dry["dry_run"]) == (3, 0, True)
    assert "3 rows began before" in run("--keep-days", "30", "--dry-run").stdout
    done = json.loads(run("--keep-days", "30", "--json").stdout)
    assert (done["rows"], done["deleted"], done["before"]) == (3, 3, dry["before"])
    again = run("--keep-days", "30")
    assert (again.exit_code, "0 rows" in again.stdout) == (0, True)


def test_the_configuration_says_how_many_days(run, tmp_path):
    assert isinstance(run().exception, ConfigError)
    (tmp_path / "joulegate.toml").write_text("[ledger]\nkeep_days = 45\n")
    assert json.loads(run("--json").stdout)["deleted"] == 2


def test_a_ledger_that_is_not_there_is_an_error():
    ran = typed("retention", "--database", "sqlite:////nowhere/ledger.db", "--keep-days", "1")
    assert isinstance(ran.exception, JoulegateError)
