"""Budgets, what is used of them, which machine may use what is left, and the thresholds that were passed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from proxy.ledger.budget_tables import Steps
from proxy.ledger.sqltypes import Json, Usd, UtcDateTime

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budgets",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("measure", sa.BigInteger, nullable=False),
        sa.Column("team", sa.Text),
        sa.Column("project", sa.Text),
        sa.Column("user", sa.Text),
        sa.Column("key_id", sa.Text),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("amount", Usd, nullable=False),
        sa.Column("period", sa.Text),
        sa.Column("tz", sa.Text, nullable=False),
        sa.Column("mode", sa.Text, nullable=False),
        sa.Column("thresholds", Json, nullable=False),
        sa.Column("managed_by", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("archived_at", UtcDateTime),
        sa.PrimaryKeyConstraint("name", name="pk_budgets"),
    )
    op.create_table(
        "budget_spent",
        sa.Column("measure", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("bucket", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("amount", Steps, nullable=False),
        sa.Column("unknown_calls", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("measure", "bucket", name="pk_budget_spent"),
    )
    op.create_table(
        "budget_leases",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("amount", Steps, nullable=False),
        sa.Column("wanting", sa.Boolean, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("name", "holder", name="pk_budget_leases"),
    )
    op.create_table(
        "budget_crossings",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("bucket", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("threshold", sa.Double, nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("used", Steps, nullable=False),
        sa.PrimaryKeyConstraint("name", "bucket", "threshold", name="pk_budget_crossings"),
    )


def downgrade() -> None:
    for table in ("budget_crossings", "budget_leases", "budget_spent", "budgets"):
        op.drop_table(table)
