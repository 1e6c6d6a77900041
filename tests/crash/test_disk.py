"""Volumes that are full or read-only while calls go on: none fails, every one arrives when there is room again."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.ledger.engine import open_engine
from tests.crash.accounts import differences, rows, settle
from tests.crash.running import SETTLED_WITHIN_S, metric, port, toml, wait_for
from tests.crash.traffic import Traffic, traffic
from tests.service.running import Service, get, service

pytestmark = pytest.mark.heavy

VOLUME_BYTES = 4 * 1024 * 1024
SEED = 20261128


class Volume:
    """A small file system of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self) -> None:
        """Leave not a byte."""
        with (self.path / "filler").open("ab", buffering=0) as file:
            size = 65536
            while size:
                try:
                    file.write(b"x" * size)
                except OSError as error:
                    assert error.errno == errno.ENOSPC  # noqa: PT017
                    size //= 2

    def make_room(self) -> None:
        (self.path / "filler").unlink()

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", self.path], check=True)


@pytest.fixture
def volume(tmp_path: Path) -> Iterator[Volume]:
    path = tmp_path / "volume"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={VOLUME_BYTES}", "tmpfs", path], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted here: {mounted.stderr.strip()}")
    yield Volume(path)
    subprocess.run(["umount", "--lazy", path], check=True)


@contextlib.contextmanager
def loaded(
    folder: Path, *, journal: Path | None = None, ledger: Path | None = None
) -> Iterator[tuple[Traffic, Service]]:
    url = f"sqlite:///{(ledger or folder) / 'joulegate.db'}"
    with traffic(SEED) as load:
        more = f'[journal]\ndirectory = "{journal or folder / "journal"}"\n'
        with service(folder, toml(load.origin, url) + more) as running:
            load.gates = [port(running)]
            load.go()
            wait_for(lambda: len(load.finished()) > 50, running)
            yield load, running


def health(running: Service) -> dict[str, object]:
    return get(f"{running.console}/api/health").json()


def ready(running: Service) -> int:
    return get(f"{running.gate}/readyz").status_code


def go_on(load: Traffic, running: Service, calls: int = 100) -> None:
    enough = len(load.finished()) + calls
    wait_for(lambda: len(load.finished()) > enough, running)


def all_arrived(load: Traffic, running: Service, ledger: Path, *, ends: set[str]) -> None:
    load.rest()
    engine = open_engine(f"sqlite:///{ledger / 'joulegate.db'}")
    wrong = settle(lambda: differences(load.calls, load.reached, rows(engine)), SETTLED_WITHIN_S)
    engine.dispose()
    assert wrong == [], (wrong[:20], running.output.decode()[-3000:])
    assert {call.end for call in load.calls} == ends
    wait_for(lambda: health(running)["status"] == "ok", running)
    assert health(running)["missing_calls"] == 0


def test_a_full_volume_of_the_journal_costs_no_call(tmp_path: Path, volume: Volume) -> None:
    with loaded(tmp_path, journal=volume.path / "journal") as (load, running):
        volume.fill()
        go_on(load, running)
        wait_for(lambda: health(running)["status"] == "unwritable", running)
        assert "No space left on device" in str(health(running)["problem"])
        assert ready(running) == 503
        wait_for(lambda: metric(running, "joulegate_journal_records", state="waiting") > 0, running)
        volume.make_room()
        all_arrived(load, running, tmp_path, ends={"finished", "left"})
        wait_for(lambda: ready(running) == 200, running)
        assert b"a record cannot be written to the journal: OSError: " in running.output
        assert b"the journal is written again; calls lost since the start: 0" in running.output


def test_a_full_volume_of_the_ledger_costs_no_call(tmp_path: Path, volume: Volume) -> None:
    with loaded(tmp_path, ledger=volume.path) as (load, running):
        volume.fill()
        wait_for(lambda: health(running)["status"] == "standing_still", running)
        assert "full" in str(health(running)["problem"])
        go_on(load, running)
        assert ready(running) == 200
        volume.make_room()
        all_arrived(load, running, volume.path, ends={"finished", "left"})


def test_a_read_only_volume_of_the_journal_costs_no_call(tmp_path: Path, volume: Volume) -> None:
    """A file system can become read-only only while no file is open for writing: so all processes die first."""
    with loaded(tmp_path, journal=volume.path / "journal") as (load, running):
        os.kill(running.process.pid, signal.SIGSTOP)
        for pid in running.children()["all"]:
            os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while True:
            try:
                volume.remount("ro")
                break
            except subprocess.CalledProcessError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        os.kill(running.process.pid, signal.SIGCONT)
        go_on(load, running)
        wait_for(lambda: health(running)["status"] == "unwritable", running)
        assert "Read-only file system" in str(health(running)["problem"])
        assert ready(running) == 503
        volume.remount("rw")
        all_arrived(load, running, tmp_path, ends={"finished", "left", "broken"})
        assert {call.end for call in load.calls[-100:]} == {"finished", "left"}
        wait_for(lambda: ready(running) == 200, running)
