"""What evidence the use of budgets in kWh, grams and liters rests on: that of the days their windows touch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from proxy.budgets.units import ESTIMATED
from proxy.errors import RowsGoneError
from proxy.ledger.budget_states import BudgetShown
from proxy.ledger.evidence import Evidence
from proxy.ledger.read import Totals, splits

_SCOPES = ("team", "project", "user", "key")


def shares_of(
    connection: Connection, budgets: Sequence[BudgetShown], evidence: Evidence, now: datetime
) -> dict[str, Mapping[str, float]]:
    """Give the share of each tier in the joules of each such budget's calls, by its name; of sums alone."""
    alike: dict[datetime, list[BudgetShown]] = {}
    for each in budgets:
        if each.unit in ESTIMATED and each.window_began is not None:
            alike.setdefault(_day(each.window_began), []).append(each)
    found: dict[str, Mapping[str, float]] = {}
    for start, some in alike.items():
        by = tuple(scope for scope in _SCOPES if any(getattr(each, scope) is not None for each in some))
        try:
            (total,), groups = splits(
                connection, ((), by), start=start, end=_day(now) + timedelta(days=1), zone=ZoneInfo("UTC")
            )
        except RowsGoneError:
            continue
        evidence.read(connection, total)
        for each in some:
            wanted = [(place, scope) for place, name in enumerate(by) if (scope := getattr(each, name)) is not None]
            found[each.name] = evidence.shares(
                _sum([group for group in groups if all(group.key[place] == scope for place, scope in wanted)])
            )
    return found


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _sum(groups: Sequence[Totals]) -> Totals:
    joules: dict[str, float] = {}
    for group in groups:
        for key, more in group.joules_by_estimate_key.items():
            joules[key] = joules.get(key, 0.0) + more
    return Totals(joules_by_estimate_key=joules)
