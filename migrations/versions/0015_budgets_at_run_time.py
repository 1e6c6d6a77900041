"""Which file says a budget, the number of the last change of any, and what a machine needs at once of one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from proxy.ledger.budget_tables import Steps

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("budgets", sa.Column("holder", sa.Text))
    op.add_column("budgets", sa.Column("file", sa.Text))
    op.add_column("budget_leases", sa.Column("needed", Steps, nullable=False, server_default="0"))
    revisions = op.create_table(
        "budget_revision",
        sa.Column("only", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("only", name="pk_budget_revision"),
    )
    op.bulk_insert(revisions, [{"only": 1, "revision": 0}])


def downgrade() -> None:
    op.drop_table("budget_revision")
    op.drop_column("budget_leases", "needed")
    for column in ("file", "holder"):
        op.drop_column("budgets", column)
