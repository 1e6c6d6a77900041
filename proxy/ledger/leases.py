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
class Sharer:
    """A machine that has had calls for a budget of late."""

    holder: str
    wanting: bool  # it has some now
    needed: int  # what it must have at once to answer those that it has refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a budget stands for one machine; in steps."""

    free: int  # of the limit, neither used nor held by others; below zero: overshot
    others: Sequence[Sharer]


def standing(connection: Connection, budget: Budget, holder: str, spent: int) -> Standing:
    """Look at a locked budget; leases that have expired go."""
    c, now = budget_leases.c, _now(connection)
    connection.execute(sa.delete(budget_leases).where(c.name == budget.name, c.holder != holder, c.expires_at <= now))
    select = sa.select(c.holder, c.amount, c.wanting, c.needed).where(c.name == budget.name, c.holder != holder)
    others = connection.execute(select).all()
    return Standing(
        free=budget.limit - spent - sum(other.amount for other in others),
        others=[Sharer(holder=other.holder, wanting=other.wanting, needed=other.needed) for other in others],
    )


def share(left: int, found: Standing, own: Sharer, *, exposed: int) -> int:
    """Say how much a machine takes of what is ``left``: alone all of it, among others its part.

    It never takes less than its calls are exposed to, as far as there is so much.
    """
    return max(min(max(_part(max(left, 0), own, found.others), exposed), found.free), 0)


def _part(left: int, own: Sharer, others: Sequence[Sharer]) -> int:
    """Give a machine's part, as each of them reckons it: equal ones, as long as they are of use to all.

    Where one needs more than that at once, who has no calls now has nothing; where that is still too little, the first
    by name of those for whom there is enough has it, and so on with the rest: else all would hold what is too little
    for any call.
    """
    sharing = sorted((own, *others), key=lambda each: each.holder)
    while True:
        equal = left // len(sharing)
        first = next((each for each in sharing if equal < each.needed <= left), None)
        if first is None:
            return equal
        wanting = [each for each in sharing if each.wanting]
        if own not in wanting:
            return 0
        if len(wanting) < len(sharing):
            sharing = wanting
        elif first is own:
            return own.needed
        else:
            sharing.remove(first)
            left -= first.needed


def wanted_by_others(connection: Connection, holder: str, names: Sequence[str]) -> set[str]:
    """Tell of which budgets another machine has calls."""
    c = budget_leases.c
    found = sa.select(c.name).where(c.name.in_(names), c.holder != holder, c.wanting).distinct()
    return set(connection.scalars(found))


def take(connection: Connection, budget: Budget, holder: str, amount: int, *, wanting: bool, needed: int) -> None:
    """Write a machine's lease down."""
    until = _now(connection) + timedelta(seconds=LEASE_S)
    values = {"amount": amount, "wanting": wanting, "needed": needed, "expires_at": until}
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
