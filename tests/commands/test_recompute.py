from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from decimal import Decimal

import msgspec
import pytest

from estimator import facts_version
from proxy.errors import JoulegateError
from proxy.ledger.row import Composed
from tests.commands.typed import typed
from tests.ledger.recomputing import configured, of_old, put, run, some_calls

PERIOD = ("--from", "2026-11-17", "--to", "2026-11-22")


@pytest.fixture
def invoke(ledger_url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return lambda *words: typed("recompute", "--database", ledger_url, *PERIOD, *words)


@pytest.fixture
def today(engine, tmp_path):
    made = some_calls(configured(tmp_path), 150)
    put(engine, [of_old(each) for each in made])
    (tmp_path / "joulegate.toml").unlink()
    return made


def test_a_dry_run_says_what_a_run_then_does_and_the_next_run_changes_nothing(invoke, today):
    dry = json.loads(invoke("--dry-run", "--json").stdout)
    assert (dry["dry_run"], dry["generation"], dry["facts_version"]) == (True, None, facts_version())
    assert "would change. Nothing was written." in invoke("--dry-run").stdout
    done = json.loads(invoke("--json").stdout)
    assert done | {"dry_run": True, "generation": None} == dry
    assert (done["generation"], done["changed"], done["looked_at_before"]) == (1, done["total"]["changed"], 0)
    again = invoke()
    assert (again.exit_code, "Nothing changes:" in again.stdout) == (0, True)
    assert json.loads(invoke("--json").stdout)["changed"] == 0


def test_the_table_is_by_model_and_team_and_adds_up(invoke, today):
    found = json.loads(invoke("--dry-run", "--json").stdout)
    rows = {(row["model"], row["team"]): row for row in found["rows"]}
    metered = [each.row for each in today if each.row.usage_source != "absent" or each.lines]
    assert rows.keys() == {(row.model or row.model_requested, row.team) for row in metered}
    old = {each.row.id: of_old(each).row for each in today}
    mine = [row for row in metered if (row.model or row.model_requested, row.team) == ("gpt-4o", "ads")]
    cost = rows["gpt-4o", "ads"]["cost_usd"]
    assert Decimal(cost["after"]) == sum(row.cost_usd for row in mine if row.cost_usd is not None)
    before = [old[row.id].cost_usd for row in mine]
    assert Decimal(cost["before"]) == sum(each for each in before if each is not None)
    assert Decimal(cost["change"]) == Decimal(cost["after"]) - Decimal(cost["before"])
    assert cost["gained"] == sum(old[row.id].cost_usd is None and row.cost_usd is not None for row in mine)
    total = found["total"]
    assert total["calls"] == len(metered) == sum(row["calls"] for row in found["rows"])
    assert total["joules"]["lost"] == sum(row["joules"]["lost"] for row in found["rows"]) > 0
    printed = invoke("--dry-run").stdout
    for word in ("before", "after", "gained", "lost", "no-such-model", "ads", "dollars", "water", "total", "%)"):
        assert word in printed


def test_a_run_that_was_broken_off_is_said_to_go_on(invoke, today, engine, tmp_path):
    config = configured(tmp_path)
    (tmp_path / "joulegate.toml").unlink()
    assert run(engine, config, stop_after=1).looked_at == 50
    # The ledger of this command is the same one, the period too.
    done = invoke()
    assert done.exit_code == 0
    assert "went on after 50 calls" not in done.stdout  # another period: begun anew
    assert "generation 2" in done.stdout


def test_calls_without_a_change_are_not_lines_of_the_table(invoke, engine, tmp_path):
    made = some_calls(configured(tmp_path), 80)
    (tmp_path / "joulegate.toml").unlink()
    dear = [
        Composed(msgspec.structs.replace(each.row, cost_usd=Decimal(100)), each.lines, False)
        if each.row.model == "o3" and each.row.cost_usd is not None
        else each
        for each in made
    ]
    put(engine, dear)
    lines = invoke("--dry-run").stdout.splitlines()
    assert any(line.startswith("o3") for line in lines)
    assert not any(line.startswith("gpt-4o") for line in lines)


def test_a_progress_bar_is_for_terminals_alone(today, ledger_url, tmp_path):
    words = [sys.executable, "-m", "proxy.cli", "recompute", "--database", ledger_url, *PERIOD, "--dry-run"]
    piped = subprocess.run(words, cwd=tmp_path, capture_output=True, check=True, timeout=60)
    assert piped.stderr == b""
    leader, follower = pty.openpty()
    shown = subprocess.run(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=follower, check=True, timeout=60)
    os.close(follower)
    assert b"estimating" in os.read(leader, 100_000)
    os.close(leader)
    assert shown.stdout == piped.stdout


@pytest.mark.parametrize(
    "words", [("--from", "x", "--to", "y"), ("--from", "2026-11-02", "--to", "2026-11-01"), ("--tz", "Nowhere")]
)
def test_what_cannot_be_read_is_an_error(invoke, words):
    assert isinstance(invoke(*words).exception, JoulegateError)
