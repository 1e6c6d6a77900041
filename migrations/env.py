"""Alembic's entry: runs the revisions on the connection it is given, in that connection's transaction."""

from __future__ import annotations

import re

from alembic import context
from sqlalchemy.engine import Connection, Engine

from proxy.ledger import (  # noqa: F401 - they belong to the metadata
    budget_tables,
    directory_tables,
    mirror_table,
    notice_table,
    rollup_tables,
)
from proxy.ledger.tables import metadata

PARTITION = re.compile(r"call_rows_\d{4}_\d\d")


def of_the_model(name: str | None, kind: str, _: object) -> bool:
    """Leave out the partitions of calls: how many there are is no matter of revisions."""
    return not (kind == "table" and name is not None and PARTITION.fullmatch(name))


def run(connection: Connection) -> None:
    """Run the revisions; SQLite cannot alter a column, so there tables are rebuilt ("batch")."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_server_default=True,
        include_name=of_the_model,
    )
    with context.begin_transaction():
        context.run_migrations()


given: Connection | Engine = context.config.attributes["connection"]
if isinstance(given, Engine):
    with given.connect() as own:
        run(own)
        own.commit()
else:
    run(given)
