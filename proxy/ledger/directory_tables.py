"""The directory: teams, their keys, and each change of them. Gates read none of this: see :mod:`proxy.roster`."""

from __future__ import annotations

import sqlalchemy as sa

from proxy.ledger.sqltypes import Json, UtcDateTime
from proxy.ledger.tables import metadata

teams = sa.Table(
    "teams",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("archived_at", UtcDateTime),
    sa.Column(
        "managed_by", sa.Text, nullable=False
    ),  # configuration: changed by the file alone; api: by command or API
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("sha256", sa.Text),  # hexadecimal; NULL: of a key of the configuration that is not there any more
    sa.Column("team", sa.Text, nullable=False),
    sa.Column("project", sa.Text),
    sa.Column("user", sa.Text),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("expires_at", UtcDateTime),
    sa.Column("revoked_at", UtcDateTime),
    sa.Column("providers", Json, nullable=False),  # lists of text; an empty one limits nothing
    sa.Column("models", Json, nullable=False),
    sa.Column("networks", Json, nullable=False),
    sa.Column("managed_by", sa.Text, nullable=False),
    sa.Column("replaces", sa.Text),  # the key that it was rotated from
    sa.Index("ix_keys_sha256", "sha256", unique=True),
    sa.Index("ix_keys_team", "team"),
    sa.Index("ix_keys_replaces", "replaces"),
)

# Who changed what, and when. Rows are added and never changed; no key and no hash of one is in them.
changes = sa.Table(
    "changes",
    metadata,
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),  # 1, 2, …, in the order of the commits
    sa.Column("at", UtcDateTime, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),  # token:NAME, cli:USER, console, configuration
    sa.Column("action", sa.Text, nullable=False),  # issue, revoke, …
    sa.Column("kind", sa.Text, nullable=False),  # team, key
    sa.Column("subject", sa.Text, nullable=False),  # the name or id of what was changed
    sa.Column("before", Json),  # NULL: there was nothing
    sa.Column("after", Json),
    sa.Index("ix_changes_subject", "subject"),
)

# One row: the number of the last change. To change it is to hold the lock under which the directory changes.
directory_revision = sa.Table(
    "directory_revision",
    metadata,
    sa.Column("only", sa.SmallInteger, primary_key=True, autoincrement=False),  # 1
    sa.Column("revision", sa.BigInteger, nullable=False),
)
