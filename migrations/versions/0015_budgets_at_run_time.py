"""Which file says a budget, and the number of the last change of any."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("budgets", sa.Column("holder", sa.Text))
    op.add_column("budgets", sa.Column("file", sa.Text))
    revisions = op.create_table(
        "budget_revision",
        sa.Column("only", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("only", name="pk_budget_revision"),
    )
    op.bulk_insert(revisions, [{"only": 1, "revision": 0}])


def downgrade() -> None:
    op.drop_table("budget_revision")
    for column in ("file", "holder"):
        op.drop_column("budgets", column)
