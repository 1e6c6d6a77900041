"""On PostgreSQL calls lie in a partition for each month, so that old ones go at once; SQLite has one table.

What is there already stays where it is: the former table becomes the partition of all months up to its last one.
"""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_INDEXES = {"ix_calls_started_at": "started_at", "ix_calls_team_started_at": "team, started_at"}


def upgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    run = connection.exec_driver_sql
    latest = connection.scalar(sa.text("SELECT max(started_at) FROM calls"))
    run("ALTER TABLE calls RENAME TO calls_before")
    run("ALTER TABLE calls_before DROP CONSTRAINT pk_calls")
    for name in _INDEXES:
        run(f"ALTER INDEX {name} RENAME TO {name}_before")
    run("CREATE TABLE calls (LIKE calls_before INCLUDING DEFAULTS) PARTITION BY RANGE (started_at)")
    # A partition's rows are unique by what divides them too; a call's id and its start never change.
    run("ALTER TABLE calls ADD CONSTRAINT pk_calls PRIMARY KEY (id, started_at)")
    for name, columns in _INDEXES.items():
        run(f"CREATE INDEX {name} ON calls ({columns})")
    if latest is None:
        run("DROP TABLE calls_before")
    else:
        run("ALTER TABLE calls_before ADD CONSTRAINT pk_calls_before PRIMARY KEY (id, started_at)")
        after = latest.astimezone(UTC)
        first = datetime(after.year + after.month // 12, after.month % 12 + 1, 1, tzinfo=UTC)
        run(f"ALTER TABLE calls ATTACH PARTITION calls_before FOR VALUES FROM (MINVALUE) TO ('{first.isoformat()}')")


def downgrade() -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    run = connection.exec_driver_sql
    run("ALTER TABLE calls RENAME TO calls_by_month")
    run("ALTER TABLE calls_by_month RENAME CONSTRAINT pk_calls TO pk_calls_by_month")
    for name in _INDEXES:
        run(f"ALTER INDEX {name} RENAME TO {name}_by_month")
    run("CREATE TABLE calls (LIKE calls_by_month INCLUDING DEFAULTS)")
    run("INSERT INTO calls SELECT * FROM calls_by_month")
    run("DROP TABLE calls_by_month")
    run("ALTER TABLE calls ADD CONSTRAINT pk_calls PRIMARY KEY (id)")
    for name, columns in _INDEXES.items():
        run(f"CREATE INDEX {name} ON calls ({columns})")
