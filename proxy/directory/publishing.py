"""Telling the gates: the roster is written anew whenever the directory has another revision.

One thread of the console process, which looks once a second. While the database is away the last roster stays; gates
and calls wait for none of this.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from proxy.directory.changing import revision_of
from proxy.directory.configured import take_over
from proxy.directory.rows import KEY_COLUMNS, Key
from proxy.directory.teams import names
from proxy.in_force import Slot
from proxy.ledger import budget_rows
from proxy.ledger.directory_tables import changes, keys
from proxy.roster import FORMAT, Roster
from proxy.sections import KeySection, TeamSection

EVERY_S = 1.0
TEAMS_KNOWN_AT_MOST = 1000  # that metrics tell apart; beyond them a team is `other`
KEYS_AT_ONCE = 5000  # in memory while a roster is written
KEYS_CHANGED_AT_MOST = 1000  # beyond them all are written

_log = logging.getLogger("joulegate.directory")


class Publisher:
    """Keeps the roster of one journal directory; ``run`` in one thread, the properties from any."""

    def __init__(
        self,
        engine: Engine,
        path: Path,
        *,
        configured: Sequence[TeamSection],
        working: Callable[[], bool],
        on_teams: Callable[[Collection[str]], object],
        on_budgets: Callable[[], object] = lambda: None,
        gates: Sequence[Slot] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare. ``configured`` are the teams of the file, ``path`` is the roster's.

        Nothing is done but while ``working`` says that the ledger is there and this process's to tell of. ``on_teams``
        hears the names of the teams that metrics may tell apart, ``on_budgets`` that there is another roster; in
        ``gates`` the gates say what they have in force.
        """
        self.conflicts: Sequence[str] = ()  # between the file and the directory, in words
        self.revision = -1  # of the directory, as it was published last
        self._moment: datetime | None = None  # of the change that has the revision's number
        self._problem: str | None = None
        self._engine = engine
        self._path = path
        self._configured = configured
        self._working = working
        self._on_teams = on_teams
        self._on_budgets = on_budgets
        self._gates = gates
        self._now = now

    @property
    def problems(self) -> Sequence[str]:
        """Why keys are not in force as the directory has them, one text for each reason."""
        said = [(number, gate.said()[1]) for number, gate in enumerate(self._gates, 1)]
        of_gates = [f"gate {number} cannot read the roster of keys: {problem}" for number, problem in said if problem]
        return [*self.conflicts, *([] if self._problem is None else [self._problem]), *of_gates]

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop``; outlives what fails."""
        while not stop.is_set():
            if self._working():
                try:
                    self.round()
                except SQLAlchemyError as error:  # the recorder says more of it
                    self._stumble(f"the directory of keys cannot be read: {getattr(error, 'orig', None) or error}")
                except Exception as error:
                    self._stumble(f"the roster of keys cannot be written: {error}")
                else:
                    self._problem = None
            stop.wait(EVERY_S)

    def tell_teams(self) -> None:
        """Tell of the teams where that was not done yet: before the first calls are counted. Never raises."""
        if self.revision < 0:
            with contextlib.suppress(SQLAlchemyError), self._engine.connect() as connection:
                self._on_teams(names(connection, TEAMS_KNOWN_AT_MOST))

    def round(self) -> bool:
        """Publish, if there is something new; tells whether there was. Raises SQLAlchemy's and SQLite's errors."""
        with self._engine.connect() as connection:
            revision = revision_of(connection)
            same = revision >= self.revision and _moment(connection, self.revision) == self._moment
        if self.revision < 0 or not same:  # the latter in another ledger than before
            self.conflicts = take_over(self._engine, self._configured, at=self._now())
            for each in self.conflicts:
                _log.error("%s: revoke that one, or give the one in the file another id", each)
            self.revision = -1
        elif revision == self.revision and self._path.exists():
            return False
        began = time.monotonic()
        with self._engine.connect().execution_options(**_snapshot(self._engine)) as connection:
            revision = revision_of(connection)
            count = write_roster(self._path, connection, revision, since=self.revision if self.revision >= 0 else None)
            self._on_teams(names(connection, TEAMS_KNOWN_AT_MOST))
            moment = _moment(connection, revision)
        self.revision, self._moment = revision, moment
        self._on_budgets()
        _log.debug("%d keys published, revision %d, in %.2f s", count, revision, time.monotonic() - began)
        return True

    def _stumble(self, why: str) -> None:
        if why != self._problem:
            self._problem = why
            _log.error("%s", why)


def _moment(connection: Connection, number: int) -> datetime | None:
    """Say when a change was made: a ledger that has another one of that number is another ledger."""
    found: datetime | None = connection.scalar(sa.select(changes.c.at).where(changes.c.number == number))
    return found


def _snapshot(engine: Engine) -> dict[str, Any]:
    """Let one transaction see one state, so that the keys are those of the revision; SQLite's do so anyway."""
    return {"isolation_level": "REPEATABLE READ"} if engine.dialect.name == "postgresql" else {}


def write_roster(path: Path, connection: Connection, revision: int, *, since: int | None = None) -> int:
    """Write the roster of what the directory has now and put it in its place; gives the number of keys written.

    It is whole on the disk before it has its name, so who is killed meanwhile leaves the one before. Where ``path`` is
    that of revision ``since`` and few keys have changed, it is a copy of it with those: a hundred thousand keys take
    two seconds to be written, and one takes no time.
    """
    path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)  # of one who was killed
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o640))
    changed = _changed(connection, since) if since is not None and _revision(path) == since else None
    if changed is not None:
        shutil.copyfile(path, fresh)
    with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as file:
        # No journal and no waiting for the disk: a half-made file has no name that anybody reads.
        file.execute("PRAGMA journal_mode = OFF")
        file.execute("PRAGMA synchronous = OFF")
        file.execute(f"PRAGMA user_version = {FORMAT}")
        file.execute("BEGIN")
        if changed is None:
            file.execute("CREATE TABLE roster (revision INTEGER NOT NULL)")
            file.execute("INSERT INTO roster VALUES (0)")
            file.execute(
                "CREATE TABLE keys (sha256 BLOB PRIMARY KEY, team TEXT NOT NULL, key BLOB NOT NULL) WITHOUT ROWID"
            )
        count = _write_keys(file, connection, changed)
        _write_budgets(file, connection)
        file.execute("UPDATE roster SET revision = ?", (revision,))
        file.execute("COMMIT")
    descriptor = os.open(fresh, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    fresh.rename(path)
    return count


def _revision(path: Path) -> int | None:
    """Give the revision of a roster; ``None`` where there is none that can be read."""
    roster = Roster(path)
    found = roster.revision if roster.look() else None
    roster.close()
    return found


def _changed(connection: Connection, since: int) -> list[str] | None:
    """Give the ids of the keys that were changed after a revision; ``None``: too many."""
    select = sa.select(changes.c.subject).distinct().where(changes.c.number > since, changes.c.kind == "key")
    found = list(connection.scalars(select.limit(KEYS_CHANGED_AT_MOST + 1)))
    return found if len(found) <= KEYS_CHANGED_AT_MOST else None


def _write_keys(file: sqlite3.Connection, connection: Connection, ids: Sequence[str] | None) -> int:
    """Write the keys that may be used, all or those named; those of the configuration each gate has from there."""
    select = sa.select(*KEY_COLUMNS, keys.c.sha256).where(keys.c.managed_by == "api").order_by(keys.c.sha256)
    select = select.where(keys.c.revoked_at.is_(None)) if ids is None else select.where(keys.c.id.in_(ids))
    count = 0
    for rows in connection.execution_options(yield_per=KEYS_AT_ONCE).execute(select).partitions():
        if ids is not None:
            file.executemany("DELETE FROM keys WHERE sha256 = ?", [(bytes.fromhex(row[-1]),) for row in rows])
        found = [(Key(**dict(zip(Key.__struct_fields__, row, strict=False))), row[-1]) for row in rows]
        made = [_listed(key, sha256) for key, sha256 in found if key.revoked_at is None]
        file.executemany("INSERT INTO keys VALUES (?, ?, ?)", made)
        count += len(made)
    return count


def _write_budgets(file: sqlite3.Connection, connection: Connection) -> None:
    """Write the budgets in use: all of them, they are few."""
    file.execute("CREATE TABLE IF NOT EXISTS budget_revision (revision INTEGER NOT NULL)")
    file.execute("CREATE TABLE IF NOT EXISTS budgets (budget BLOB NOT NULL)")
    file.execute("DELETE FROM budget_revision")
    file.execute("DELETE FROM budgets")
    file.execute("INSERT INTO budget_revision VALUES (?)", (budget_rows.revision(connection),))
    sections = [(msgspec.json.encode(budget_rows.section_in(row)),) for row in budget_rows.in_use(connection)]
    file.executemany("INSERT INTO budgets VALUES (?)", sections)


def _listed(key: Key, sha256: str) -> tuple[bytes, str, bytes]:
    section = KeySection(
        id=key.id,
        sha256=sha256,
        project=key.project,
        user=key.user,
        expires=key.expires_at,
        networks=key.networks,
        providers=key.providers,
        models=key.models,
    )
    return bytes.fromhex(sha256), key.team, msgspec.json.encode(section)
