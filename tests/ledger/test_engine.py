from __future__ import annotations

import pytest
import sqlalchemy as sa

from proxy.errors import LedgerError
from proxy.ledger.engine import WRITE, open_engine
from proxy.ledger.file import make_file
from proxy.ledger.revision import migrate
from tests.rows import call_row, insert


def test_sqlite_is_set_up_for_a_writer_and_many_readers(tmp_path):
    file = tmp_path / "deep" / "er" / "ledger.db"
    make_file(file)
    engine = open_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        settings = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 1, "busy_timeout": 10_000, "foreign_keys": 1}
    engine.dispose()


def test_readers_see_the_last_commit_while_a_writer_writes(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.db")
    migrate(engine)
    insert(engine, call_row())
    count = "SELECT count(*) FROM calls"
    with engine.connect().execution_options(**{WRITE: True}) as writer, engine.connect() as reader:
        writer.exec_driver_sql("DELETE FROM call_rows")
        assert reader.exec_driver_sql(count).scalar() == 1
        writer.commit()
        assert reader.exec_driver_sql(count).scalar() == 1  # its own transaction goes on
        reader.rollback()
        assert reader.exec_driver_sql(count).scalar() == 0
    engine.dispose()


def test_a_writing_transaction_takes_its_lock_at_the_start(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path}/ledger.db")
    migrate(engine)
    with engine.connect().execution_options(**{WRITE: True}) as writer, engine.connect() as other:
        writer.begin()
        other.exec_driver_sql("PRAGMA busy_timeout=1")
        with pytest.raises(sa.exc.OperationalError, match="locked"):
            other.exec_driver_sql("DELETE FROM call_rows")
    engine.dispose()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("joulegate.db", "not shown"),
        ("sqlite:///file:ledger.db?uri=true", "give a path"),
        ("nosuch://user:hunter2@host/db", "nosuch"),
        ("postgresql+nodriver://user:hunter2@host/db", "nodriver"),
    ],
)
def test_a_url_that_cannot_be_used_is_named_without_its_password(url, says):
    with pytest.raises(LedgerError, match=says) as raised:
        open_engine(url)
    assert "hunter2" not in str(raised.value)
