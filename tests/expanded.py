"""Lets every ledger of a run of tests be one that a later release has expanded: ``pytest -p tests.expanded``.

That is what a release meets while machines are changed one by one: columns, tables and indexes more than it knows of,
and a revision that is none of its own. What it does must be the same; so its tests must pass.
"""

from __future__ import annotations

import sqlalchemy as sa

from proxy.ledger import revision
from tests import databases

LATER = (
    "ALTER TABLE call_rows ADD COLUMN later_figure DOUBLE PRECISION",
    "ALTER TABLE call_kinds ADD COLUMN later_word TEXT",
    "ALTER TABLE usage_lines ADD COLUMN later_count BIGINT DEFAULT 0 NOT NULL",
    "ALTER TABLE model_keys ADD COLUMN later_word TEXT",
    "ALTER TABLE detail_keys ADD COLUMN later_word TEXT",
    "ALTER TABLE calls_by_quarter ADD COLUMN later_sum DOUBLE PRECISION",
    "ALTER TABLE calls_by_day ADD COLUMN later_sum DOUBLE PRECISION",
    "ALTER TABLE details_by_day ADD COLUMN later_sum DOUBLE PRECISION",
    "ALTER TABLE budgets ADD COLUMN later_word TEXT",
    "ALTER TABLE keys ADD COLUMN later_word TEXT",
    "CREATE TABLE later_sums (day BIGINT PRIMARY KEY, calls BIGINT NOT NULL)",
    "CREATE INDEX ix_call_rows_later ON call_rows (later_figure)",
    "UPDATE alembic_version SET version_num = '9999'",
)


def pytest_configure() -> None:
    """As a plugin, stand between the fixtures and the migration."""
    databases.migrate = migrated


def pytest_report_header() -> str:
    """Say so."""
    return "ledgers: such as a later release has expanded"


def migrated(engine: sa.Engine) -> revision.Revisions:
    """Do what a later release's migration does, once."""
    before = revision.migrate(engine)
    if not before.expanded:
        expand(engine)
    return before


def expand(engine: sa.Engine) -> None:
    """Change a ledger as a release may that lets the ones before it go on."""
    with engine.begin() as connection:
        for statement in LATER:
            connection.exec_driver_sql(statement)
