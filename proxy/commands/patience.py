"""Showing that a command is at work, where it takes long and somebody looks."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

AFTER_S = 1.0  # who waits less sees nothing


@contextlib.contextmanager
def patience(what: str, console: Console | None = None, after_s: float = AFTER_S) -> Iterator[None]:
    """Say on standard error what is being done and for how long; only on a terminal, and gone when it is done."""
    console = console or Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    progress.add_task(what, total=None)
    timer = threading.Timer(after_s, progress.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        progress.stop()
