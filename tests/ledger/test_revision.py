from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from alembic import command
from pytest_alembic.config import Config
from pytest_alembic.tests import (
    test_model_definitions_match_ddl,  # noqa: F401 - collected as tests of this module
    test_single_head_revision,  # noqa: F401
    test_up_down_consistency,  # noqa: F401
    test_upgrade,  # noqa: F401
)

from proxy.errors import LedgerError
from proxy.ledger.engine import WRITE, open_engine
from proxy.ledger.file import make_file
from proxy.ledger.read import splits
from proxy.ledger.revision import alembic_config, migrate, require_head, revisions
from proxy.ledger.rollup_tables import EPOCH
from proxy.ledger.tables import calls, metadata
from proxy.ledger.write import Ledger
from tests.expanded import expand
from tests.ledger.test_write import NOW
from tests.rows import call_row, insert


@pytest.fixture
def engine(empty_url):
    """An engine on a database without a ledger."""
    engine = open_engine(empty_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_engine(tmp_path):
    """The same in a SQLite file, for what only files have."""
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.db")
    yield engine
    engine.dispose()


def made(engine: sa.Engine) -> sa.Engine:
    """Make the database itself: only of SQLite it may be missing."""
    if engine.dialect.name == "sqlite":
        make_file(Path(engine.url.database))
    return engine


@pytest.fixture
def alembic_engine(engine):
    return made(engine)


@pytest.fixture(name="alembic_config")
def pytest_alembic_config():
    return Config(alembic_config=alembic_config())


def test_an_empty_database_is_brought_to_the_head_and_then_left_alone(engine):
    assert revisions(engine).current is None
    if engine.dialect.name == "sqlite":
        with pytest.raises(LedgerError, match=r"there is no ledger at .*: start"):
            require_head(engine)
    made(engine)
    assert revisions(engine).current is None
    with pytest.raises(LedgerError, match="joulegate migrate up"):
        require_head(engine)
    first = migrate(engine)
    assert first.pending
    assert first.pending[-1] == first.head
    require_head(engine)
    insert(engine, call_row())
    second = migrate(engine)
    assert (second.current, second.pending, second.fits) == (first.head, (), True)
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM calls").scalar() == 1


def test_asking_for_the_revision_makes_nothing(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/deep/ledger.db")
    state = revisions(engine)
    assert (state.current, state.known, state.fits, state.pending[-1]) == (None, True, False, state.head)
    assert list(tmp_path.iterdir()) == []


def test_a_ledger_at_the_head_needs_no_lock_to_be_found_so(engine):
    migrate(engine)
    with engine.connect().execution_options(**{WRITE: True}) as writer:
        writer.begin()
        writer.exec_driver_sql("DELETE FROM journal_positions")
        assert migrate(engine).fits


def test_the_revisions_build_the_tables_the_code_uses(engine):
    migrate(engine)
    with engine.connect() as connection:
        command.check(alembic_config(connection))
    inspected = sa.inspect(engine)
    for table in metadata.sorted_tables:
        names = [column["name"] for column in inspected.get_columns(table.name)]
        assert names == table.columns.keys()
        indexes = {index["name"]: index["column_names"] for index in inspected.get_indexes(table.name)}
        assert indexes == {index.name: index.columns.keys() for index in table.indexes}
    assert inspected.get_view_names() == ["calls"]
    assert [column["name"] for column in inspected.get_columns("calls")] == calls.columns.keys()


def test_a_database_of_a_newer_release_is_left_alone_with_a_clear_message(engine):
    migrate(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.exec_driver_sql("UPDATE compatibility SET oldest = '9998'")
    assert not revisions(engine).known
    for act in (migrate, require_head):
        with pytest.raises(LedgerError, match="newer Joulegate has used it"):
            act(engine)


def test_a_database_that_a_newer_release_has_expanded_is_gone_on_with(engine):
    migrate(engine)
    expand(engine)
    for state in (revisions(engine), migrate(engine)):
        assert (state.current, state.known, state.fits, state.pending) == ("9999", False, True, ())
    require_head(engine)
    ledger = Ledger(engine)
    ledger.commit([call_row()], journal="j", positions={}, at=NOW)
    with engine.connect() as connection:
        assert (
            splits(connection, ((),), start=EPOCH, end=NOW + timedelta(days=1), zone=ZoneInfo("UTC"))[0][0].calls == 1
        )


def test_a_file_that_is_no_database_is_an_error_that_names_it(tmp_path):
    (tmp_path / "ledger.db").write_text("This is no database, and long enough to show it. " * 50)
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.db")
    for act in (migrate, require_head):
        with pytest.raises(LedgerError, match=r"ledger\.db.*not a database"):
            act(engine)


def test_a_revision_that_fails_leaves_nothing_behind(engine):
    made(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE journal_positions (x integer)")  # in the way of the last table
    with pytest.raises(LedgerError, match="journal_positions"):
        migrate(engine)
    assert sa.inspect(engine).get_table_names() == ["journal_positions"]


def test_processes_that_start_together_migrate_once(empty_url):
    program = (
        "import sys; from proxy.ledger.engine import open_engine; from proxy.ledger.revision import migrate;"
        "print(len(migrate(open_engine(sys.argv[1])).pending))"
    )
    root = Path(__file__).parents[2]
    children = [
        subprocess.Popen([sys.executable, "-c", program, empty_url], stdout=subprocess.PIPE, cwd=root) for _ in range(3)
    ]
    told = sorted(int(child.communicate(timeout=120)[0]) for child in children)
    assert told[:2] == [0, 0]
    assert told[2] > 0
    engine = open_engine(empty_url)
    require_head(engine)
    engine.dispose()


def test_the_patience_of_a_migration_is_not_left_behind(sqlite_engine):
    migrate(sqlite_engine)
    with sqlite_engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 10_000


def test_the_migrations_are_found_from_any_working_directory(tmp_path):
    program = (
        "import sys; sys.path.insert(0, sys.argv[2]); from proxy.ledger.engine import open_engine;"
        "from proxy.ledger.revision import migrate; print(migrate(open_engine(sys.argv[1])).head)"
    )
    root = Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", program, f"sqlite:///{tmp_path}/ledger.db", str(root)],
        capture_output=True,
        cwd=tmp_path,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.strip()
