"""The roster: the keys and budgets that the ledger's directory has, in a file beside the journal for gates to read.

The console writes it anew whenever the directory has changed (:mod:`proxy.directory.publishing`) and puts it in its
place by a rename; nothing else writes it, and it is never changed in place. So a gate reads it without a lock, and a
million keys cost a gate no memory: it is a SQLite file whose primary key is the digest of a key. A further table in it
is a further function of the publisher's and a further question here.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from pathlib import Path
from urllib.parse import quote

import msgspec

from proxy.in_force import Slot
from proxy.sections import BudgetSection, KeySection

FILE = "roster.sqlite"  # in the journal's directory
FORMAT = 1  # PRAGMA user_version; a reader takes no other
_CACHE_KIB = 512  # of pages, for each gate

_log = logging.getLogger("joulegate.roster")

Identity = tuple[int, int, int]


class Listed(msgspec.Struct, frozen=True):
    """A key and whose it is."""

    team: str
    key: KeySection


class RosterError(Exception):
    """The roster in force cannot be read."""


class Roster:
    """The roster as one gate sees it; the last one that could be used stays in force. For one thread at a time."""

    def __init__(self, path: Path, slot: Slot | None = None) -> None:
        """Prepare; ``look`` reads. ``slot`` is where the console hears which roster is in force here."""
        self.revision = 0  # of the directory, as the roster in force has it
        self.problem: str | None = None  # why a newer one is not in force
        self._path = path
        self._slot = slot
        self._looked_at: Identity | None = None
        self._connection: sqlite3.Connection | None = None

    def look(self) -> bool:
        """Take the file where it is another than before; tells whether another is in force now. Never raises."""
        try:
            found = self._path.stat()
        except FileNotFoundError:
            # There was none so far, or it was taken away: the one in force is still open.
            self._looked_at = None
            if self._connection is not None:
                self._stumble("it was deleted")
            return False
        except OSError as error:
            self._stumble(error.strerror or str(error))
            return False
        identity = (found.st_ino, found.st_size, found.st_mtime_ns)
        if identity == self._looked_at:
            return False
        self._looked_at = identity
        try:
            fresh, revision = _opened(self._path)
        except (sqlite3.Error, RosterError) as error:
            self._stumble(str(error))
            return False
        if self._connection is not None:
            self._connection.close()
        self._connection, self.revision, self.problem = fresh, revision, None
        self._say()
        return True

    def find(self, digest: str) -> Listed | None:
        """Look a key up by its SHA-256; raises :class:`RosterError` where the file cannot be read any more."""
        if self._connection is None:
            return None
        try:
            row = self._connection.execute(
                "SELECT team, key FROM keys WHERE sha256 = ?", (bytes.fromhex(digest),)
            ).fetchone()
            return None if row is None else Listed(team=row[0], key=msgspec.json.decode(row[1], type=KeySection))
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            self._looked_at = None  # opened again at the next look
            self._stumble(str(error))
            raise RosterError(str(error)) from error

    def count(self) -> int:
        """Count the keys of the roster in force."""
        if self._connection is None:
            return 0
        found: int = self._connection.execute("SELECT count(*) FROM keys").fetchone()[0]
        return found

    def close(self) -> None:
        """Let go of the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _stumble(self, why: str) -> None:
        if why != self.problem:
            self.problem = why
            _log.error("%s cannot be read (%s): keys stay as they were at revision %d", self._path, why, self.revision)
            self._say()

    def _say(self) -> None:
        if self._slot is not None:
            self._slot.say(self.revision, self.problem)


def budgets_in(path: Path) -> tuple[int, list[BudgetSection]] | None:
    """Read the budgets of the roster, and the revision that they have; ``None`` where it says nothing of any.

    Raises :class:`RosterError` where it cannot be read.
    """
    if not path.exists():
        return None
    try:
        with contextlib.closing(_opened(path)[0]) as file:
            if file.execute("SELECT 1 FROM sqlite_master WHERE name = 'budgets'").fetchone() is None:
                return None  # another release wrote it
            (revision,) = file.execute("SELECT revision FROM budget_revision").fetchone()
            rows = file.execute("SELECT budget FROM budgets ORDER BY rowid").fetchall()
        return revision, [msgspec.json.decode(row[0], type=BudgetSection) for row in rows]
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise RosterError(str(error)) from error


def _opened(path: Path) -> tuple[sqlite3.Connection, int]:
    """Open a roster that nobody changes any more; gives its revision too."""
    # The gate is built in one thread and may run in another, never in two at once.
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    with contextlib.ExitStack() as unless_it_is_good:
        unless_it_is_good.callback(connection.close)
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        (said,) = connection.execute("PRAGMA user_version").fetchone()
        if said != FORMAT:
            raise RosterError(f"its format is {said}, not {FORMAT}: another release wrote it")
        (revision,) = connection.execute("SELECT revision FROM roster").fetchone()
        connection.execute("SELECT team, key FROM keys LIMIT 1").fetchone()
        unless_it_is_good.pop_all()
    return connection, revision
