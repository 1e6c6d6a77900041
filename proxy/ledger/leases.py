"""Who may use how much of what is left of a budget before the ledger knows of it.

Kept under the budget's lock: what is used and what all machines hold is together no more than the limit. What a
machine's calls have used is taken off its lease in the transaction that adds it to what is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from proxy.budgets.budget import Budget
from proxy.ledger.budget_tables import budget_leases
from proxy.ledger.spent import upsert

LEASE_S = 30.0  # how long a machine that says nothing any more keeps others from what it holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a budget stands for one machine; in steps."""

    free: int  # of the limit, neither used nor held by others; below zero: overshot
    holders: int  # others that hold it
    wanting: int  # others that have calls for it


def standing(connection: Connection, budget: Budget, holder: str, spent: int) -> Standing:
    """Look at a locked budget; leases that have expired go."""
    c, now = budget_leases.c, _now(connection)
    connection.execute(sa.delete(budget_leases).where(c.name == budget.name, c.holder != holder, c.expires_at <= now))
    others = connection.execute(sa.select(c.amount, c.wanting).where(c.name == budget.name, c.holder != holder)).all()
    return Standing(
        free=budget.limit - spent - sum(amount for amount, _ in others),
        holders=len(others),
        wanting=sum(wanting for _, wanting in others),
    )


def share(budget: Budget, spent: int, found: Standing, *, wanting: bool, exposed: int) -> int:
    """Say how much a machine takes: alone all that is left, among others that have calls its part, idle nothing.

    It never takes less than its calls are exposed to, as far as there is so much.
    """
    left = max(budget.limit - spent, 0)
    part = 0 if found.holders and not wanting else left // (1 + found.wanting)
    return max(min(max(part, exposed), found.free), 0)


def wanted_by_others(connection: Connection, holder: str, names: Sequence[str]) -> set[str]:
    """Tell of which budgets another machine has calls."""
    c = budget_leases.c
    found = sa.select(c.name).where(c.name.in_(names), c.holder != holder, c.wanting).distinct()
    return set(connection.scalars(found))


def take(connection: Connection, budget: Budget, holder: str, amount: int, *, wanting: bool) -> None:
    """Write a machine's lease down."""
    until = _now(connection) + timedelta(seconds=LEASE_S)
    values = {"amount": amount, "wanting": wanting, "expires_at": until}
    insert = upsert(connection, budget_leases).values(name=budget.name, holder=holder, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=("name", "holder"), set_=values))


def cut(connection: Connection, name: str, holder: str, steps: int) -> None:
    """Take off a machine's lease what its calls have used."""
    c = budget_leases.c
    # Written out for both databases: the greatest of two has another name in each.
    less = sa.case((c.amount > steps, c.amount - steps), else_=0)
    connection.execute(sa.update(budget_leases).where(c.name == name, c.holder == holder).values(amount=less))


def give_back(connection: Connection, holder: str) -> None:
    """Drop all that a machine holds."""
    connection.execute(sa.delete(budget_leases).where(budget_leases.c.holder == holder))


def _now(connection: Connection) -> datetime:
    """Give the time, by the clock that all machines share where they share a server."""
    if connection.dialect.name == "sqlite":
        return datetime.now(UTC)
    found: datetime = connection.execute(sa.select(sa.func.clock_timestamp())).scalar_one()
    return found
