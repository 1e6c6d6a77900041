"""What is to be told to whom, kept until it was: so of several machines one tells, and a restart forgets nothing."""

from __future__ import annotations

import sqlalchemy as sa

from proxy.ledger.sqltypes import Json, UtcDateTime
from proxy.ledger.tables import metadata

notices = sa.Table(
    "notices",
    metadata,
    sa.Column("event", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("period", sa.Text, primary_key=True),
    sa.Column("target", sa.Text, primary_key=True),  # the name of a [[notify]]
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("facts", Json, nullable=False),
    sa.Column("created_at", UtcDateTime, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", UtcDateTime, nullable=False),  # of the next attempt; while one is made, of the one after it
    sa.Column("sent_at", UtcDateTime),
    sa.Column("problem", sa.Text),  # of the last attempt that failed
    sa.Index("ix_notices_waiting", "next_at", sqlite_where=sa.text("sent_at IS NULL"),
             postgresql_where=sa.text("sent_at IS NULL")),
)  # fmt: skip
