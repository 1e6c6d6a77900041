"""Beginning the program anew in the same process: what it holds is handed to the program that takes its place.

The ports stay open throughout, so no connection is refused; the process keeps its number, so its children
remain its children, and whoever watches it (systemd, a container) sees no end. What is handed over goes by
an environment variable, which names open descriptors and running processes.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import MutableMapping
from typing import NoReturn

import msgspec

from proxy.budgets.exposure import Shared
from proxy.supervisor import Left

VARIABLE = "_JOULEGATE_HANDOVER"
CHECK_WITHIN_S = 60.0  # of the program that is to take over, most of which is importing
BLOCKED = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)  # until the new program can heed them


class Door(msgspec.Struct, frozen=True, kw_only=True):
    """A listening socket: its descriptor and the setting it was opened for."""

    listen: str
    fd: int


class Handover(msgspec.Struct, frozen=True, kw_only=True):
    """What a program leaves to the one that takes its place."""

    gate: Door
    console: Door
    lifeline: tuple[int, int]  # the pipe whose end tells children that their parent is gone
    left: tuple[Left, ...] = ()
    exposure: Shared | None = None  # to budgets: memory that the gates before and after share

    @property
    def descriptors(self) -> tuple[int, ...]:
        """Name all that has to stay open."""
        exposure = () if self.exposure is None else (self.exposure.fd,)
        return (self.gate.fd, self.console.fd, *self.lifeline, *exposure)


def received(environment: MutableMapping[str, str] = os.environ) -> Handover | None:
    """Take what an earlier program of this process has handed over; None where there was none."""
    text = environment.pop(VARIABLE, None)
    return None if text is None else msgspec.json.decode(text, type=Handover)


def begin_anew(handover: Handover) -> NoReturn:
    """Become the program that the command line names, as it is on the disk now; raises ``OSError``, nothing changed."""
    for fd in handover.descriptors:
        os.set_inheritable(fd, True)
    signal.pthread_sigmask(signal.SIG_BLOCK, BLOCKED)
    try:
        os.execve(sys.executable, _command(), os.environ | {VARIABLE: _text(handover)})  # noqa: S606 - itself
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, BLOCKED)


def would_start(handover: Handover) -> str | None:
    """Let the program as it is on the disk now look whether it would start; gives why not."""
    try:
        looked = subprocess.run(  # noqa: S603 - the command line this process was started with
            [*_command(), "--check"],
            env=os.environ | {VARIABLE: _text(handover)},
            capture_output=True,
            text=True,
            timeout=CHECK_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if looked.returncode == 0 else looked.stderr.strip() or f"exit status {looked.returncode}"


def _command() -> list[str]:
    return [sys.executable, *sys.orig_argv[1:]]


def _text(handover: Handover) -> str:
    return msgspec.json.encode(handover).decode()
