"""Processes of the benchmark: started on one core, read from ``/proc``, ended as a tree."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cores:
    """The target has a core of its own; upstream and load share the other."""

    target: int
    load: int

    @classmethod
    def choose(cls) -> "Cores":
        allowed = sorted(os.sched_getaffinity(0))
        if len(allowed) < 2:
            raise SystemExit("bench: two cores are needed, one for the target and one for upstream and load")
        return cls(target=allowed[0], load=allowed[1])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Running:
    """A started command and everything it starts, on one core."""

    def __init__(self, command: Sequence[str], *, core: int, log: Path, environment: Mapping[str, str], folder: Path):
        self.command = list(command)
        self.log = log
        self.started_at = time.monotonic()
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )

    def check(self) -> None:
        """Raise with the end of its log if it is not running any more."""
        if self._process.poll() is not None:
            tail = self.log.read_text(errors="replace")[-2000:]
            raise SystemExit(f"bench: {self.command[0]} ended with status {self._process.returncode}:\n{tail}")

    def tree(self) -> list[int]:
        """Process ids of the command and its descendants."""
        children: dict[int, list[int]] = {}
        for entry in PROC.iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
        found = [self._process.pid]
        for pid in found:
            found.extend(children.get(pid, []))
        return found

    def cpu_seconds(self) -> float:
        """User and system time of the whole tree so far, ended and reaped children included."""
        ticks = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                ticks += sum(int(field) for field in _stat(pid)[11:15])  # utime stime cutime cstime
        return ticks / TICKS_PER_SECOND

    def settled_cpu_seconds(self, *, at_most_s: float = 20.0) -> float:
        """CPU time once the tree is idle: what was put off until after the load counts too."""
        deadline = time.monotonic() + at_most_s
        before = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(0.5)
            now = self.cpu_seconds()
            if now - before <= 0.02:  # 4 % of the core: timers
                return now
            before = now
        return before

    def resident_bytes(self) -> int:
        """Proportional set size of the tree: shared pages are counted once."""
        total = 0
        for pid in self.tree():
            with contextlib.suppress(OSError):
                for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
                    if line.startswith("Pss:"):
                        total += int(line.split()[1]) * 1024
        return total

    def stop(self) -> None:
        """Ask the command to end, and after five seconds end what is left of its tree."""
        tree = self.tree()
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        for pid in tree:
            # Only descendants of ours: the session is the one this command was started in.
            with contextlib.suppress(OSError):
                if os.getsid(pid) == self._process.pid:
                    os.kill(pid, signal.SIGKILL)
        self._process.wait()


def _stat(pid: int) -> list[str]:
    """Fields of ``/proc/PID/stat`` from the third on (state, ppid, …): the name before may hold spaces."""
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
