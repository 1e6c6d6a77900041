"""Each revision on a ledger that the release before it filled."""

from __future__ import annotations

import sqlite3

import pytest
from alembic import command

from proxy.ledger.engine import WRITE, open_engine
from proxy.ledger.read import recent
from proxy.ledger.revision import alembic_config, migrate, require_head
from tests.rows import call_row, insert

ROWS = 300
ZONES = ("USA", None, "aws:eu-north-1", "gcp:nowhere-9", "SWE", "azure:westeurope")


@pytest.fixture
def filled(tmp_path):
    """A database at revision 0001 with rows as that release wrote them."""
    path = tmp_path / "ledger.db"
    path.touch()
    engine = open_engine(f"sqlite:///{path}")
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        command.upgrade(alembic_config(connection), "0001")
    scratch = open_engine("sqlite://")
    migrate(scratch)
    insert(scratch, *(call_row(zone=ZONES[n % len(ZONES)], estimate_key=None) for n in range(ROWS)))
    with sqlite3.connect(path) as file, scratch.connect() as connection:
        columns = [name for _, name, *_ in file.execute("PRAGMA table_info(calls)")]
        listed = ", ".join(f'"{name}"' for name in columns)
        rows = connection.exec_driver_sql(f"SELECT {listed} FROM calls").all()
        file.executemany(f"INSERT INTO calls ({listed}) VALUES ({', '.join('?' * len(columns))})", map(tuple, rows))
    file.close()
    scratch.dispose()
    yield engine
    engine.dispose()


def test_0002_keeps_every_row_and_turns_regions_into_zones(filled):
    with filled.connect() as connection:
        before = connection.exec_driver_sql("SELECT id, joules, cost_usd, tags FROM calls ORDER BY id").all()
    assert len(before) == ROWS
    migrate(filled)
    require_head(filled)
    with filled.connect() as connection:
        assert connection.exec_driver_sql("SELECT id, joules, cost_usd, tags FROM calls ORDER BY id").all() == before
        zones = dict(connection.exec_driver_sql("SELECT zone, count(*) FROM calls GROUP BY zone").all())
        rows = recent(connection, limit=ROWS)
    assert zones == {"USA": 50, "SWE": 100, "NLD": 50, None: 100}
    new = ("grid_source", "estimate_key", "joules_shared_down", "grams_co2e_shared_up")
    assert {getattr(row, name) for row in rows for name in new} == {None}
    insert(filled, call_row())  # what this release writes fits in


def test_0002_goes_back_without_a_row_lost(filled):
    migrate(filled)
    with filled.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
        command.downgrade(alembic_config(connection), "0001")
        assert connection.exec_driver_sql("SELECT count(*) FROM calls").scalar() == ROWS
