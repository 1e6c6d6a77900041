"""The whole service while its disk is full or its ledger is taken away: nothing is lost in silence."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from proxy.simulator import in_thread
from tests.service.running import Service, get, post, service

WITHIN_S = 20.0


@pytest.fixture(scope="module")
def provider():
    with in_thread() as origin:
        yield origin


def toml(origin: str, gate: str = "") -> str:
    return f'[gate]\n{gate}\n[[provider]]\nname = "openai"\norigin = "{origin}"\n'


def call(running: Service) -> str:
    body = {"model": "text-embedding-3-small", "input": "x"}
    reply = post(f"{running.gate}/v1/embeddings", json=body)
    assert reply.status_code == 200
    return reply.headers["x-joulegate-call-id"]


def health(running: Service) -> dict[str, Any]:
    return get(f"{running.console}/api/health").json()


def wait_for(what: Callable[[], object], running: Service) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not what():
        assert time.monotonic() < deadline, (health(running), running.output.decode())
        time.sleep(0.05)


def ids(running: Service) -> set[str]:
    return {row["id"] for row in running.calls()}


def write_nothing(gate: int) -> None:
    """Let every write of a process to a file fail, as on a full disk."""
    resource.prlimit(gate, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))


def write_again(gate: int) -> None:
    resource.prlimit(gate, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def test_a_full_disk_is_said_at_once_and_loses_nothing(tmp_path: Path, provider: str) -> None:
    with service(tmp_path, toml(provider)) as running:
        before = call(running)
        running.wait_for_calls(1)
        assert (health(running)["status"], health(running)["problem"]) == ("ok", None)
        gate = running.children()["all"][0]
        write_nothing(gate)
        made = [call(running) for _ in range(5)]
        found = health(running)
        assert found["status"] == "unwritable"
        assert found["problem"].startswith("gate 1 cannot write its journal: OSError")
        assert (found["journal_records"]["waiting"], found["missing_calls"]) == (5, 0)
        assert get(f"{running.gate}/readyz").status_code == 503
        assert "The journal cannot be written; calls wait in memory · 5 calls wait" in get(running.console).text
        wait_for(
            lambda: 'joulegate_journal_records{state="waiting"} 5.0' in get(f"{running.console}/metrics").text,
            running,
        )
        assert ids(running) == {before}
        write_again(gate)  # and no call comes: the gate is not ready
        wait_for(lambda: ids(running) == {before, *made}, running)
        wait_for(lambda: get(f"{running.gate}/readyz").status_code == 200, running)
        assert {row["outcome"] for row in running.calls()} == {"ok"}
        found = health(running)
        assert (found["status"], found["problem"], found["missing_calls"]) == ("ok", None, 0)
        assert (found["journal_records"]["waiting"], found["calls_in_flight"]) == (0, 0)


def test_calls_that_waited_in_a_killed_gate_are_missing_and_said_to_be(tmp_path: Path, provider: str) -> None:
    with service(tmp_path, toml(provider)) as running:
        call(running)
        running.wait_for_calls(1)
        gate = running.children()["all"][0]
        write_nothing(gate)
        for _ in range(3):
            call(running)
        os.kill(gate, signal.SIGKILL)
        wait_for(lambda: health(running)["missing_calls"] == 3, running)
        wait_for(lambda: health(running)["status"] == "incomplete", running)
        assert "3 calls are missing from the ledger" in get(running.console).text
        assert len(ids(running)) == 1


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_ledger_taken_away_in_use_is_said_and_made_anew(tmp_path: Path, provider: str, how: str) -> None:
    with service(tmp_path, toml(provider)) as running:
        made = [call(running) for _ in range(3)]
        running.wait_for_calls(3)
        if how == "deleted":
            running.ledger.unlink()
        else:
            running.ledger.rename(tmp_path / "elsewhere.db")
        made += [call(running) for _ in range(3)]
        # The journal's segment was not full: it still has all of them.
        wait_for(lambda: ids(running) == set(made), running)
        # Until the keys of the new ledger have come to the gate, that is what is said first.
        wait_for(lambda: health(running)["status"] == "incomplete", running)
        found = health(running)
        assert "was deleted or replaced while it was in use" in found["problem"]
        assert found["journal_records"]["recorded"] == 6
        assert running.output.count(b"was deleted or replaced while it was in use") == 1
        wait_for(lambda: "joulegate_ledger_replaced 1.0" in get(f"{running.console}/metrics").text, running)
        assert running.ledger.stat().st_mode & 0o007 == 0
        assert get(f"{running.console}/api/totals").json()["total"]["calls"] == 6


@contextlib.contextmanager
def locked(running: Service) -> Iterator[None]:
    """Somebody else writes to the ledger and does not come to an end."""
    with contextlib.closing(sqlite3.connect(running.ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


@contextlib.contextmanager
def stuck(running: Service) -> Iterator[None]:
    """The recorder's process does nothing any more."""
    console = running.named_children()["console"]
    os.kill(console, signal.SIGSTOP)
    yield
    os.kill(console, signal.SIGCONT)


@pytest.mark.parametrize("away", [locked, stuck])
def test_a_gate_whose_ledger_is_far_behind_is_not_ready_and_carries_calls(
    tmp_path: Path, provider: str, away: Callable[[Service], AbstractContextManager[None]]
) -> None:
    def ready() -> tuple[int, str]:
        said = get(f"{running.gate}/readyz")
        return said.status_code, said.text

    with service(tmp_path, toml(provider, "ready_lag_s = 1.5")) as running:
        made = [call(running)]
        running.wait_for_calls(1)
        wait_for(lambda: ready()[0] == 200, running)
        assert re.fullmatch(r"ready, the ledger is \d\.\d s behind\n", ready()[1])
        with away(running):
            made.append(call(running))
            deadline = time.monotonic() + WITHIN_S
            while ready()[0] == 200:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert re.fullmatch(r"the ledger is \d+ s behind: calls go on, and wait in the journal\n", ready()[1])
            made.append(call(running))
        wait_for(lambda: ids(running) == set(made), running)
        wait_for(lambda: ready()[0] == 200, running)
