"""How far a mirror of the ledger in another database is."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mirror_positions",
        sa.Column("mirror", sa.Text, nullable=False),
        sa.Column("quarter", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("copy", sa.BigInteger, nullable=False),
        sa.Column("sums", sa.Text),
        sa.PrimaryKeyConstraint("mirror", "quarter", name="pk_mirror_positions"),
    )


def downgrade() -> None:
    op.drop_table("mirror_positions")
