"""Changing the directory: one lock, one transaction, and each change written down in it.

Changes are numbered in the order of their commits. The number of the last one is the directory's revision: who has
seen that has seen all of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from proxy.ledger.directory_tables import changes, directory_revision
from proxy.ledger.engine import WRITE


@dataclass(slots=True)
class Changing:
    """A change under way, by whom and when; nobody else changes anything meanwhile."""

    connection: Connection
    actor: str
    at: datetime
    first: int  # the number of the first change that is noted
    noted: list[dict[str, object]] = field(default_factory=list)

    def note(self, action: str, kind: str, subject: str, *, before: object | None, after: object | None) -> int:
        """Write down what is being done, and give its number; ``before`` and ``after`` hold no key and no hash."""
        self.noted.append(
            {"at": self.at, "actor": self.actor, "action": action, "kind": kind, "subject": subject,
             "before": _plain(before), "after": _plain(after)}
        )  # fmt: skip
        return self.first + len(self.noted) - 1


@contextlib.contextmanager
def changing(engine: Engine, *, actor: str, at: datetime) -> Iterator[Changing]:
    """Change the directory, all or nothing; where nothing is noted, nothing is changed.

    Raises SQLAlchemy's errors where the database is away.
    """
    with engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin() as transaction:
        with changing_within(connection, actor=actor, at=at) as made:
            yield made
        if not made.noted:
            transaction.rollback()


@contextlib.contextmanager
def changing_within(connection: Connection, *, actor: str, at: datetime) -> Iterator[Changing]:
    """Change the directory within a transaction that somebody else commits."""
    # The first statement takes the lock; whoever comes second sees what the first has done.
    connection.execute(sa.update(directory_revision).values(revision=directory_revision.c.revision))
    first = revision_of(connection) + 1
    made = Changing(connection, actor, at, first)
    yield made
    if made.noted:
        connection.execute(
            sa.insert(changes), [{"number": number, **each} for number, each in enumerate(made.noted, first)]
        )
        connection.execute(sa.update(directory_revision).values(revision=first + len(made.noted) - 1))


def revision_of(connection: Connection) -> int:
    """Give the number of the last change."""
    return connection.scalar(sa.select(directory_revision.c.revision)) or 0


def _plain(value: object | None) -> Any:
    return None if value is None else msgspec.to_builtins(value)
