"""Teams, their keys, and each change of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from proxy.ledger.sqltypes import Json, UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "teams",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("archived_at", UtcDateTime),
        sa.Column("managed_by", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_teams"),
    )
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text),
        sa.Column("team", sa.Text, nullable=False),
        sa.Column("project", sa.Text),
        sa.Column("user", sa.Text),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("revoked_at", UtcDateTime),
        sa.Column("providers", Json, nullable=False),
        sa.Column("models", Json, nullable=False),
        sa.Column("networks", Json, nullable=False),
        sa.Column("managed_by", sa.Text, nullable=False),
        sa.Column("replaces", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_keys"),
    )
    op.create_index("ix_keys_sha256", "keys", ["sha256"], unique=True)
    op.create_index("ix_keys_team", "keys", ["team"])
    op.create_index("ix_keys_replaces", "keys", ["replaces"])
    op.create_table(
        "changes",
        sa.Column("number", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("before", Json),
        sa.Column("after", Json),
        sa.PrimaryKeyConstraint("number", name="pk_changes"),
    )
    op.create_index("ix_changes_subject", "changes", ["subject"])
    revisions = op.create_table(
        "directory_revision",
        sa.Column("only", sa.SmallInteger, nullable=False, autoincrement=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("only", name="pk_directory_revision"),
    )
    op.bulk_insert(revisions, [{"only": 1, "revision": 0}])


def downgrade() -> None:
    for table in ("directory_revision", "changes", "keys", "teams"):
        op.drop_table(table)
