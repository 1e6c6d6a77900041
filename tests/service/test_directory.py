"""Keys made, rotated and revoked while a whole service runs, by command; and what lies on the disk afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from proxy.app import TICK_S
from proxy.directory.publishing import EVERY_S
from proxy.roster import FILE
from proxy.simulator import in_thread
from proxy.teams import digest, issue_key
from tests.commands.typed import typed
from tests.service.running import Service, get, post, service

WITHIN_S = 20.0  # on a machine that has much else to do
IN_A_ROW = 20
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
CONFIGURED = issue_key()


@pytest.fixture(scope="module")
def provider():
    with in_thread() as origin:
        yield origin


def toml(origin: str, *, key_id: str = "c1", more: str = "") -> str:
    return f"""
[gate]
keys = "required"
{more}
[[provider]]
name = "openai"
origin = "{origin}"
credential = "file:credential"
[[team]]
name = "configured"
[[team.key]]
id = "{key_id}"
sha256 = "{digest(CONFIGURED.encode())}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "credential").write_text("sk-of-the-provider-8fd2")
    return tmp_path


@contextlib.contextmanager
def started(folder: Path, toml: str, *words: str) -> Iterator[Service]:
    """Run a service until it has a directory and has told its gates."""
    with service(folder, toml, *words) as running:
        wait_for((folder / "joulegate-journal" / FILE).exists)
        yield running


def joulegate(folder: Path, *words: str, **environment: str) -> dict:
    with contextlib.chdir(folder):
        ran = typed(*words, "--json", **environment)
    assert ran.exit_code == 0, (ran.output, ran.exception)
    return json.loads(ran.stdout)


def call(running: Service, key: str, **headers: str) -> httpx2.Response:
    return post(f"{running.gate}/v1/chat/completions", json=BODY, headers={"authorization": f"Bearer {key}", **headers})


def eventually(running: Service, key: str, status: int) -> httpx2.Response:
    """Call until the answer is this one many times in a row: each gate looks for a new roster by itself."""
    deadline, in_a_row = time.monotonic() + WITHIN_S, 0
    while in_a_row < IN_A_ROW and time.monotonic() < deadline:
        reply = call(running, key)
        in_a_row = in_a_row + 1 if reply.status_code == status else 0
        time.sleep(0.02)
    assert in_a_row == IN_A_ROW, reply.text
    return reply


def test_the_two_looks_together_take_less_than_three_seconds():
    assert EVERY_S + TICK_S < 3


def test_the_life_of_a_key_through_a_service(folder: Path, provider: str) -> None:
    with started(folder, toml(provider), "--workers", "2") as running:
        assert call(running, CONFIGURED).status_code == 200
        joulegate(folder, "teams", "add", "search")
        first = joulegate(folder, "keys", "issue", "search", "--id", "s1", "--project", "p")
        eventually(running, first["key"], 200)
        # The key decides over what a client says.
        said = {"x-joulegate-team": "configured", "x-joulegate-project": "theirs", "x-joulegate-user": "ada"}
        reply = call(running, first["key"], **said)
        second = joulegate(folder, "keys", "rotate", "s1", "--grace", "30m", "--id", "s2")
        eventually(running, second["key"], 200)
        assert call(running, first["key"]).status_code == 200  # the grace
        third = joulegate(folder, "keys", "rotate", "s2", "--id", "s3")
        refused = eventually(running, second["key"], 401)
        assert "is not known here" in refused.text
        eventually(running, third["key"], 200)
        joulegate(folder, "keys", "revoke", "s3")
        eventually(running, third["key"], 401)
        soon = joulegate(folder, "keys", "issue", "search", "--id", "s4", "--model", "gpt-4o-mini")
        assert "may not be used for model" in eventually(running, soon["key"], 403).text
        with sqlite3.connect(running.ledger) as ledger:  # as time does: the command gives no end that is over
            ledger.execute("UPDATE keys SET expires_at = '2026-01-01 00:00:00.000000' WHERE id = 's4'")
            ledger.execute(
                "INSERT INTO changes SELECT revision + 1, '', '', '', 'key', 's4', '', '' FROM directory_revision"
            )
            ledger.execute("UPDATE directory_revision SET revision = revision + 1")
        ledger.close()
        assert "expired at 2026-01-01" in eventually(running, soon["key"], 401).text
        joulegate(folder, "teams", "archive", "search")
        eventually(running, first["key"], 401)
        assert call(running, CONFIGURED).status_code == 200
        call_id = reply.headers["x-joulegate-call-id"]
        wait_for(lambda: running.calls(f"SELECT * FROM calls WHERE id = '{call_id}'"))
        (row,) = running.calls(f"SELECT * FROM calls WHERE id = '{call_id}'")
        assert (row["team"], row["project"], row["user"], row["key_id"]) == ("search", "p", "ada", "s1")
        # A team made while it runs has metrics of its own.
        assert 'team="search"' in get(f"{running.console}/metrics").text
        log = joulegate(folder, "changes", "--subject", "s1")
        shown = get(f"{running.console}/").text
        assert running.stop() == 0
    secrets = [each["key"] for each in (first, second, third, soon)] + [CONFIGURED]
    no_secret(folder, secrets)
    for secret in secrets:
        assert digest(secret.encode()) not in json.dumps(log)
        assert secret not in shown


def wait_for(look) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not look() and time.monotonic() < deadline:
        time.sleep(0.05)


def no_secret(folder: Path, secrets: list[str]) -> None:
    files = [file for file in folder.rglob("*") if file.is_file()]
    assert {file.name for file in files} >= {FILE, "joulegate.db", "output.log"}
    for file in files:
        content = file.read_bytes()
        assert not any(secret[3:].encode() in content for secret in secrets), file


def test_keys_hold_over_a_killed_console_a_ledger_that_is_away_and_a_restart(folder: Path, provider: str) -> None:
    with started(folder, toml(provider)) as running:
        joulegate(folder, "teams", "add", "search")
        made = joulegate(folder, "keys", "issue", "search", "--id", "s1")
        eventually(running, made["key"], 200)
        os.kill(running.named_children()["console"], signal.SIGKILL)
        os.kill(running.named_children()["gate 1"], signal.SIGKILL)
        eventually(running, made["key"], 200)
        assert running.stop() == 0
    away = toml(provider, more='[ledger]\nurl = "postgresql+psycopg://nobody@127.0.0.1:1/nowhere"')
    with service(folder, away) as running:  # the roster that was there is in force from the first call
        assert call(running, made["key"]).status_code == 200
        assert call(running, CONFIGURED).status_code == 200
        assert call(running, "jg-unknown").status_code == 401


def test_a_key_of_the_file_that_was_made_by_command_too_keeps_it_from_starting(folder: Path, provider: str) -> None:
    with started(folder, toml(provider)) as running:
        joulegate(folder, "keys", "issue", "configured", "--id", "twice")
        assert running.stop() == 0
    (folder / "joulegate.toml").write_text(toml(provider, key_id="twice"))
    command = [sys.executable, "-m", "proxy.cli", "serve", "--check"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(command, cwd=folder, capture_output=True, check=False, env=environment)
    assert ran.returncode == 2
    assert b"key id `twice` is in the configuration and was given by command or API too" in ran.stderr


def test_a_roster_that_cannot_be_read_is_said_in_the_health(folder: Path, provider: str) -> None:
    with started(folder, toml(provider)) as running:
        joulegate(folder, "teams", "add", "search")
        made = joulegate(folder, "keys", "issue", "search")
        eventually(running, made["key"], 200)
        broken = folder / "joulegate-journal" / "broken"
        broken.write_bytes(b"this is no roster at all" * 100)
        broken.rename(folder / "joulegate-journal" / FILE)

        def status() -> str:
            return get(f"{running.console}/api/health").json()["status"]

        wait_for(lambda: status() == "keys_outdated")
        said = get(f"{running.console}/api/health").json()
        assert (said["status"], "gate 1 cannot read the roster of keys" in said["problem"]) == ("keys_outdated", True)
        assert b"keys stay as they were at revision" in running.output
        assert call(running, made["key"]).status_code == 200
        joulegate(folder, "keys", "issue", "search")  # the next change brings one that can be read
        wait_for(lambda: status() == "ok")
        assert status() == "ok"


def test_a_console_with_a_token_makes_keys_by_its_api_and_keeps_no_secret(folder: Path, provider: str) -> None:
    token = "canary-of-the-console-" + "t" * 20
    (folder / "token").write_text(token)
    console = '[console]\nlisten = "127.0.0.1:0"\ntoken = "file:token"\n'
    with started(folder, toml(provider, more=console)) as running:
        at, bearer = f"{running.console}/api", {"authorization": f"Bearer {token}"}
        assert get(f"{running.console}/metrics").status_code == 401
        assert get(f"{running.console}/metrics", headers=bearer).status_code == 200
        assert post(f"{at}/teams", json={"name": "search"}, headers=bearer).status_code == 201
        made = post(f"{at}/keys", json={"team": "search", "id": "s1"}, headers=bearer).json()
        eventually(running, made["key"], 200)
        new = post(f"{at}/keys/s1/rotate", json={}, headers=bearer).json()
        eventually(running, made["key"], 401)
        eventually(running, new["key"], 200)
        post(f"{at}/keys", content=f'{{"team": "{new["key"]}"', headers=bearer)  # what goes wrong is not logged
        assert get(f"{at}/keys", headers={"authorization": f"Bearer {token}x"}).status_code == 401
        session = post(f"{running.console}/login", data={"token": token}).headers["set-cookie"]
        assert token not in session
        log = get(f"{at}/changes", headers=bearer).json()["changes"]
        assert [each["actor"] for each in log[:3]] == ["token:console"] * 3
        found = {each["what"]: each for each in joulegate_doctor(running)["checks"]}
        assert "a console runs on" in found["console.listen"]["says"]
        assert found["roster"]["says"].endswith("has 1 keys, as of change 6")
        assert running.stop() == 0
    (folder / "token").unlink()
    (folder / "credential").unlink()
    no_secret(folder, [made["key"], new["key"], f"jg-{token}", f"jg-{session.partition('=')[2].partition(';')[0]}"])


def joulegate_doctor(running: Service) -> dict:
    listens = {
        "JOULEGATE_GATE_LISTEN": running.gate.removeprefix("http://"),
        "JOULEGATE_CONSOLE_LISTEN": running.console.removeprefix("http://"),
    }
    return joulegate(running.folder, "doctor", **listens)


def test_off_loopback_a_console_without_a_token_does_not_start(folder: Path, provider: str) -> None:
    (folder / "joulegate.toml").write_text(toml(provider))
    command = [sys.executable, "-m", "proxy.cli", "serve", "--host", "0.0.0.0", "--port", "0", "--console-port", "0"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(command, cwd=folder, capture_output=True, check=False, env=environment, timeout=60)
    assert ran.returncode == 2
    assert b'has no token: set token = "env:NAME" or "file:PATH" in [console], or listen on 127.0.0.1' in ran.stderr


def test_keys_reach_the_gate_from_a_postgresql_too(folder: Path, provider: str, postgres) -> None:
    url = postgres.migrated()
    with started(folder, toml(provider, more=f'[ledger]\nurl = "{url}"')) as running:
        joulegate(folder, "teams", "add", "search")
        made = joulegate(folder, "keys", "issue", "search", "--id", "s1")
        eventually(running, made["key"], 200)
        joulegate(folder, "keys", "revoke", "s1")
        eventually(running, made["key"], 401)
        assert call(running, CONFIGURED).status_code == 200
        assert [each["managed_by"] for each in joulegate(folder, "keys", "list")] == ["configuration", "api"]


def test_a_console_killed_while_it_writes_the_roster_leaves_the_one_before(folder: Path, provider: str) -> None:
    with started(folder, toml(provider)) as running:
        joulegate(folder, "teams", "add", "search")
        made = joulegate(folder, "keys", "issue", "search", "--id", "s1")
        eventually(running, made["key"], 200)
        assert running.stop() == 0
    with contextlib.closing(sqlite3.connect(folder / "joulegate.db")) as ledger, ledger:
        ledger.executemany(
            "INSERT INTO keys (id, sha256, team, created_at, providers, models, networks, managed_by)"
            " VALUES (?, ?, 'search', '2026-11-23 12:30:00.000000', '[]', '[]', '[]', 'api')",
            [(f"k{number}", digest(b"jg-%d" % number)) for number in range(50_000)],
        )
    roster = folder / "joulegate-journal" / FILE
    before, fresh = roster.stat().st_ino, roster.with_name(f"{FILE}.new")
    with service(folder, toml(provider)) as running:  # its console begins with a roster of all of them
        deadline = time.monotonic() + WITHIN_S
        while not (fresh.exists() and fresh.stat().st_size > 1_000_000) and time.monotonic() < deadline:
            pass
        os.kill(running.named_children()["console"], signal.SIGKILL)
        assert fresh.exists()  # half of it
        assert roster.stat().st_ino == before
        assert call(running, made["key"]).status_code == 200
        wait_for(lambda: roster.stat().st_ino != before)  # of the console that took its place
        eventually(running, "jg-49999", 200)
        assert call(running, made["key"]).status_code == 200
        assert not fresh.exists()
