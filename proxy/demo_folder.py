"""The folder a demo writes in: its own alone for as long as it runs, and empty when it begins."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path("joulegate-demo")


@contextlib.contextmanager
def demo_folder() -> Iterator[Path]:
    """Take ``joulegate-demo``, or ``joulegate-demo/2`` and so on where demos run already; what an old one left goes.

    The processes forked meanwhile share the lock, so a folder is taken until the last of them is gone.
    Raises ``OSError`` where the folder cannot be made or emptied.
    """
    for number in itertools.count(1):
        folder = FOLDER if number == 1 else FOLDER / str(number)
        folder.mkdir(exist_ok=True)
        with (folder / "demo.lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            _empty(folder)
            yield folder
            return


def _empty(folder: Path) -> None:
    for left in folder.glob("demo.db*"):
        left.unlink()
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder / "journal")
