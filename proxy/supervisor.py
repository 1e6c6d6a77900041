"""The processes of one ``joulegate serve``: forked, watched, started again when they die, replaced, ended in order.

Forking keeps start-up short (what is imported is shared) and hands every worker the same listening
socket. Each child holds the reading end of a pipe whose writing end only the parent has: if the
parent is killed, even with SIGKILL, the pipe ends and the children end themselves in good order.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import mmap
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from proxy.errors import JoulegateError
from proxy.log import name_process

log = logging.getLogger("joulegate")

RESPAWN_S = (0.1, 5.0)  # wait before a dead child is started again: at first, at most
STEADY_S = 2.0  # a child that lived this long is started again at once
FALSE_STARTS = 5  # a child that dies so often and was never at work cannot be started at all
ENDING = (signal.SIGTERM, signal.SIGINT)
GIVE_WAY = signal.SIGUSR1
_LAST_WORDS_BYTES = 1024
_NAME_BYTES = 15  # Linux cuts a process's name there


def _memory_shared_with_a_fork() -> mmap.mmap:
    return mmap.mmap(-1, 1 + _LAST_WORDS_BYTES)  # whether the child is at work; why it failed, as it says itself


@dataclass(slots=True, kw_only=True)
class Child:
    """A process to keep running; those of one ``stage`` are stopped together, after those of the stages before."""

    name: str
    run: Callable[[Lifeline], None]
    stop_within_s: float
    stage: int = 0
    drain_s: float | None = None  # how long it may go on once another took its place; None: it ends at once
    gives_way_last: bool = False  # only when those that drain have ended
    column: int | None = None  # of the memory in which gates keep budgets
    pid: int = 0
    started: float = 0.0
    wait_s: float = RESPAWN_S[0]
    due: float | None = None  # when to start it again
    steady: bool = False  # it was at work once, or lived for STEADY_S
    deaths: int = 0  # in a row, since it last lived for STEADY_S
    shared: mmap.mmap = field(default_factory=_memory_shared_with_a_fork)

    @property
    def at_work(self) -> bool:
        """Whether it has said so since it was started."""
        return self.shared[0] == 1

    def why_ended(self, status: int) -> str:
        """Say why it died, in one line; ``status`` is the one of ``waitpid``."""
        words = self.shared[1:].rstrip(b"\0").decode(errors="replace")
        code = os.waitstatus_to_exitcode(status)
        return words or (signal.Signals(-code).name if code < 0 else f"exit status {code}")


@dataclass(slots=True, kw_only=True)
class Left:
    """A process that the program before this one started: it ends when others have taken its place."""

    name: str
    pid: int
    stage: int
    stop_within_s: float
    drain_s: float | None
    gives_way_last: bool
    column: int | None = None
    deadline: float | None = None  # set: it has been told

    def give_way(self, now: float) -> None:
        """Tell it to end; it may finish what it does."""
        self.deadline = now + self.stop_within_s + (self.drain_s or 0.0)
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM if self.drain_s is None else GIVE_WAY)


@dataclass(slots=True)
class Lifeline:
    """What ties a child to its parent: ``fd`` is readable at its end when the parent is gone."""

    fd: int
    shared: mmap.mmap

    def at_work(self) -> None:
        """Tell the parent that this child is up and does what it is there for."""
        self.shared[0] = 1

    def last_words(self, words: str) -> None:
        """Leave word of why this child ends."""
        line = " ".join(words.split()).encode(errors="replace")[:_LAST_WORDS_BYTES]
        self.shared[1 : 1 + len(line)] = line

    def watch(
        self, loop: asyncio.AbstractEventLoop, stop: Callable[[], None], give_way: Callable[[], None] | None = None
    ) -> None:
        """Call ``stop`` on SIGTERM or when the parent is gone, ``give_way`` when another took this child's place."""
        loop.add_signal_handler(signal.SIGTERM, stop)
        loop.add_signal_handler(GIVE_WAY, stop if give_way is None else give_way)

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
    """Starts children in order, keeps them, stops them stage by stage: gates first, the ledger last."""

    children: list[Child]
    left: list[Left] = field(default_factory=list)
    pipe: tuple[int, int] = field(default_factory=os.pipe)
    left_ended: Callable[[Left], None] | None = None
    begin_anew: Callable[[], None] | None = None  # on SIGHUP; where it returns, all goes on. None: SIGHUP ends it
    _stopping: bool = False
    _hung_up: bool = False

    def run(self, *, for_s: float | None = None, started: Callable[[], None] | None = None) -> str | None:
        """Run until SIGTERM, SIGINT or the time is over; gives why, where a child could not be started at all."""
        before = [(number, signal.signal(number, self._stop)) for number in ENDING]
        before.append((signal.SIGHUP, signal.signal(signal.SIGHUP, self._hang_up)))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (*ENDING, signal.SIGHUP))  # blocked by the program before this one
        terminal = _has_terminal()
        for child in self.children:
            self._start(child)
        if started is not None:
            started()
        deadline = None if for_s is None else time.monotonic() + for_s
        hopeless = None
        while hopeless is None and not self._stopping and (deadline is None or time.monotonic() < deadline):
            hopeless = self._reap()
            self._replace()
            if self._hung_up:
                self._hung_up = False
                if self.begin_anew is None or (terminal and not _has_terminal()):  # its terminal was closed
                    break
                self.begin_anew()
            time.sleep(0.05)
        self._stop_children()
        for number, handler in before:
            signal.signal(number, handler)
        return hopeless

    def running(self) -> list[Left]:
        """Name the processes that a program in the place of this one has to know."""
        now = [child for child in self.children if child.pid]
        return [*self.left, *(_left(child) for child in now)]

    def _stop(self, *_: object) -> None:
        self._stopping = True

    def _hang_up(self, *_: object) -> None:
        self._hung_up = True

    def _replace(self) -> None:
        """See those off whose place is taken, once all that take it are at work."""
        ended = [each for each in self.left if _ended(each.pid)]
        self.left = [each for each in self.left if each not in ended]
        for each in ended:
            if self.left_ended is not None:
                self.left_ended(each)
        if not self.left or not all(child.pid and child.at_work for child in self.children):
            return
        now = time.monotonic()
        drains = any(each.drain_s is not None for each in self.left)
        for each in self.left:
            if each.deadline is None and not (each.gives_way_last and drains):
                each.give_way(now)
            elif each.deadline is not None and now > each.deadline:
                log.error("%s gave not way within %.0f s: killed", each.name, each.stop_within_s + (each.drain_s or 0))
                os.kill(each.pid, signal.SIGKILL)

    def _start(self, child: Child) -> None:
        child.shared[:] = bytes(len(child.shared))
        # Until the child has let go of the parent's handlers, a signal to it would be taken and forgotten.
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        pid = os.fork()
        if pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for number in (signal.SIGINT, signal.SIGHUP):  # they reach all of a terminal; the parent ends its children
                signal.signal(number, signal.SIG_IGN)
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            os.close(self.pipe[1])
            _run_child(child, Lifeline(self.pipe[0], child.shared))
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        child.pid, child.started, child.due = pid, time.monotonic(), None

    def _reap(self) -> str | None:
        """Start again what died; gives why one of them cannot be started at all."""
        now = time.monotonic()
        for child in self.children:
            if child.due is not None:
                if now >= child.due:
                    self._start(child)
                continue
            ended, status = os.waitpid(child.pid, os.WNOHANG)
            if not ended:
                continue
            child.pid = 0
            lived = now - child.started > STEADY_S
            child.steady = child.steady or lived or child.at_work
            if lived:
                child.deaths, child.wait_s = 0, RESPAWN_S[0]
            else:
                child.wait_s = min(child.wait_s * 2, RESPAWN_S[1])
            child.deaths += 1
            child.due = now + child.wait_s
            why = child.why_ended(status)
            if not child.steady and child.deaths >= FALSE_STARTS and not self.left:
                return f"{child.name} cannot be started, it ended {child.deaths} times: {why}"
            log.error("%s ended (%s); started again in %.1f s", child.name, why, child.wait_s)
        return None

    def _stop_children(self) -> None:
        processes: list[Left | Child] = [*self.left, *self.children]
        for stage in sorted({each.stage for each in processes}):
            stopping = [each for each in processes if each.stage == stage and each.pid]
            for child in stopping:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child.pid, signal.SIGTERM)
            began = time.monotonic()
            for child in stopping:
                if not _wait(child.pid, began + child.stop_within_s):
                    log.error("%s did not end within %.0f s: killed", child.name, child.stop_within_s)
                    os.kill(child.pid, signal.SIGKILL)
                    os.waitpid(child.pid, 0)
                child.pid = 0


def _run_child(child: Child, lifeline: Lifeline) -> None:
    """Be the child from here on: never returns."""
    began = time.monotonic()
    status = 1
    _name_process(child.name)
    name_process(child.name)
    try:
        child.run(lifeline)
        status = 0
    except BaseException as error:
        again = child.deaths and time.monotonic() - began < STEADY_S  # its traceback was there before
        if not again and not isinstance(error, OSError | JoulegateError):
            log.exception("%s failed", child.name)
        lifeline.last_words(str(error) if isinstance(error, JoulegateError) else f"{type(error).__name__}: {error}")
    finally:
        logging.shutdown()
        os._exit(status)


def _left(child: Child) -> Left:
    return Left(
        name=child.name,
        pid=child.pid,
        stage=child.stage,
        stop_within_s=child.stop_within_s,
        drain_s=child.drain_s if child.at_work else None,
        gives_way_last=child.gives_way_last,
        column=child.column,
    )


def _has_terminal() -> bool:
    """Tell whether this process has a controlling terminal: it has none any more once that was closed."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _name_process(name: str) -> None:
    """Let ``ps`` and ``top`` tell the children apart; not every system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_bytes(f"jg {name}".encode()[:_NAME_BYTES])


def _wait(pid: int, deadline: float) -> bool:
    while time.monotonic() < deadline:
        if _ended(pid):
            return True
        time.sleep(0.02)
    return False


def _ended(pid: int) -> bool:
    return os.waitpid(pid, os.WNOHANG)[0] != 0
