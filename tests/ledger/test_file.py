from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from proxy.errors import LedgerError
from proxy.ledger.engine import open_engine
from proxy.ledger.revision import migrate
from tests.rows import call_row, insert


def calls_in(engine: sa.Engine) -> int:
    with engine.connect() as connection:
        return connection.exec_driver_sql("SELECT count(*) FROM calls").scalar_one()


def new_ledger(file: Path, rows: int) -> None:
    engine = open_engine(f"sqlite:///{file}")
    migrate(engine)
    insert(engine, *(call_row() for _ in range(rows)))
    engine.dispose()  # the last connection writes the log back


def test_connecting_makes_no_file(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/deep/ledger.db")
    with pytest.raises(sa.exc.OperationalError, match="unable to open"):
        engine.connect()
    assert list(tmp_path.iterdir()) == []


def test_a_new_ledger_can_be_read_by_its_owner_and_group_only(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/deep/ledger.db")
    before = os.umask(0o022)
    try:
        migrate(engine)
    finally:
        os.umask(before)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT count(*) FROM calls")
        modes = {path.name: oct(path.stat().st_mode & 0o777) for path in (tmp_path / "deep").iterdir()}
    assert modes == dict.fromkeys(("ledger.db", "ledger.db-wal", "ledger.db-shm"), "0o640")
    engine.dispose()


def test_the_mode_of_a_file_that_is_there_is_left_alone(tmp_path):
    file = tmp_path / "ledger.db"
    file.touch(mode=0o600)
    engine = open_engine(f"sqlite:///{file}")
    migrate(engine)
    assert file.stat().st_mode & 0o777 == 0o600
    engine.dispose()


def test_a_file_that_cannot_be_made_is_an_error_that_names_it():
    engine = open_engine("sqlite:////proc/nowhere/ledger.db")
    with pytest.raises(LedgerError, match="/proc/nowhere"):
        migrate(engine)


def test_a_deleted_file_is_not_used_any_more(tmp_path):
    file = tmp_path / "ledger.db"
    new_ledger(file, 1)
    engine = open_engine(f"sqlite:///{file}")
    assert calls_in(engine) == 1
    file.unlink()
    with pytest.raises(sa.exc.OperationalError, match="unable to open"):
        calls_in(engine)
    assert not file.exists()
    migrate(engine)
    assert calls_in(engine) == 0
    engine.dispose()


@pytest.mark.parametrize("still_reading", [False, True])
def test_a_restored_file_is_used_as_it_is(tmp_path, still_reading):
    """Nothing of the log of the file it replaced gets into it, and nothing of its own log is lost."""
    file, backup = tmp_path / "ledger.db", tmp_path / "backup.db"
    new_ledger(backup, 3)
    new_ledger(file, 5)
    engine = open_engine(f"sqlite:///{file}")
    insert(engine, *(call_row() for _ in range(400)))  # in the log, not in the file yet
    assert Path(f"{file}-wal").stat().st_size > 100_000
    with engine.connect() if still_reading else contextlib.nullcontext():
        backup.rename(file)
        assert calls_in(engine) == 3
    insert(engine, call_row())
    assert calls_in(engine) == 4
    engine.dispose()
    with sqlite3.connect(file) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert plain.execute("SELECT count(*) FROM calls").fetchone() == (4,)
    plain.close()


def test_a_second_connection_leaves_the_log_of_a_file_in_its_place(tmp_path):
    file = tmp_path / "ledger.db"
    new_ledger(file, 1)
    engine = open_engine(f"sqlite:///{file}")
    insert(engine, call_row())
    log = Path(f"{file}-wal").stat().st_ino
    with engine.connect(), engine.connect(), engine.connect():
        assert Path(f"{file}-wal").stat().st_ino == log
    assert calls_in(engine) == 2
    engine.dispose()


def test_a_file_restored_with_its_own_log_keeps_it(tmp_path):
    file, backup = tmp_path / "ledger.db", tmp_path / "backup" / "ledger.db"
    backup.parent.mkdir()
    new_ledger(file, 5)
    engine, other = open_engine(f"sqlite:///{file}"), open_engine(f"sqlite:///{backup}")
    migrate(other)
    insert(other, *(call_row() for _ in range(7)))
    assert calls_in(engine) == 5
    for name in ("ledger.db", "ledger.db-wal"):
        (tmp_path / name).unlink()
        (tmp_path / name).write_bytes((backup.parent / name).read_bytes())
    assert calls_in(engine) == 7
    engine.dispose()
    other.dispose()


def test_migrating_a_file_that_is_there_leaves_the_locks_of_its_connections(tmp_path):
    """Where they are gone, the next reader that leaves takes the write-ahead log with it, and the rows in it."""
    file = tmp_path / "joulegate.db"
    file.touch()
    engine = open_engine(f"sqlite:///{file}")
    migrate(engine)
    read = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM calls').fetchall(); c.close()"
    )
    subprocess.run([sys.executable, "-c", read, str(file)], check=True)
    assert file.with_name("joulegate.db-wal").exists()
    engine.dispose()
