"""Which releases may use the ledger: so that one machine can be ahead of another while they are changed one by one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    table = op.create_table("compatibility", sa.Column("oldest", sa.Text, primary_key=True))
    op.bulk_insert(table, [{"oldest": revision}])


def downgrade() -> None:
    op.drop_table("compatibility")
