"""SIGHUP: the program and the configuration as they are now take over, and no caller notices."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from proxy.ledger.engine import open_engine
from tests.crash.accounts import differences, rows, settle
from tests.crash.running import SETTLED_WITHIN_S, calls_counted, metric, port, toml, wait_for
from tests.crash.traffic import Traffic, traffic
from tests.service.running import Service, get, post, service

pytestmark = pytest.mark.heavy

SEED = 20261128


@contextlib.contextmanager
def loaded(folder: Path, more: str = "", workers: int = 2) -> Iterator[tuple[Traffic, Service, Callable[[str], None]]]:
    url = f"sqlite:///{folder / 'joulegate.db'}"
    with traffic(SEED) as load:

        def configure(more: str) -> None:
            (folder / "joulegate.toml").write_text(toml(load.origin, url, workers=workers, more=more))

        with service(folder, toml(load.origin, url, workers=workers, more=more)) as running:
            load.gates = [port(running)]
            load.go()
            wait_for(lambda: len(load.finished()) > 20, running)
            yield load, running, configure


def restart(running: Service, *, gates: int) -> None:
    """Send SIGHUP, and wait until every process is another one."""
    before = set(running.children()["all"])
    running.process.send_signal(signal.SIGHUP)

    def replaced() -> bool:
        now = running.children()["all"]
        return not before & set(now) and len(now) == gates + 1 and len(running.named_children()) == gates + 1

    wait_for(replaced, running)


def nobody_noticed(load: Traffic, running: Service) -> None:
    load.rest()
    engine = open_engine(f"sqlite:///{running.ledger}")
    wrong = settle(lambda: differences(load.calls, load.reached, rows(engine)), SETTLED_WITHIN_S)
    recorded = rows(engine)
    engine.dispose()
    assert wrong == [], (wrong[:20], running.output.decode()[-3000:])
    assert [call for call in load.calls if call.end not in ("finished", "left")] == [], running.output.decode()
    assert {row.outcome for row in recorded} == {"ok", "aborted"}


def test_a_restart_under_load_loses_and_refuses_no_call(tmp_path: Path) -> None:
    with loaded(tmp_path) as (load, running, _):
        for _ in range(3):
            restart(running, gates=2)
            enough = len(load.finished()) + 50
            wait_for(lambda: len(load.finished()) > enough, running)  # noqa: B023
        nobody_noticed(load, running)
        assert running.process.poll() is None
        calls = len(running.calls())
        wait_for(lambda: metric(running, "joulegate_calls_total") == calls, running)
        assert get(f"{running.gate}/readyz").status_code == 200
        assert get(f"{running.console}/api/health").json()["status"] == "ok"
        assert running.stop() == 0
        assert list((tmp_path / "joulegate-journal").glob("*.journal")) == []


def test_counters_go_on_whether_what_was_before_ended_or_was_killed(tmp_path: Path) -> None:
    with traffic(SEED) as load:
        configuration = toml(load.origin, f"sqlite:///{tmp_path / 'joulegate.db'}")
        goes_on_from = 0
        for killed in (False, True, False):
            with service(tmp_path, configuration) as running:
                load.gates = [port(running)]
                wait_for(lambda: calls_counted(running) is not None or not goes_on_from, running)  # noqa: B023
                assert (calls_counted(running) or 0) == goes_on_from
                enough = len(load.finished()) + 30
                load.go()
                wait_for(lambda: len(load.finished()) > enough, running)  # noqa: B023
                load.rest()
                engine = open_engine(f"sqlite:///{running.ledger}")
                assert settle(lambda: differences(load.calls, load.reached, rows(engine)), SETTLED_WITHIN_S) == []  # noqa: B023
                engine.dispose()
                assert len(running.calls()) > goes_on_from
                goes_on_from = len(running.calls())
                wait_for(lambda: calls_counted(running) == goes_on_from, running)  # noqa: B023
                if killed:
                    running.kill()


def test_the_configuration_is_read_again(tmp_path: Path) -> None:
    with loaded(tmp_path, workers=1) as (load, running, configure):
        load.rest()
        configure('keys = "required"')
        restart(running, gates=1)
        refused = post(f"{running.gate}/v1/chat/completions", json={"model": "gpt-4o-mini"})
        assert refused.status_code == 401
        assert get(f"{running.console}/healthz").status_code == 200


def test_a_stream_that_runs_is_finished_by_the_process_that_began_it(tmp_path: Path) -> None:
    with loaded(tmp_path, workers=1) as (load, running, _):
        before = set(running.children()["all"])
        body = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": "hello"}]}
        load.hold()
        with httpx2.stream(
            "POST", f"{running.gate}/v1/chat/completions", json=body, headers={"x-number": "0"}, timeout=60
        ) as reply:
            assert reply.status_code == 200
            running.process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(before & set(running.children()["all"])) == 1, running)  # only its gate is left
            wait_for(lambda: len(running.children()["all"]) == 3, running)
            load.release()
            assert b"data: [DONE]" in reply.read()
        wait_for(lambda: not before & set(running.children()["all"]), running)
        nobody_noticed(load, running)


def test_what_would_not_start_does_not_take_over(tmp_path: Path) -> None:
    with loaded(tmp_path, workers=1) as (load, running, configure):
        before = set(running.children()["all"])
        configure("nonsense = 1")
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: b"not restarted, all goes on as it was" in running.output, running)
        assert b"nonsense" in running.output
        enough = len(load.finished()) + 20
        wait_for(lambda: len(load.finished()) > enough, running)
        assert set(running.children()["all"]) == before
        nobody_noticed(load, running)


def test_it_ends_with_its_terminal(tmp_path: Path) -> None:
    parent, child = pty.openpty()
    command = [sys.executable, "-m", "proxy.cli", "serve", "--port", "0", "--console-port", "0"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOULEGATE_")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    program = f"import fcntl, os, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv({command[0]!r}, {command!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        stdin=child,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(child)
    assert process.stdout is not None
    assert process.stdout.readline().startswith(b"gate ")
    os.close(parent)
    assert process.wait(60) == 0
    process.stdout.close()


@pytest.mark.parametrize(("gate", "status"), [("", 0), ("nonsense = 1", 2)])
def test_whether_it_would_start_can_be_asked_while_it_runs(tmp_path: Path, gate: str, status: int) -> None:
    with loaded(tmp_path, workers=1) as (_, running, configure):
        configure(gate)
        asked = subprocess.run(
            [sys.executable, "-m", "proxy.cli", "serve", "--check", "--port", str(port(running))],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert asked.returncode == status, asked.stderr
        assert asked.stdout == ("joulegate serve would start.\n" if status == 0 else "")
