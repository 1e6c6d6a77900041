"""Bringing the ledger's tables to the revision this release expects, and saying when they are not there."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

import migrations
from proxy.errors import LedgerError
from proxy.ledger.engine import BUSY_MS, WRITE, shown
from proxy.ledger.file import make_file, sqlite_file
from proxy.ledger.tables import metadata

_MIGRATION_BUSY_MS = 600_000  # a second process waits for the first one's migration
# The revision of the oldest release that may go on with these tables, where a newer one has changed them.
compatibility = sa.Table("compatibility", metadata, sa.Column("oldest", sa.Text, primary_key=True))
_ADVISORY_LOCK = 0x6A6F756C65  # PostgreSQL's lock for migrations: "joule" in ASCII


@dataclass(frozen=True, slots=True, kw_only=True)
class Revisions:
    """Where a database is and where this release wants it; ``current`` is None where there is no ledger yet."""

    current: str | None
    head: str
    pending: tuple[str, ...]  # revisions still to run, first to last
    known: bool  # False: ``current`` is none of this release's, so a newer release made it
    expanded: bool  # by a newer release, which says that this one may go on with it

    @property
    def fits(self) -> bool:
        """Whether database and code fit together."""
        return self.current == self.head or self.expanded


def revisions(engine: Engine) -> Revisions:
    """Compare the database with the code, making nothing; raises :class:`LedgerError` when it cannot be reached."""
    file = sqlite_file(engine)
    if file is not None and not file.exists():
        return _compared(None, None)
    try:
        with engine.connect() as connection:
            return _revisions(connection)
    except SQLAlchemyError as error:
        raise _unreachable(engine, error) from error


def require_head(engine: Engine) -> None:
    """Raise :class:`LedgerError` saying what to do, unless the database is such that this release can use it."""
    file = sqlite_file(engine)
    if file is not None and not file.exists():
        raise LedgerError(
            f"there is no ledger at {file}: start `joulegate serve` first, which makes it,"
            " or name another with --database sqlite:///path/joulegate.db"
        )
    state = revisions(engine)
    if state.fits:
        return
    if not state.known:
        raise _too_new(engine, state)
    raise LedgerError(
        f"the ledger {shown(engine.url)} is at revision {state.current or 'none'},"
        f" this release needs {state.head}: run `joulegate migrate up`"
    )


def migrate(engine: Engine) -> Revisions:
    """Bring the database to the head revision in one transaction, made where need be; gives where it was before.

    Two processes may call this at once: the second waits and finds nothing to do. A database that a newer release has
    expanded stays as it is. Raises :class:`LedgerError` when it is too new for the code or cannot be changed.
    """
    before = revisions(engine)
    if before.fits:  # nothing to wait for a writer for
        return before
    try:
        file = sqlite_file(engine)
        if file is not None:
            make_file(file)
        with (
            engine.connect().execution_options(**{WRITE: True}) as connection,
            _patient(connection),
            connection.begin(),
        ):
            if engine.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            before = _revisions(connection)
            if not before.fits and not before.known:
                raise _too_new(engine, before)
            if not before.fits:
                command.upgrade(alembic_config(connection), "head")
        return before
    except (SQLAlchemyError, CommandError, OSError) as error:
        raise _unreachable(engine, error) from error


def alembic_config(connection: Connection | None = None) -> Config:
    """Give Alembic's configuration, found by where the package lies, not by the working directory."""
    config = Config(stdout=io.StringIO())
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def _revisions(connection: Connection) -> Revisions:
    current = MigrationContext.configure(connection).get_current_revision()
    told = sa.inspect(connection).has_table(compatibility.name)
    return _compared(current, connection.scalar(sa.select(compatibility.c.oldest)) if told else None)


def _compared(current: str | None, oldest: str | None) -> Revisions:
    script = ScriptDirectory.from_config(alembic_config())
    head = script.get_current_head()
    assert head is not None, "this package was built without its migrations"  # noqa: S101
    ours = {each.revision for each in script.walk_revisions()}
    known = current is None or current in ours
    pending = tuple(each.revision for each in script.iterate_revisions(head, current)) if known else ()
    expanded = not known and oldest in ours
    return Revisions(current=current, head=head, pending=pending[::-1], known=known, expanded=expanded)


@contextlib.contextmanager
def _patient(connection: Connection) -> Iterator[None]:
    """Let SQLite wait for as long as another process's migration may take."""
    driver: Any = connection.connection.driver_connection
    if connection.dialect.name != "sqlite":
        yield
        return
    # Past SQLAlchemy, which would begin a transaction, and so wait, before the setting is made.
    driver.execute(f"PRAGMA busy_timeout={_MIGRATION_BUSY_MS}")
    try:
        yield
    finally:
        driver.execute(f"PRAGMA busy_timeout={BUSY_MS}")


def _too_new(engine: Engine, state: Revisions) -> LedgerError:
    return LedgerError(
        f"the ledger {shown(engine.url)} is at revision {state.current}, which this release does not know"
        f" (its newest is {state.head}): a newer Joulegate has used it. Upgrade this one, or name another database"
    )


def _unreachable(engine: Engine, error: Exception) -> LedgerError:
    cause = getattr(error, "orig", None) or error
    return LedgerError(f"the ledger {shown(engine.url)} cannot be used: {cause}")
