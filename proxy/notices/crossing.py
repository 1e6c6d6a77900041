"""Finding the budgets that have passed one of their thresholds: who keeps them writes that down."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from sqlalchemy import Connection

from proxy.budgets.units import ESTIMATED
from proxy.ledger.budget_states import crossings, states
from proxy.notices.notice import Notice
from proxy.reports.figures import amount, percent

TOLD_WITHIN = timedelta(days=2)  # what is older is no news to who begins to be told
_SCOPE = ("team", "project", "user", "key")


def passed(connection: Connection, now: datetime) -> Iterator[Notice]:
    """Find the thresholds that were passed lately, the earliest first."""
    found = crossings(connection, now - TOLD_WITHIN)
    known = {each.name: each for each in states(connection, now, [each.budget for each in found])} if found else {}
    for each in found:
        budget = known.get(each.budget)
        if budget is None:  # it is not in use any more
            continue
        scope = {name: getattr(budget, name) for name in _SCOPE if getattr(budget, name) is not None}
        whose = ", ".join(f"{name} {value}" for name, value in scope.items())
        used = amount(each.used, estimated=each.unit in ESTIMATED)
        beyond = "Calls beyond it are refused." if budget.mode == "hard" else "No call is refused."
        yield Notice(
            event="budget",
            subject=each.budget,
            period=f"{each.bucket:%Y-%m-%dT%H:%M}-{each.threshold:g}",
            title=f"Budget {each.budget}: {percent(each.threshold)} used",
            text=f"{used} of {amount(each.limit)} {each.unit} in {each.window}, for {whose}. {beyond}",
            facts={"budget": each.budget, **scope, "unit": each.unit, "limit": f"{each.limit:f}",
                   "used": f"{each.used:f}", "threshold": each.threshold, "window": each.window, "tz": budget.tz,
                   "mode": budget.mode},
        )  # fmt: skip
