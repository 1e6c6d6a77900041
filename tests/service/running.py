"""A whole `joulegate serve` in processes of its own, as an operator runs it."""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

START_WITHIN_S = 30.0
# Nobody here speaks TLS, and to read the certificates of the world takes a fiftieth of a second of each request.
request = functools.partial(httpx2.request, verify=False)
get, post = functools.partial(request, "GET"), functools.partial(request, "POST")


@dataclass
class Service:
    """One running service and what it left on disk."""

    process: subprocess.Popen[bytes]
    folder: Path
    gate: str = ""  # origins, as it announced them
    console: str = ""

    @property
    def ledger(self) -> Path:
        return self.folder / "joulegate.db"

    @property
    def output(self) -> bytes:
        return (self.folder / "output.log").read_bytes()

    def calls(self, sql: str = "SELECT * FROM calls ORDER BY id") -> list[sqlite3.Row]:
        if not self.ledger.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.ledger)) as connection:
            connection.row_factory = sqlite3.Row
            try:
                return connection.execute(sql).fetchall()
            except sqlite3.OperationalError as error:
                if "no such table" in str(error):  # the recorder has not made it yet
                    return []
                raise

    def wait_for_calls(self, count: int, *, within_s: float = 20.0) -> list[sqlite3.Row]:
        deadline = time.monotonic() + within_s
        while len(rows := self.calls()) < count and time.monotonic() < deadline:
            time.sleep(0.05)
        assert len(rows) == count
        return rows

    def children(self) -> dict[str, list[int]]:
        """The processes, told apart by what they listen to: gates and the console share nothing but their parent."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return {"all": [int(pid) for pid in pids]}

    def named_children(self) -> dict[str, int]:
        """The processes by the names that `ps` shows: "gate 1", "console"."""
        found = {}
        for pid in self.children()["all"]:
            with contextlib.suppress(OSError):  # it has just died
                found[Path(f"/proc/{pid}/comm").read_text().strip().removeprefix("jg ")] = pid
        return found

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        """SIGKILL to the parent and all its children at once."""
        pids = [self.process.pid, *self.children()["all"]]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(10)


@contextlib.contextmanager
def service(folder: Path, toml: str, *arguments: str) -> Iterator[Service]:
    """Run the service in ``folder``; what an earlier one left there is found again."""
    (folder / "joulegate.toml").write_text(toml)
    command = [sys.executable, "-m", "proxy.cli", "serve", "--port", "0", "--console-port", "0"]
    said_before = (folder / "output.log").stat().st_size if (folder / "output.log").exists() else 0
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOULEGATE_")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    with (folder / "output.log").open("ab") as output:
        process = subprocess.Popen(
            [*command, *arguments], cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT
        )
    made = Service(process, folder)
    try:
        _learn_addresses(made, said_before)
        _wait_until_up(made, "/readyz", made.gate)
        _wait_until_up(made, "/healthz", made.console)
        yield made
    finally:
        if process.poll() is None:
            try:
                made.stop()
            except subprocess.TimeoutExpired:
                made.kill()
                raise


def _learn_addresses(made: Service, said_before: int) -> None:
    """Read the ports it took from what it says: a port found free beforehand may be another's by then."""
    deadline = time.monotonic() + START_WITHIN_S
    while not made.console:
        assert made.process.poll() is None, made.output.decode()
        assert time.monotonic() < deadline, made.output.decode()
        said = made.output[said_before:].decode()
        made.gate = "".join(re.findall(r"^gate +(http://\S+)/v1 ", said, re.MULTILINE))
        made.console = "".join(re.findall(r"^console +(http://\S+)/ ", said, re.MULTILINE))
        if (announced := re.search(r'"gate":"(\S+?)","console":"(\S+?)"', said)) is not None:  # as JSON
            made.gate, made.console = announced.groups()
        time.sleep(0.02)


def _wait_until_up(made: Service, path: str, base: str) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        assert made.process.poll() is None, made.output.decode()
        with contextlib.suppress(httpx2.TransportError):
            if get(base + path).status_code == 200:
                return
        time.sleep(0.02)
    raise AssertionError(made.output.decode())
