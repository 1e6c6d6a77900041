"""Showing that a command is at work, where it takes long and somebody looks."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

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


@contextlib.contextmanager
def counting(what: str, total: int, console: Console | None = None) -> Iterator[Callable[[int], None]]:
    """Show on standard error how many of ``total`` are done, as is told; only on a terminal, and gone at the end."""
    console = console or Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=total)
        yield lambda number: progress.advance(task, number)
