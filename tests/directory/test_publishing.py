"""The roster: written from the database, read by gates, whole at every moment."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from proxy.directory import keys
from proxy.directory.publishing import Publisher
from proxy.errors import Refusal
from proxy.in_force import Slot, slots
from proxy.ledger.directory_tables import keys as key_table
from proxy.ledger.directory_tables import teams as team_table
from proxy.roster import FILE, FORMAT, Roster
from proxy.teams import Attribution, Teams, digest
from tests.databases import open_ledger
from tests.directory.asking import LATER, NOW, issue, make_team, noted, section


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "journal" / FILE


@pytest.fixture
def opened() -> Iterator[Callable[..., Roster]]:
    """Gives rosters that are closed after the test."""
    with contextlib.ExitStack() as stack:

        def roster(path: Path, slot: Slot | None = None) -> Roster:
            return stack.enter_context(contextlib.closing(Roster(path, slot)))

        yield roster


def publisher(engine, path, *sections, **more) -> Publisher:
    heard = more.pop("heard", [])
    return Publisher(
        engine, path, configured=sections, working=lambda: True, on_teams=heard.append, now=lambda: LATER, **more
    )


def admitted(teams: Teams, secret: str) -> Attribution:
    return teams.admit("POST", [(b"authorization", f"Bearer {secret}".encode())], b"").attribution


def refused(teams: Teams, secret: str) -> tuple[int, str]:
    with pytest.raises(Refusal) as refusal:
        admitted(teams, secret)
    return refusal.value.status, refusal.value.code


def test_a_key_of_the_directory_is_good_once_it_is_published_and_not_when_it_is_revoked(engine, path, opened):
    make_team(engine)
    heard: list[list[str]] = []
    publishing = publisher(engine, path, section("conf", "c1"), heard=heard)
    assert publishing.round()
    gate = Teams([section("conf", "c1")], keys_required=True, roster=opened(path))
    secret, key = issue(engine, project="p", models=("gpt-4o*",), expires="90d")
    assert refused(gate, secret) == (401, "invalid_api_key")
    assert publishing.round()
    gate.look()
    said = gate.admit("POST", [(b"x-api-key", secret.encode()), (b"x-joulegate-team", b"ads")], b"")
    assert said.attribution == Attribution(team="search", project="p", key_id=key.id)
    assert said.scope is not None
    assert said.scope.models == ("gpt-4o*",)
    assert said.scope.expires_at == (NOW + timedelta(days=90)).timestamp()
    assert admitted(gate, "jg-of-c1").team == "conf"
    assert not publishing.round()
    keys.revoke(engine, key.id, actor="cli:ada", at=LATER)
    assert publishing.round()
    gate.look()
    assert refused(gate, secret) == (401, "invalid_api_key")
    assert [sorted(each) for each in heard] == [["conf", "search"]] * 3


def test_the_file_is_for_the_service_alone_and_holds_no_key(engine, path):
    make_team(engine)
    secrets = [issue(engine).secret for _ in range(3)]
    publisher(engine, path).round()
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in path.parent.iterdir()] == [FILE]
    content = path.read_bytes()
    assert bytes.fromhex(digest(secrets[0].encode())) in content
    assert not any(secret[3:].encode() in content for secret in secrets)


def test_keys_of_the_configuration_need_no_roster_and_are_not_in_it(engine, path, opened):
    gate = Teams([section("conf", "c1")], keys_required=True, roster=opened(path))
    assert admitted(gate, "jg-of-c1").key_id == "c1"
    publisher(engine, path, section("conf", "c1")).round()
    elsewhere = Teams([], keys_required=True, roster=opened(path))
    assert refused(elsewhere, "jg-of-c1") == (401, "invalid_api_key")


def test_the_last_good_roster_holds_and_it_is_said(engine, path, caplog, opened):
    make_team(engine)
    secret, _ = issue(engine)
    publishing = publisher(engine, path, gates=(said := slots(1)))
    publishing.round()
    roster = opened(path, said[0])
    gate = Teams([], keys_required=True, roster=roster)
    good = path.read_bytes()
    for broken, says in (
        (b"not a database at all" * 1000, "file is not a database"),
        (good[:100], "malformed|not a database"),
        (b"", "its format is 0"),
    ):
        (other := path.with_name("other")).write_bytes(broken)
        other.rename(path)
        gate.look()
        gate.look()
        assert admitted(gate, secret).team == "search"
        assert re.search(says, roster.problem)
        (problem,) = publishing.problems
        assert problem.startswith("gate 1 cannot read the roster of keys: ")
    path.unlink()
    gate.look()
    assert admitted(gate, secret).team == "search"
    assert publishing.problems == ["gate 1 cannot read the roster of keys: it was deleted"]
    assert caplog.text.count("keys stay as they were") == 4
    assert publishing.round()  # a file that is gone is written again
    gate.look()
    assert publishing.problems == []
    assert admitted(gate, secret).team == "search"


def test_a_roster_of_another_format_is_not_taken(engine, path, opened):
    publisher(engine, path).round()
    with sqlite3.connect(path) as file:
        file.execute(f"PRAGMA user_version = {FORMAT + 1}")
    file.close()
    roster = opened(path)
    assert not roster.look()
    assert roster.problem == f"its format is {FORMAT + 1}, not {FORMAT}: another release wrote it"


def test_a_roster_that_breaks_while_it_is_in_force_is_no_reason_to_call_a_key_wrong(engine, path, opened):
    make_team(engine)
    with engine.begin() as connection:
        rows = [
            {"id": f"k{number}", "sha256": digest(b"%d" % number), "team": "search", "created_at": NOW, "providers": [],
             "models": [], "networks": [], "managed_by": "api"}
            for number in range(2000)
        ]  # fmt: skip
        connection.execute(key_table.insert(), rows)
    publisher(engine, path).round()
    roster = opened(path)
    gate = Teams([], keys_required=True, roster=roster)
    with path.open("r+b") as file:  # as a failing disk would: the pages behind those that were read
        file.seek(8192)
        file.write(os.urandom(path.stat().st_size - 8192))
    found = {refused(gate, f"jg-{number}") for number in range(50)}
    assert (503, "keys_unavailable") in found
    assert roster.problem


def test_a_look_up_takes_the_same_steps_among_a_hundred_keys_and_a_hundred_thousand(sqlite_engine, tmp_path, opened):
    """Steps of SQLite's virtual machine, which do not depend on the machine; its pages are four levels deep at most."""
    steps = {}
    for count in (100, 100_000):
        with sqlite_engine.begin() as connection:
            connection.execute(key_table.delete())
            connection.execute(team_table.delete())
        _fill(sqlite_engine, count)
        path = tmp_path / f"{count}" / FILE
        publisher(sqlite_engine, path).round()
        roster = opened(path)
        roster.look()
        taken = 0

        def step() -> int:
            nonlocal taken
            taken += 1
            return 0

        roster._connection.set_progress_handler(step, 1)
        for number in range(50):
            assert roster.find(digest(b"jg-%d" % number)).key.id == f"k{number}"
        steps[count] = taken
        plan = roster._connection.execute(
            "EXPLAIN QUERY PLAN SELECT team, key FROM keys WHERE sha256 = x'00'"
        ).fetchall()
        assert "SEARCH keys USING PRIMARY KEY (sha256=?)" in plan[0][3]
        roster.close()
    assert steps[100_000] == steps[100]


def _fill(engine, count: int) -> None:
    with engine.begin() as connection:
        sql = (
            "INSERT INTO keys (id, sha256, team, created_at, providers, models, networks, managed_by)"
            " VALUES (?, ?, 'search', '2026-11-23 12:30:00.000000', '[]', '[]', '[]', 'api')"
        )
        connection.exec_driver_sql(sql, [(f"k{number}", digest(b"jg-%d" % number)) for number in range(count)])


def _content(path: Path) -> list[tuple]:
    with contextlib.closing(sqlite3.connect(path)) as file:
        return [*file.execute("SELECT * FROM roster"), *file.execute("SELECT * FROM keys ORDER BY sha256")]


def test_a_roster_with_what_changed_is_as_one_written_anew(engine, path, caplog):
    make_team(engine)
    publishing = publisher(engine, path)
    caplog.set_level(logging.DEBUG, "joulegate.directory")
    for number in range(5):
        issue(engine, id=f"k{number}")
    publishing.round()
    for change in (
        lambda: keys.revoke(engine, "k0", actor="cli:ada", at=LATER),
        lambda: keys.rotate(engine, "k1", grace=timedelta(hours=1), actor="cli:ada", at=LATER),
        lambda: keys.expire(engine, "k2", "9d", actor="cli:ada", at=LATER),
        lambda: make_team(engine, "ads"),
        lambda: issue(engine, "ads", id="a1") and keys.revoke(engine, "a1", actor="cli:ada", at=LATER),
    ):
        change()
        assert publishing.round()
        other = path.with_name("anew")
        publisher(engine, other).round()
        assert _content(path) == _content(other)
        other.unlink()
    written = [int(each) for each in re.findall(r"(\d+) keys published", caplog.text)]
    assert written == [5, *(0, 4), *(2, 5), *(1, 5), *(0, 5), *(0, 5)]


def test_a_ledger_that_was_put_in_its_place_is_not_taken_for_the_one_before(sqlite_engine, tmp_path, path, opened):
    make_team(sqlite_engine)
    issue(sqlite_engine, id="mine")
    publishing = publisher(sqlite_engine, path, section("conf", "c1"))
    publishing.round()
    other = open_ledger(f"sqlite:///{tmp_path}/other.db")
    for name in ("a", "b", "c", "search"):
        make_team(other, name)
    secret, _ = issue(other, id="theirs", at=LATER)
    with contextlib.closing(sqlite3.connect(tmp_path / "other.db")) as file:
        file.execute("VACUUM INTO ?", (str(tmp_path / "copy.db"),))
    other.dispose()
    (tmp_path / "copy.db").rename(tmp_path / "ledger.db")
    assert publishing.round()
    gate = Teams([], keys_required=True, roster=opened(path))
    assert admitted(gate, secret).key_id == "theirs"
    assert [row[0] for row in _content(path)] == [publishing.revision, bytes.fromhex(digest(secret.encode()))]
    assert ("configuration", "issue", "key", "c1") in noted(sqlite_engine)


WRITER = """
import sys
from proxy.directory.publishing import write_roster
from proxy.ledger.engine import open_engine
from pathlib import Path
engine = open_engine(sys.argv[1])
revision = 1
while True:
    with engine.connect() as connection:
        write_roster(Path(sys.argv[2]), connection, revision)
    print(revision, flush=True)
    revision += 1
"""


def test_a_console_killed_in_the_middle_of_writing_leaves_a_whole_roster(sqlite_engine, path, opened):
    _fill(sqlite_engine, 20_000)
    last, torn = 0, 0
    for round_ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(sqlite_engine.url), str(path)], stdout=subprocess.PIPE, text=True
        ) as writer:
            said = int(writer.stdout.readline())
            fresh = path.with_name(f"{FILE}.new")
            deadline = time.monotonic() + 20
            while not (fresh.exists() and fresh.stat().st_size > 20_000 * round_) and time.monotonic() < deadline:
                pass
            writer.send_signal(signal.SIGKILL)
            rest = [int(line) for line in writer.stdout.read().split()]
        said = rest[-1] if rest else said
        torn += fresh.exists()
        roster = opened(path)
        assert roster.look()
        assert roster.revision in (said, said + 1)
        assert all(roster.find(digest(b"jg-%d" % number)) is not None for number in range(0, 20_000, 500))
        last = said
    assert torn > 0  # one of them was in the middle of it
    assert last
    assert publisher(sqlite_engine, path).round()
    assert not path.with_name(f"{FILE}.new").exists()


def test_metrics_hear_of_a_thousand_teams_those_in_use_first(engine, path):
    with engine.begin() as connection:
        rows = [
            {
                "name": f"t{number:04}",
                "created_at": NOW,
                "archived_at": LATER if number < 10 else None,
                "managed_by": "api",
            }
            for number in range(1005)
        ]
        connection.execute(team_table.insert(), rows)
    heard: list[list[str]] = []
    publishing = publisher(engine, path, heard=heard)
    publishing.tell_teams()  # before the first call is counted
    publishing.round()
    publishing.tell_teams()
    assert heard == [[f"t{number:04}" for number in [*range(10, 1005), *range(5)]]] * 2


def test_a_key_in_the_file_and_in_the_directory_is_a_problem_that_is_said(engine, path, caplog):
    make_team(engine)
    issue(engine, id="twice")
    publishing = publisher(engine, path, section("search", "twice", "good"))
    publishing.round()
    assert publishing.problems == ["key id `twice` is in the configuration and was given by command or API too"]
    assert publishing.problems[0] in caplog.text


def test_the_thread_outlives_what_fails_and_says_it(engine, path):
    publishing = publisher(engine, path)
    stop = threading.Event()
    path.parent.mkdir()
    path.mkdir()  # a folder is in the way, which no rename replaces
    (path / "x").touch()
    thread = threading.Thread(target=publishing.run, args=(stop,))
    thread.start()
    try:
        deadline = time.monotonic() + 20
        while not publishing.problems and time.monotonic() < deadline:
            time.sleep(0.02)
        assert "the roster of keys cannot be written" in publishing.problems[0]
        (path / "x").unlink()
        path.rmdir()
        while publishing.problems and time.monotonic() < deadline:
            time.sleep(0.02)
        assert publishing.problems == []
        assert path.is_file()
    finally:
        stop.set()
        thread.join()
