"""Budgets as rows of the ledger: read as what they are, written, and put away; who changes them holds their revision.

Whoever writes rows of calls holds the revision of the budgets too, together with others who do. So a change waits for
the rows that are being written, and the next rows are written knowing of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from proxy.budgets.budget import Budget, budget_of
from proxy.budgets.units import shown
from proxy.ledger.budget_tables import budget_leases, budget_revision, budget_spent, budgets
from proxy.ledger.spent import upsert
from proxy.sections import BudgetSection

# PostgreSQL's lock for what budgets there are: "budgets" in ASCII. Not a row's, whose holders may keep one who waits
# for all of them waiting for ever; here who comes after him waits for him.
_LOCK = 0x62756467657473


def revision(connection: Connection, *, hold: bool = False) -> int:
    """Give the number of the last change; who holds it lets nobody change a budget until his transaction ends."""
    if hold and connection.dialect.name != "sqlite":  # a writer there is alone
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock_shared(_LOCK)))
    return connection.scalar(sa.select(budget_revision.c.revision)) or 0


def hold_all(connection: Connection) -> None:
    """Wait for those who are writing rows of calls, and let nobody else write or change until the transaction ends."""
    if connection.dialect.name != "sqlite":
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))


def in_use(connection: Connection) -> Sequence[Mapping[Any, Any]]:
    """Give the rows of the budgets in use, by name."""
    c = budgets.c
    return connection.execute(sa.select(budgets).where(c.archived_at.is_(None)).order_by(c.name)).mappings().all()


def row_of(connection: Connection, name: str) -> Mapping[Any, Any] | None:
    """Give the row of one budget, be it put away."""
    if "\0" in name:  # which PostgreSQL takes for a mistake
        return None
    return connection.execute(sa.select(budgets).where(budgets.c.name == name)).mappings().one_or_none()


def section_in(row: Mapping[Any, Any]) -> BudgetSection:
    """Read a row as the configuration would say it."""
    return BudgetSection(
        name=row["name"],
        team=row["team"],
        project=row["project"],
        user=row["user"],
        key=row["key_id"],
        unit=row["unit"],
        limit=float(row["amount"]),
        window=row["period"],
        tz=row["tz"],
        mode=row["mode"],
        thresholds=tuple(row["thresholds"]),
    )


def budget_in(row: Mapping[Any, Any]) -> Budget:
    """Read a row; raises :class:`ConfigError` where this machine does not know its time zone."""
    return budget_of(section_in(row))


def put(
    connection: Connection,
    budget: Budget,
    *,
    before: Mapping[Any, Any] | None,
    number: int,
    at: datetime,
    holder: str | None = None,
    file: str | None = None,
) -> None:
    """Write a budget, as the change of a number; one that was not in use is counted from the calls there are.

    ``holder`` and ``file`` say whose configuration has it; without them it is managed by command and API.
    """
    values = {
        "measure": budget.measure,
        "team": budget.team,
        "project": budget.project,
        "user": budget.user,
        "key_id": budget.key,
        "unit": budget.unit,
        "amount": shown(budget.limit, budget.unit),
        "period": None if budget.window is None else budget.window.text,
        "tz": "UTC" if budget.window is None else str(budget.window.zone),
        "mode": "hard" if budget.hard else "soft",
        "thresholds": list(budget.thresholds),
        "managed_by": "api" if holder is None else "configuration",
        "archived_at": None,
        "holder": holder,
        "file": file,
    }
    if before is None or before["archived_at"] is not None or before["measure"] != budget.measure:
        # Nobody has added to it meanwhile, and what was leased was of something else.
        connection.execute(sa.delete(budget_spent).where(budget_spent.c.measure == budget.measure))
        connection.execute(sa.delete(budget_leases).where(budget_leases.c.name == budget.name))
    insert = upsert(connection, budgets).values(name=budget.name, created_at=at, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=("name",), set_=values))
    _changed(connection, number)


def put_away(connection: Connection, name: str, *, number: int, at: datetime) -> None:
    """End a budget's use, as the change of a number; what calls have used stays with the calls."""
    connection.execute(sa.update(budgets).where(budgets.c.name == name).values(archived_at=at, holder=None, file=None))
    connection.execute(sa.delete(budget_leases).where(budget_leases.c.name == name))
    _changed(connection, number)


def _changed(connection: Connection, number: int) -> None:
    connection.execute(sa.update(budget_revision).values(revision=number))
