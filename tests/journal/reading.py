"""Looking at what a journal has written."""

from __future__ import annotations

import fcntl
from pathlib import Path

from proxy.tail import Tail


def read_all(directory: Path) -> list:
    tail = Tail(directory)
    entries = []
    while batch := tail.read(100):
        entries += batch
    assert (tail.torn, tail.poison) == (0, 0)
    tail.close()
    return [entry.record for entry in entries]


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.journal"))


def is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False
