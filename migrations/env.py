"""Alembic's entry: runs the revisions on the connection it is given, in that connection's transaction."""

from __future__ import annotations

from alembic import context
from sqlalchemy.engine import Connection, Engine

from proxy.ledger.tables import metadata


def run(connection: Connection) -> None:
    """Run the revisions; SQLite cannot alter a column, so there tables are rebuilt ("batch")."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_server_default=True,
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
