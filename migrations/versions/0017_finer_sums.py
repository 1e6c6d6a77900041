"""Sums over few dimensions also by project, tier, zone and grid, so that no named report needs more, in any zone.

What there is stays as it is: those sums are finer from the second day (UTC) after this on, since the release before may
still write until it is stopped. Of earlier days reports read what they read before.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

_DIMENSIONS = ("project", "tier", "zone", "grid_source")
_QUARTERS_A_DAY = 96


def upgrade() -> None:
    for name in _DIMENSIONS:
        op.add_column("model_keys", sa.Column(name, sa.Text))
    finer = op.create_table(
        "finer_sums",
        sa.Column("quarter", sa.BigInteger, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("quarter", name="pk_finer_sums"),
    )
    if op.get_bind().exec_driver_sql("SELECT 1 FROM model_keys LIMIT 1").first() is not None:
        days = (datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(days=1)
        op.bulk_insert(finer, [{"quarter": (days + 2) * _QUARTERS_A_DAY}])


def downgrade() -> None:
    op.drop_table("finer_sums")
    for name in _DIMENSIONS:
        op.drop_column("model_keys", name)
