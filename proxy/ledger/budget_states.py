"""How the budgets of a ledger stand: read from it, nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from proxy.budgets.budget import Budget, budget_of
from proxy.budgets.units import plain, shown
from proxy.errors import ConfigError
from proxy.ledger.budget_rows import section_in
from proxy.ledger.budget_tables import budget_crossings, budgets
from proxy.ledger.spent import used_in_window
from proxy.sections import BudgetSection

State = Literal["ok", "near", "used_up"]


class BudgetShown(msgspec.Struct, frozen=True, kw_only=True):
    """A budget and how it stands; amounts are in its unit, exact."""

    name: str
    team: str | None
    project: str | None
    user: str | None
    key: str | None
    unit: str
    limit: Decimal
    window: str | None
    tz: str
    mode: str
    thresholds: tuple[float, ...]
    managed_by: str
    file: str | None  # of the configuration that has it, by machine and path; it is changed there
    state: State | None  # near: beyond its first threshold; None: concurrent requests, or a time zone nobody knows here
    used: Decimal | None
    left: Decimal | None  # 0 where more is used than there is
    used_ratio: float | None
    unknown_calls: int | None  # in the window, whose part nobody knows: used is at least so much
    window_began: datetime | None  # of a rolling window its oldest bucket that counts
    window_ends: datetime | None  # None: of a rolling window, which has no end
    forecast: Decimal | None  # at the window's end, at its pace so far; None: of a rolling window


_STANDING = ("state", "used", "left", "used_ratio", "unknown_calls", "window_began", "window_ends", "forecast")


class Crossing(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold that was passed."""

    budget: str
    bucket: datetime  # where the window began; of a rolling window the day
    threshold: float
    at: datetime
    used: Decimal
    limit: Decimal
    unit: str
    window: str | None


def states(connection: Connection, now: datetime, names: Sequence[str] = ()) -> list[BudgetShown]:
    """Give the budgets in use, or those named, by name."""
    c = budgets.c
    wanted = (c.archived_at.is_(None), *((c.name.in_(names),) if names else ()))
    found = connection.execute(sa.select(budgets).where(*wanted).order_by(c.name)).mappings().all()
    return [_state(connection, row, now) for row in found]


def crossings(connection: Connection, since: datetime) -> list[Crossing]:
    """Give the thresholds that were noticed to be passed since then, the oldest first."""
    c, b = budget_crossings.c, budgets.c
    columns = (c.name, c.bucket, c.threshold, c.at, c.used, b.amount, b.unit, b.period)
    found = connection.execute(
        sa.select(*columns).join(budgets, b.name == c.name).where(c.at >= since).order_by(c.at, c.name, c.threshold)
    )
    return [
        Crossing(
            budget=row.name,
            bucket=datetime.fromtimestamp(row.bucket, UTC),
            threshold=row.threshold,
            at=row.at,
            used=shown(row.used, row.unit),
            limit=plain(row.amount),
            unit=row.unit,
            window=row.period,
        )
        for row in found
    ]


def _state(connection: Connection, row: Mapping[Any, Any], now: datetime) -> BudgetShown:
    section = section_in(row)
    return BudgetShown(
        name=section.name,
        team=section.team,
        project=section.project,
        user=section.user,
        key=section.key,
        unit=section.unit,
        limit=plain(row["amount"]),
        window=section.window,
        tz=row["tz"],
        mode=section.mode,
        thresholds=section.thresholds,
        managed_by=row["managed_by"],
        file=row["file"],
        **_standing(connection, section, now),
    )


def _standing(connection: Connection, section: BudgetSection, now: datetime) -> dict[str, Any]:
    """Give what is used and left in the window of now; all of it is None where nobody here can say that."""
    try:
        budget = budget_of(section)
    except ConfigError:  # a time zone that this machine does not have, as `budgets_unkept` says
        return dict.fromkeys(_STANDING)
    window, at = budget.window, now.timestamp()
    if window is None:
        return dict.fromkeys(_STANDING)
    used, unknown = used_in_window(connection, budget, at)
    began = window.first(at)
    ends = window.ends(at) if window.length_s is None else None
    forecast = round(used * (ends - began) / (at - began)) if ends is not None and at > began else None
    return {
        "state": _judged(budget, used),
        "used": shown(used, budget.unit),
        "left": shown(max(budget.limit - used, 0), budget.unit),
        "used_ratio": used / budget.limit,
        "unknown_calls": unknown,
        "window_began": datetime.fromtimestamp(began, UTC),
        "window_ends": None if ends is None else datetime.fromtimestamp(ends, UTC),
        "forecast": None if forecast is None else shown(forecast, budget.unit),
    }


def _judged(budget: Budget, used: int) -> State:
    if used >= budget.limit:
        return "used_up"
    return "near" if budget.thresholds and used >= budget.thresholds[0] * budget.limit else "ok"
