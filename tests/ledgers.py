"""Fixtures for tests of all packages: ledgers on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from proxy.ledger.engine import open_engine
from tests.databases import BACKENDS, PostgresServer, open_ledger, running_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a ledger; of SQLite there is not even a file."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.database()
    yield url
    server.drop(url)


@pytest.fixture(params=BACKENDS)
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty ledger."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/ledger.db"
        open_ledger(url).dispose()
        yield url
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    url = server.migrated()
    yield url
    server.drop(url)


@pytest.fixture
def engine(ledger_url: str) -> Iterator[sa.Engine]:
    """An engine on an empty ledger, once for each database."""
    engine = open_engine(ledger_url)
    yield engine
    engine.dispose()


@pytest.fixture
def sqlite_engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """An engine on an empty ledger in a SQLite file, for what only files have."""
    engine = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    yield engine
    engine.dispose()
