"""`joulegate keys`, `teams` and `changes`, on a ledger of either database."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from proxy.config import load
from proxy.directory.configured import take_over
from proxy.errors import DirectoryError, LedgerError
from proxy.ledger.directory_tables import keys as key_table
from proxy.ledger.write import Ledger
from proxy.teams import digest
from tests.commands.typed import typed
from tests.directory.asking import section
from tests.rows import call_row, insert

LIMITED = ("--expires", "90d", "--model", "gpt-4o*", "--model", "o3", "--provider", "openai", "--network", "10.0.0.0/8")


@pytest.fixture
def joulegate(monkeypatch, tmp_path, ledger_url):
    """Run a command that succeeds; gives what it printed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JOULEGATE_LEDGER_URL", ledger_url)

    def run(*words: str) -> str:
        result = typed(*words)
        if result.exception is not None:
            raise result.exception
        return result.output

    return run


def told(output: str):
    return msgspec.json.decode(output)


def key_in(output: str) -> str:
    return next(line.strip() for line in output.splitlines() if line.strip().startswith("jg-"))


def test_a_key_is_shown_once_and_only_its_hash_is_kept(joulegate, engine):
    joulegate("teams", "add", "search")
    shown = joulegate("keys", "issue", "search", "--id", "s1", "--project", 'a "b"', *LIMITED)
    key = key_in(shown)
    with engine.connect() as connection:
        assert connection.scalar(sa.select(key_table.c.sha256)) == digest(key.encode())
    for later in (
        joulegate("keys", "list"),
        joulegate("keys", "list", "--json"),
        joulegate("keys", "show", "s1"),
        joulegate("keys", "show", "s1", "--json"),
        joulegate("changes"),
        joulegate("changes", "--json"),
    ):
        assert key not in later
        assert digest(key.encode()) not in later
        assert "s1" in later
    (row,) = told(joulegate("keys", "list", "--json"))
    assert (row["id"], row["team"], row["state"], row["managed_by"]) == ("s1", "search", "active", "api")
    assert (row["models"], row["networks"], row["project"]) == (["gpt-4o*", "o3"], ["10.0.0.0/8"], 'a "b"')
    end = datetime.fromisoformat(row["expires_at"])
    assert timedelta(days=89) < end - datetime.now(UTC) < timedelta(days=91)


def test_the_life_of_a_key_and_who_did_what(joulegate):
    joulegate("teams", "add", "search")
    joulegate("keys", "issue", "search", "--id", "s1")
    made = told(joulegate("keys", "rotate", "s1", "--grace", "7d", "--id", "s2", "--json"))
    assert (made["id"], made["replaces"], made["key"][:3]) == ("s2", "s1", "jg-")
    assert "ends on 20" in joulegate("keys", "expire", "s2", "90d")
    assert told(joulegate("keys", "expire", "s2", "never", "--json"))["expires_at"] is None
    assert "is revoked" in joulegate("keys", "revoke", "s2")
    states = {row["id"]: row["state"] for row in told(joulegate("keys", "list", "--json"))}
    assert states == {"s1": "active", "s2": "revoked"}
    assert [row["id"] for row in told(joulegate("keys", "list", "--state", "active", "--json"))] == ["s1"]
    assert told(joulegate("keys", "list", "--team", "ads", "--json")) == []
    log = told(joulegate("changes", "--json"))
    assert [each["action"] for each in log[::-1]] == [
        "add", "issue", "rotate", "expire", "expire", "expire", "revoke",
    ]  # fmt: skip
    assert all(each["actor"].startswith("cli:") for each in log)
    assert "There are earlier ones: --before 5" in joulegate("changes", "--limit", "3")
    assert [each["number"] for each in told(joulegate("changes", "--before", "5", "--limit", "2", "--json"))] == [4, 3]
    assert {each["subject"] for each in told(joulegate("changes", "--subject", "s2", "--json"))} == {"s2"}
    assert "revoke by cli:" in joulegate("keys", "show", "s2")


def test_teams(joulegate):
    assert "No teams" in joulegate("teams", "list")
    joulegate("teams", "add", "search")
    joulegate("keys", "issue", "search", "--id", "s1")
    (row,) = told(joulegate("teams", "list", "--json"))
    assert (row["name"], row["active_keys"], row["archived_at"], row["managed_by"]) == ("search", 1, None, "api")
    assert "archived" in joulegate("teams", "archive", "search")
    assert told(joulegate("teams", "list", "--json")) == []
    assert told(joulegate("teams", "list", "--archived", "--json"))[0]["active_keys"] == 0
    assert told(joulegate("teams", "show", "search", "--json"))["changes"][0]["action"] == "archive"
    assert "archive by cli:" in joulegate("teams", "show", "search")
    joulegate("teams", "add", "search")
    assert told(joulegate("teams", "list", "--json"))[0]["archived_at"] is None


def test_when_a_key_was_used_last_is_known_from_the_sums(joulegate, engine):
    joulegate("teams", "add", "search")
    joulegate("keys", "issue", "search", "--id", "s1")
    joulegate("keys", "issue", "search", "--id", "s2")
    now = datetime.now(UTC)
    insert(engine, call_row(key_id="s1", started_at=now - timedelta(days=3)), call_row(key_id="s2", started_at=now),
           call_row(key_id="s2", started_at=now - timedelta(days=100)))  # fmt: skip
    while Ledger(engine).roll_up():
        pass
    used = {row["id"]: row["last_used_on"] for row in told(joulegate("keys", "list", "--json"))}
    assert used == {"s1": (now - timedelta(days=3)).date().isoformat(), "s2": now.date().isoformat()}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("keys", "issue", "nobody"), "there is no team 'nobody'; make it: joulegate teams add"),
        (("keys", "issue", "search", "--id", "c1"), "there is a key c1 already"),
        (("keys", "issue", "search", "--expires", "soon"), "is no date; write 2027-01-31"),
        (("keys", "issue", "search", "--provider", "opnai"), "there is no 'opnai'; known are"),
        (("keys", "rotate", "nobody"), "there is no key 'nobody'"),
        (("keys", "rotate", "c1", "--grace", "long"), "is no time; write 7d, 36h, 30m or 0"),
        (("keys", "revoke", "c1"), "key c1 is in the configuration: change it there"),
        (("teams", "archive", "search"), "team search is in the configuration: take it out there"),
        (("teams", "add", "a/b"), "without `/`"),
    ],
)
def test_what_cannot_be_done_is_said(joulegate, engine, words, says):
    take_over(engine, [section("search", "c1")], at=datetime.now(UTC))
    with pytest.raises(DirectoryError, match=says):
        joulegate(*words)


def test_what_is_printed_for_the_configuration_is_what_it_takes(joulegate, tmp_path):
    shown = joulegate("keys", "issue", "search", "--print-config", "--id", "s1", "--project", 'a "b"', *LIMITED)
    key = key_in(shown)
    lines = [line.strip() for line in shown.partition("[[team.key]]")[2].splitlines()]
    (tmp_path / "joulegate.toml").write_text("\n".join(('[[team]]\nname = "search"', "[[team.key]]", *lines)))
    ((found,),) = [team.key for team in load(tmp_path / "joulegate.toml").config.team]
    assert found.sha256 == digest(key.encode())
    assert (found.id, found.project, found.models, found.providers) == ("s1", 'a "b"', ("gpt-4o*", "o3"), ("openai",))
    assert found.networks == ("10.0.0.0/8",)
    assert told(joulegate("keys", "list", "--json")) == []
    made = told(joulegate("keys", "issue", "search", "--print-config", "--json"))
    assert digest(made["key"].encode()) == made["sha256"]


def test_without_a_ledger_it_is_said_how_there_will_be_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    result = typed("keys", "issue", "search")
    assert isinstance(result.exception, LedgerError)
    assert "start `joulegate serve` first" in str(result.exception)


def test_two_at_once_lose_nothing(joulegate, ledger_url):
    joulegate("teams", "add", "search")
    command = [sys.executable, "-m", "proxy.cli", "keys", "issue", "search", "--json", "--database", ledger_url]
    root = Path(__file__).parents[2]
    at_once = [subprocess.Popen(command, stdout=subprocess.PIPE, cwd=root) for _ in range(2)]
    made = {told(each.communicate(timeout=60)[0])["id"] for each in at_once}
    assert made == {row["id"] for row in told(joulegate("keys", "list", "--json"))}
    assert [each["number"] for each in told(joulegate("changes", "--json"))] == [3, 2, 1]
