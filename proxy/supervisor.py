"""The processes of one ``joulegate serve``: forked, watched, started again when they die, ended in order.

Forking keeps start-up short (what is imported is shared) and hands every worker the same listening
socket. Each child holds the reading end of a pipe whose writing end only the parent has: if the
parent is killed, even with SIGKILL, the pipe ends and the children end themselves in good order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

log = logging.getLogger("joulegate")

RESPAWN_S = (0.1, 5.0)  # wait before a dead child is started again: at first, at most
STEADY_S = 10.0  # a child that lived this long is started again at once


@dataclass(slots=True, kw_only=True)
class Child:
    """A process to keep running."""

    name: str
    run: Callable[[Lifeline], None]
    stop_within_s: float
    pid: int = 0
    started: float = 0.0
    wait_s: float = RESPAWN_S[0]
    due: float | None = None  # when to start it again


@dataclass(slots=True)
class Lifeline:
    """What a child listens to: readable at its end when the parent is gone."""

    fd: int

    def watch(self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None]) -> None:
        """Call ``stop`` on SIGTERM or when the parent is gone; Ctrl-C is the parent's to pass on."""
        loop.add_signal_handler(signal.SIGTERM, stop)
        loop.add_signal_handler(signal.SIGINT, lambda: None)

        def parent_gone() -> None:
            loop.remove_reader(self.fd)
            stop()

        loop.add_reader(self.fd, parent_gone)

    def terminate_with_parent(self) -> None:
        """Send this process SIGTERM when the parent is gone, where somebody else runs the loop."""

        def wait() -> None:
            os.read(self.fd, 1)
            os.kill(os.getpid(), signal.SIGTERM)

        threading.Thread(target=wait, daemon=True).start()


@dataclass(slots=True)
class Supervisor:
    """Starts children in order, keeps them, stops them in the same order: gates first, the ledger last."""

    children: list[Child]
    _pipe: tuple[int, int] = field(default_factory=os.pipe)
    _stopping: bool = False

    def run(self, *, for_s: float | None = None, started: Callable[[], None] | None = None) -> None:
        """Run until SIGTERM, SIGINT or the time is over."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        for child in self.children:
            self._start(child)
        if started is not None:
            started()
        deadline = None if for_s is None else time.monotonic() + for_s
        while not self._stopping and (deadline is None or time.monotonic() < deadline):
            self._reap()
            time.sleep(0.05)
        self._stop_children()

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _start(self, child: Child) -> None:
        pid = os.fork()
        if pid == 0:
            _be(child, self._pipe)
        child.pid, child.started, child.due = pid, time.monotonic(), None

    def _reap(self) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.due is not None:
                if now >= child.due:
                    self._start(child)
                continue
            ended, status = os.waitpid(child.pid, os.WNOHANG) if child.pid else (0, 0)
            if not ended:
                continue
            child.pid = 0
            child.wait_s = RESPAWN_S[0] if now - child.started > STEADY_S else min(child.wait_s * 2, RESPAWN_S[1])
            child.due = now + child.wait_s
            code = os.waitstatus_to_exitcode(status)
            log.error("%s ended (status %s); started again in %.1f s", child.name, code, child.wait_s)

    def _stop_children(self) -> None:
        for child in self.children:
            if child.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGTERM)
                if not _wait(child.pid, child.stop_within_s):
                    log.error("%s did not end within %.0f s: killed", child.name, child.stop_within_s)
                    os.kill(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
                child.pid = 0


def _be(child: Child, pipe: tuple[int, int]) -> None:
    """Become the child: never returns."""
    os.close(pipe[1])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    status = 1
    try:
        child.run(Lifeline(pipe[0]))
        status = 0
    except KeyboardInterrupt:
        status = 0
    except BaseException:
        log.exception("%s failed", child.name)
    finally:
        logging.shutdown()
        os._exit(status)


def _wait(pid: int, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if os.waitpid(pid, os.WNOHANG)[0]:
            return True
        time.sleep(0.02)
    return False
