"""How a service starts, what keeps it from starting, and how it ends."""

import contextlib
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

SERVE = [sys.executable, "-m", "proxy.cli", "serve"]
ANY_PORTS = ["--port", "0", "--console-port", "0"]


def environment(**variables: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JOULEGATE_")}
    return inherited | {"PYTHONPATH": str(Path(__file__).parents[2])} | variables


def serve(folder: Path, *arguments: str, within_s: float = 30, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SERVE, *arguments],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=within_s,
    )


@contextlib.contextmanager
def running_demo(folder: Path, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo whose ledger has calls, and what it announced; a group of its own, as a terminal makes one."""
    with subprocess.Popen(
        [*SERVE, "--demo", *ANY_PORTS, *arguments],
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            announced = "".join(process.stdout.readline() for _ in range(3))
            ledger = folder / re.search(r"^ledger +sqlite:///(\S+)", announced, re.MULTILINE)[1]
            deadline = time.monotonic() + 30
            while calls_in(ledger) == 0:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield process, announced
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def calls_in(ledger: Path) -> int:
    if not ledger.exists():
        return 0
    with contextlib.closing(sqlite3.connect(ledger)) as connection:
        try:
            return connection.execute("SELECT count(*) FROM calls").fetchone()[0]
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):
                return 0
            raise


def port_of(what: str, announced: str) -> str:
    return re.search(rf"^{what} +http://127\.0\.0\.1:(\d+)/", announced, re.MULTILINE)[1]


def test_a_second_demo_touches_nothing_of_the_first(tmp_path):
    with running_demo(tmp_path) as (process, announced):
        ledger = tmp_path / "joulegate-demo" / "demo.db"
        made = ledger.stat().st_ino
        gate, console = port_of("gate", announced), port_of("console", announced)
        refused = serve(tmp_path, "--demo", "--port", gate, "--console-port", console)
        assert (refused.returncode, refused.stdout) == (2, "")
        ports = f"--port {int(gate) + 100} --console-port {int(console) + 100}"
        assert refused.stderr == (
            f"joulegate: the gate cannot listen on 127.0.0.1:{gate} (Address already in use);"
            " choose another port with --port:\n"
            f"  joulegate serve --demo {ports}\n"
            f'  make demo ARGS="{ports}"\n'
        )
        beside = serve(tmp_path, "--demo", *ANY_PORTS, "--for", "2")
        assert (beside.returncode, beside.stderr) == (0, "")
        assert "sqlite:///joulegate-demo/2/demo.db" in beside.stdout
        assert ledger.stat().st_ino == made
        before = calls_in(ledger)
        assert before > 0
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert calls_in(ledger) >= before
    assert "Cost at each day's price, list or your own" in output


def test_a_demo_that_ends_before_its_ledger_is_there_says_so(tmp_path):
    at_once = serve(tmp_path, "--demo", *ANY_PORTS, "--for", "0")
    assert (at_once.returncode, at_once.stderr) == (0, "")
    assert re.search(r"The demo ran \d+ s\. (That was too short to record a call\.|What it cost:)", at_once.stdout)


def test_a_demo_begins_without_what_an_earlier_one_left(tmp_path):
    left = tmp_path / "joulegate-demo"
    aside = left / "journal" / "set-aside" / "1-0000000000000000-000001.journal"
    aside.parent.mkdir(parents=True)
    aside.touch()
    (left / "demo.db").write_text("no database")
    (left / "notes.txt").write_text("somebody's own")
    done = serve(tmp_path, "--demo", *ANY_PORTS, "--for", "3")
    assert (done.returncode, done.stderr) == (0, "")
    assert not aside.parent.exists()
    assert (left / "notes.txt").exists()
    calls_in(left / "demo.db")  # raises what SQLite says of a file that is no database


def test_ctrl_c_ends_a_demo_without_a_complaint(tmp_path):
    """Even while the simulator is busy with a reply: it is the parent that ends it, as the last but one."""
    with running_demo(tmp_path) as (process, _):
        configuration = tomllib.loads((tmp_path / "joulegate-demo" / "demo.toml").read_text())
        simulator = configuration["provider"][0]["origin"].removeprefix("http://").split(":")
        with socket.create_connection((simulator[0], int(simulator[1]))) as busy:
            body = b'{"model": "m", "messages": [{"role": "user", "content": "Hello"}]}'
            head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
            busy.sendall(head.encode() + b"x-simulate-hang: before_body\r\n\r\n" + body)
            assert busy.recv(9) == b"HTTP/1.1 "
            os.killpg(process.pid, signal.SIGINT)
            output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert output.startswith("\nThe demo ran ")
    assert "\ntotal " in output


def nothing_started(done: subprocess.CompletedProcess[str]) -> None:
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("joulegate: ")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("journal", ["taken", "taken/journal", "/proc/joulegate/journal"])
def test_a_journal_that_cannot_be_made_keeps_it_from_starting(tmp_path, journal):
    (tmp_path / "taken").touch()
    done = serve(tmp_path, *ANY_PORTS, JOULEGATE_JOURNAL_DIRECTORY=journal)
    nothing_started(done)
    assert f"journal.directory: {journal} cannot be written" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize(
    "url", ["sqlite:///taken/joulegate.db", "sqlite:////proc/joulegate.db", "nonsense", "postgresql+nosuch://host/db"]
)
def test_a_ledger_that_cannot_be_used_keeps_it_from_starting(tmp_path, url):
    (tmp_path / "taken").touch()
    done = serve(tmp_path, *ANY_PORTS, "--database", url)
    nothing_started(done)
    assert done.stderr.startswith("joulegate: ledger.url: ")


def test_all_that_is_missing_is_said_at_once(tmp_path):
    (tmp_path / "taken").touch()
    (tmp_path / "joulegate.toml").write_text(
        '[journal]\ndirectory = "taken"\n[ledger]\nurl = "sqlite:///taken/x.db"\n'
        '[[provider]]\nname = "openai"\ncredential = "env:NOT_SET"\n'
        '[[provider]]\nname = "mistral"\ncredential = "file:nowhere"\n'
        '[[route]]\nmatch = "house-*"\nprovider = "azure"\n'
        '[estimate]\nprice_list = "nowhere.toml"\n'
    )
    done = serve(tmp_path, *ANY_PORTS)
    nothing_started(done)
    first, *lines = done.stderr.splitlines()
    assert first == "joulegate: this keeps it from starting:"
    assert [line.split(":")[0].strip() for line in lines] == [
        "journal.directory",
        "ledger.url",
        "provider openai",
        "provider azure",
        "provider mistral",
        "estimates",
    ]


@pytest.mark.parametrize("arguments", [[], ["--demo"]])
def test_a_disk_that_takes_nothing_keeps_it_from_starting(tmp_path, arguments):
    """No file may grow, whoever runs it: as on a full disk, every write fails."""
    command = ["sh", "-c", 'ulimit -f 0; exec "$@"', "sh", *SERVE, *ANY_PORTS, *arguments]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False, timeout=30
    )
    nothing_started(done)
    assert "File too large" in done.stderr


def test_a_demo_where_no_folder_can_be_made_says_so(tmp_path):
    (tmp_path / "joulegate-demo").touch()
    done = serve(tmp_path, "--demo", *ANY_PORTS)
    nothing_started(done)
    assert "the demo cannot write here (joulegate-demo: File exists)" in done.stderr


def test_a_database_that_is_away_keeps_nothing_from_starting(tmp_path):
    url = "postgresql+psycopg://user@127.0.0.1:9/db"
    done = serve(tmp_path, *ANY_PORTS, "--database", url, "--for", "5")
    assert done.returncode == 0
    assert done.stdout.startswith("gate ")
    assert "journals keep what comes" in done.stderr


def test_make_passes_arguments_to_the_demo():
    said = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", "demo", "ARGS=--port 8800 --console-port 8801"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.endswith("/joulegate serve --demo --port 8800 --console-port 8801\n")
