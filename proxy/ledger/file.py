"""The file of a SQLite ledger: made by :func:`make_file` and nothing else, and watched while it is in use.

A connection to a file that was deleted or replaced goes on working, on a file that nobody will read.
So each use of a connection begins with a look at whether the name still means the same file.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import Dialect, Engine
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from proxy.errors import LedgerError

_BESIDE = ("-wal", "-shm")  # SQLite's own files beside a database; they get its mode


def sqlite_file(engine: Engine) -> Path | None:
    """Give the file that a ledger is in; None where it is in memory or no SQLite. Raises :class:`LedgerError`."""
    name = engine.url.database
    if engine.dialect.name != "sqlite" or name is None or name in ("", ":memory:"):
        return None
    if name.startswith("file:"):
        raise LedgerError(f"the SQLite URI {name!r} cannot be a ledger: give a path, sqlite:///path/joulegate.db")
    return Path(name).absolute()


def make_file(file: Path) -> None:
    """Make an empty database that others than its owner and group cannot read; one that is there stays as it is.

    Raises ``OSError``.
    """
    if file.exists():  # closing any descriptor of it would end the locks of this process's connections (POSIX)
        return
    file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    for suffix in _BESIDE:  # of a database that is gone: not to be taken for the new one's
        _beside(file, suffix).unlink(missing_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT, 0o640))


def watch(engine: Engine, file: Path) -> None:
    """Let the engine's connections be to the file that has this name now, and never make it."""
    seen: dict[Path, tuple[int, int]] = {}  # the file and what lies beside it, when they were used last
    lock = threading.Lock()

    def connect(_: Dialect, __: ConnectionPoolEntry, ___: object, options: dict[str, Any]) -> sqlite3.Connection:
        with lock:
            if seen.get(file) not in (None, identity(file)):
                # What lies beside the replacement and was the old file's would be read into it: a broken database.
                del seen[file]
                for path in [path for path, its in seen.items() if identity(path) == its]:
                    path.unlink(missing_ok=True)
                seen.clear()
        made: sqlite3.Connection = sqlite3.connect(f"file:{quote(str(file))}?mode=rw", **options, uri=True)
        return made

    def connected(_: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        entry.info["file"] = identity(file)

    def about_to_be_used(_: sqlite3.Connection, entry: ConnectionPoolEntry, __: object) -> None:
        if entry.info["file"] != identity(file):
            raise DisconnectionError  # so the pool connects anew

    def used(_: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        with lock:
            if entry.info.get("file") == identity(file):
                paths = (file, *(_beside(file, suffix) for suffix in _BESIDE))
                seen.update({path: its for path in paths if (its := identity(path)) is not None})

    sa.event.listen(engine, "do_connect", connect)
    sa.event.listen(engine, "connect", connected)
    sa.event.listen(engine, "checkout", about_to_be_used)
    sa.event.listen(engine, "checkin", used)


def _beside(file: Path, suffix: str) -> Path:
    return file.with_name(file.name + suffix)


def identity(file: Path) -> tuple[int, int] | None:
    """Tell one file from another of the same name; None where there is none."""
    with contextlib.suppress(OSError):  # whatever it is, connecting will say it
        found = file.stat()
        return found.st_dev, found.st_ino
    return None
