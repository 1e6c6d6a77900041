"""How far a mirror is: which sums each quarter of an hour had when its calls were copied last."""

from __future__ import annotations

import sqlalchemy as sa

from proxy.ledger.tables import metadata

mirror_positions = sa.Table(
    "mirror_positions",
    metadata,
    sa.Column("mirror", sa.Text, primary_key=True),  # the name that the mirror keeps itself
    sa.Column("quarter", sa.BigInteger, primary_key=True, autoincrement=False),  # of an hour since the Unix epoch
    sa.Column("copy", sa.BigInteger, nullable=False),  # number of the last copy, on every row of it; they only grow
    sa.Column("sums", sa.Text),  # of calls_by_quarter, in one text; NULL: the copy was begun and not finished
)
