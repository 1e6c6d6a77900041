"""What providers state of usage and cost, as it was read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from proxy.ledger.sqltypes import Usd, UtcDateTime

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "statements",
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("read_at", UtcDateTime, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("day", sa.Date, nullable=False),
        sa.Column("key", sa.Text),
        sa.Column("project", sa.Text),
        sa.Column("model", sa.Text),
        sa.Column("input_tokens", sa.BigInteger),
        sa.Column("cached_input_tokens", sa.BigInteger),
        sa.Column("output_tokens", sa.BigInteger),
        sa.Column("usd", Usd),
        sa.PrimaryKeyConstraint("source", "number", name="pk_statements"),
    )


def downgrade() -> None:
    op.drop_table("statements")
