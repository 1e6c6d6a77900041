"""What is used of budgets, kept in the transaction that writes the rows, so that a call counts in it exactly once.

A bucket that nobody has asked for yet is summed up from the ledger's calls, those of the same transaction included. Who
adds or sums up has locked the budget first: machines that share a ledger wait for each other here, in one order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from estimator.units import JOULES_PER_KWH
from proxy.budgets.budget import Budget, Budgets
from proxy.budgets.units import Unit, recorded, steps_of, steps_per
from proxy.budgets.windows import DAY_S, FINE_S, MINUTE_S, Window
from proxy.errors import RowsGoneError
from proxy.ledger.budget_tables import budget_spent, budgets
from proxy.ledger.read import Totals, splits
from proxy.ledger.tables import CallRow, calls

SUMMED_UP = 0  # the bucket that says that a rolling window's were
KEPT_S = {"minute": 2 * DAY_S, "hour": 60 * DAY_S}  # of buckets that are over; of the others KEPT_LONG_S
KEPT_LONG_S = 800 * DAY_S
KEPT_BEYOND_S = 2 * DAY_S  # of buckets that a rolling window has left behind
_SCOPE = {"team": calls.c.team, "project": calls.c.project, "user": calls.c.user, "key": calls.c.key_id}
_FIGURES = {
    "usd": ("cost_usd", "unpriced_calls"),
    "tokens": ("input_tokens", "output_tokens"),
    "kwh": ("joules", "energy_unknown_calls"),
    "gco2e": ("grams_co2e", "carbon_unknown_calls"),
    "liters": ("liters", "water_unknown_calls"),
}


def upsert(connection: Connection, table: sa.Table) -> Any:
    """Make an insert that can say what to do where the row is there."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def lock(connection: Connection, names: Collection[str]) -> None:
    """Let nobody else change what is used or leased of these until the transaction ends."""
    if connection.dialect.name != "sqlite":  # a writer there is alone
        c = budgets.c.name
        connection.execute(sa.select(c).where(c.in_(sorted(names))).order_by(c).with_for_update()).all()


class Spent:
    """Adds up what calls use; one for each writer of a ledger."""

    def __init__(self) -> None:
        self.definitions = Budgets(())  # the budgets there are, as the transaction under way knows them

    def add(self, connection: Connection, rows: Sequence[CallRow], now: float) -> dict[str, int]:
        """Add rows that were just written; gives what was added of each budget that may be used up, in steps."""
        found: dict[str, dict[int, list[int]]] = {}
        by_name: dict[str, tuple[Budget, Window]] = {}
        for row in rows:
            for budget in self.definitions.of(row.team, row.project, row.user, row.key_id):
                if budget.window is None:
                    continue
                steps, unknown = recorded(row, budget.unit)
                by_name[budget.name] = budget, budget.window
                bucket = budget.window.bucket(row.started_at.timestamp())
                sums = found.setdefault(budget.name, {}).setdefault(bucket, [0, 0])
                sums[0] += steps
                sums[1] += int(unknown)
        if not found:
            return {}
        lock(connection, found)
        for name in sorted(found):
            budget, window = by_name[name]
            self._add(connection, budget, window, found[name], now)
        return {name: sum(steps for steps, _ in buckets.values()) for name, buckets in found.items()}

    def total(self, connection: Connection, budget: Budget, now: float) -> tuple[int, int]:
        """Give what is used in the window of now, in steps, and how many calls are in it whose part nobody knows.

        The budget is locked.
        """
        if budget.window is None:
            return 0, 0
        first = budget.window.first(now)
        if budget.window.length_s is not None:
            self._complete(connection, budget, budget.window, now)
        c = budget_spent.c
        select = sa.select(sa.func.sum(c.amount), sa.func.sum(c.unknown_calls), sa.func.count())
        amount, unknown, there = connection.execute(select.where(c.measure == budget.measure, c.bucket >= first)).one()
        if budget.window.length_s is None and not there:
            return self._sum_up(connection, budget, budget.window, first)
        return int(amount or 0), int(unknown or 0)

    def drop(self, connection: Connection) -> None:
        """Forget what is used of all budgets, which are locked: it is summed up anew when it is asked for."""
        measures = [budget.measure for budget in self.definitions.all]
        connection.execute(sa.delete(budget_spent).where(budget_spent.c.measure.in_(measures)))

    def _add(
        self,
        connection: Connection,
        budget: Budget,
        window: Window,
        sums: Mapping[int, Sequence[int]],
        now: float,
    ) -> None:
        if window.length_s is not None and self._complete(connection, budget, window, now):
            return  # the sums of now have these rows
        c = budget_spent.c
        for bucket, (steps, unknown) in sorted(sums.items()):
            there = connection.execute(
                sa.update(budget_spent)
                .where(c.measure == budget.measure, c.bucket == bucket)
                .values(amount=c.amount + steps, unknown_calls=c.unknown_calls + unknown)
            ).rowcount
            if there or bucket < window.first(now):  # of a window that is over nobody asks any more
                continue
            if window.length_s is None:
                self._sum_up(connection, budget, window, bucket)
            else:
                self._write(connection, budget, bucket, steps, unknown)
                self._forget(connection, budget, window, bucket)

    def _complete(self, connection: Connection, budget: Budget, window: Window, now: float) -> bool:
        """Sum up all buckets of a rolling window that nobody has asked for before; tells whether that was now."""
        c = budget_spent.c
        if connection.scalar(sa.select(c.bucket).where(c.measure == budget.measure, c.bucket == SUMMED_UP)) is not None:
            return False
        for bucket, (steps, unknown) in _rolling(connection, budget, window, now).items():
            if steps or unknown:
                self._write(connection, budget, bucket, steps, unknown)
        self._write(connection, budget, SUMMED_UP, 0, 0)
        return True

    def _sum_up(self, connection: Connection, budget: Budget, window: Window, bucket: int) -> tuple[int, int]:
        steps, unknown = summed_up(connection, budget, *window.period(bucket))
        self._write(connection, budget, bucket, steps, unknown)
        self._forget(connection, budget, window, bucket)
        return steps, unknown

    def _forget(self, connection: Connection, budget: Budget, window: Window, latest: int) -> None:
        """Delete the buckets that nobody asks for any more."""
        kept_s = KEPT_S.get(window.text, KEPT_LONG_S) if window.length_s is None else window.length_s + KEPT_BEYOND_S
        c = budget_spent.c
        over = (c.bucket > SUMMED_UP, c.bucket < latest - kept_s)
        connection.execute(sa.delete(budget_spent).where(c.measure == budget.measure, *over))

    def _write(self, connection: Connection, budget: Budget, bucket: int, steps: int, unknown: int) -> None:
        connection.execute(
            sa.insert(budget_spent).values(measure=budget.measure, bucket=bucket, amount=steps, unknown_calls=unknown)
        )


def used_in_window(connection: Connection, budget: Budget, now: float) -> tuple[int, int]:
    """Give what :meth:`Spent.total` gives, as far as it is known now, and change nothing."""
    window, c = budget.window, budget_spent.c
    if window is None:
        return 0, 0
    first = window.first(now)
    needed = c.bucket == (first if window.length_s is None else SUMMED_UP)
    if connection.scalar(sa.select(sa.func.count()).where(c.measure == budget.measure, needed)) == 0:
        return summed_up(connection, budget, first, window.period(now)[1])  # nobody has asked for it yet
    select = sa.select(sa.func.sum(c.amount), sa.func.sum(c.unknown_calls))
    amount, unknown = connection.execute(select.where(c.measure == budget.measure, c.bucket >= first)).one()
    return int(amount or 0), int(unknown or 0)


def _rolling(connection: Connection, budget: Budget, window: Window, now: float) -> Mapping[int, tuple[int, int]]:
    """Sum up a rolling window by its buckets: those of hours in one question, where there are sums of them."""
    first, end = window.first(now), window.period(now)[1]
    if window.bucket_s == MINUTE_S or budget.unit == "requests":
        buckets = range(first, end, window.bucket_s)
        return {bucket: summed_up(connection, budget, *window.period(bucket)) for bucket in buckets}
    hours = _sums(connection, budget, first, end, by=("hour",))
    return {_begin(str(hour.key[0])): _part_of(hour, budget.unit) for hour in hours}


def _begin(hour: str) -> int:
    """Read an hour as sums name it."""
    return int(datetime.strptime(hour, "%Y-%m-%d %H:%M%z").timestamp())


def summed_up(connection: Connection, budget: Budget, start: int, end: int) -> tuple[int, int]:
    """Sum up a budget's calls in [start, end) from what the ledger has: steps, and calls whose part is not known."""
    if budget.unit != "requests" and end - start > FINE_S:
        (total,) = _sums(connection, budget, start, end)
        return _part_of(total, budget.unit)
    return _from_rows(connection, budget, start, end)


def _sums(connection: Connection, budget: Budget, start: int, end: int, *, by: Sequence[str] = ()) -> Sequence[Totals]:
    asked = partial(
        splits,
        connection,
        (by,),
        start=datetime.fromtimestamp(start, UTC),
        end=datetime.fromtimestamp(end, UTC),
        zone=ZoneInfo("UTC"),
        where={name: getattr(budget, name) for name in _SCOPE if getattr(budget, name) is not None},
        figures=_FIGURES[budget.unit],
        bands=(),
    )
    try:
        (found,) = asked()
    except RowsGoneError:
        (found,) = asked(from_rows=True)  # what is left of them must do
    return found


def _part_of(sums: Totals, unit: Unit) -> tuple[int, int]:
    match unit:
        case "usd":
            return steps_of(sums.cost_usd or Decimal(0), unit), sums.unpriced_calls
        case "tokens":
            return (sums.input_tokens or 0) + (sums.output_tokens or 0), 0
        case "kwh":
            figure, unknown = (sums.joules or 0.0) / JOULES_PER_KWH, sums.energy_unknown_calls
        case "gco2e":
            figure, unknown = sums.grams_co2e or 0.0, sums.carbon_unknown_calls
        case _:
            figure, unknown = sums.liters or 0.0, sums.water_unknown_calls
    return round(figure * steps_per(unit)), unknown


def _from_rows(connection: Connection, budget: Budget, start: int, end: int) -> tuple[int, int]:
    begin, stop = datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(end, UTC)
    wanted = [calls.c.started_at >= begin, calls.c.started_at < stop]
    wanted += [column == getattr(budget, name) for name, column in _SCOPE.items() if getattr(budget, name) is not None]
    if budget.unit == "requests":
        once = (calls.c.id == calls.c.operation_id, calls.c.outcome != "rejected")
        return connection.scalar(sa.select(sa.func.count()).select_from(calls).where(*wanted, *once)) or 0, 0
    names = ("id", "operation_id", "outcome", "reason", "input_tokens", "output_tokens", "joules", "grams_co2e",
             "liters", "cost_usd")  # fmt: skip
    steps = unknown = 0
    for row in connection.execute(sa.select(*(calls.c[name] for name in names)).where(*wanted)):
        more, missing = recorded(row, budget.unit)
        steps += more
        unknown += missing
    return steps, unknown
