"""Finding the budgets that have passed one of their thresholds: who keeps them writes that down."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

import sqlalchemy as sa
from sqlalchemy import Connection

from proxy.budgets.units import shown
from proxy.ledger.budget_tables import budget_crossings, budgets
from proxy.notices.notice import Notice
from proxy.reports import figures

TOLD_WITHIN = timedelta(days=2)  # what is older is no news to who begins to be told
_SCOPE = ("team", "project", "user", "key_id")


def crossings(connection: Connection, now: datetime) -> Iterator[Notice]:
    """Find the thresholds that were passed lately, the earliest first."""
    select = (
        sa.select(budgets, budget_crossings.c.bucket, budget_crossings.c.threshold, budget_crossings.c.used)
        .join(budget_crossings, budget_crossings.c.name == budgets.c.name)
        .where(budget_crossings.c.at > now - TOLD_WITHIN)
        .order_by(budget_crossings.c.at, budget_crossings.c.name, budget_crossings.c.threshold)
    )
    for row in connection.execute(select):
        used, limit = shown(row.used, row.unit), Decimal(row.amount)
        scope = {name: getattr(row, name) for name in _SCOPE if getattr(row, name) is not None}
        whose = ", ".join(f"{name.removesuffix('_id')} {value}" for name, value in scope.items())
        share = figures.percent(row.threshold)
        mode = "Calls beyond it are refused." if row.mode == "hard" else "No call is refused."
        yield Notice(
            event="budget",
            subject=row.name,
            period=f"{row.bucket}-{row.threshold:g}",
            title=f"Budget {row.name}: {share} used",
            text=(
                f"{figures.digits(float(used))} of {figures.digits(float(limit))} {row.unit} a window of {row.period}, "
                f"for {whose}. {mode}"
            ),
            facts={"budget": row.name, **scope, "unit": row.unit, "limit": f"{limit.normalize():f}",
                   "used": f"{used.normalize():f}", "threshold": row.threshold, "window": row.period, "tz": row.tz,
                   "mode": row.mode},
        )  # fmt: skip
