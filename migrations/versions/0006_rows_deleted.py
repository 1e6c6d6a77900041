"""From when on the rows of calls are kept, and the way from a deleted call to its counted usage."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from proxy.ledger.sqltypes import UtcDateTime

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "retention",
        sa.Column("rows_from", UtcDateTime, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("rows_from", name="pk_retention"),
    )
    op.create_index("ix_counted_usage_call_id", "counted_usage", ["call_id"])


def downgrade() -> None:
    op.drop_index("ix_counted_usage_call_id", "counted_usage")
    op.drop_table("retention")
