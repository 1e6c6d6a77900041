"""What is used of budgets, as the ledger keeps it: what its rows say, counted once, in every window."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import msgspec
import pytest
import sqlalchemy as sa

from proxy.budgets.budget import Budget, Budgets, budget_of
from proxy.budgets.exposure import Exposure
from proxy.budgets.keeping import Keeping
from proxy.budgets.units import ESTIMATED
from proxy.ledger.budget_tables import budget_crossings, budget_leases, budget_spent, budgets
from proxy.ledger.tables import call_rows
from proxy.ledger.write import Ledger, Position
from proxy.sections import BudgetSection
from tests.databases import forbid_updates
from tests.rows import PLAIN, UNPRICED, call_row

NOW = PLAIN.started_at
A_CALL = 750_000_000  # steps of PLAIN's dollars
NS = 1_000_000_000


def made(name: str = "b", **changes: object) -> Budget:
    plain = {"team": "search", "unit": "usd", "limit": 0.00750, "window": "month", "mode": "hard"}
    return budget_of(BudgetSection(name=name, **(plain | changes)))


class Machine:
    """A recorder's part in budgets, with clocks that a test sets."""

    def __init__(
        self,
        engine: sa.Engine,
        *definitions: Budget,
        holder: str = "one",
        now: datetime = NOW,
        file: str = "joulegate.toml",
        slots: int = 100,
    ) -> None:
        self.now = now
        self.elapsed = 1000.0
        self.holder = holder
        self.ledger = Ledger(engine)
        self.exposure = Exposure(1, slots, clock_ns=self._elapsed_ns)
        for slot, each in enumerate(definitions):  # as the start gives them
            self.exposure.claim(slot, each.measure)
        self.keeping = Keeping(
            Budgets(definitions),
            self.exposure,
            self.ledger,
            file=file,
            now=lambda: self.now.timestamp(),
            elapsed_ns=self._elapsed_ns,
        )
        self.ledger.positions(holder)
        self.keeping.begin(holder)

    def _elapsed_ns(self) -> int:
        return int(self.elapsed * NS)

    def record(self, *rows: object) -> None:
        looked = self.keeping.look()
        self.ledger.commit(rows, journal=self.holder, positions={"s": Position(resolved_to=1, read_to=1)}, at=self.now)
        self.keeping.committed()
        self.keeping.recorded(looked)

    def tend(self, after_s: float = 1.0) -> None:
        self.elapsed += after_s
        self.keeping.tend()

    def call(self, slot: int = 0) -> None:
        """Let a gate say that it has a call."""
        self.exposure.want(slot)

    def allowed(self, slot: int = 0) -> int | None:
        return self.exposure.allowed(slot)


def used(engine: sa.Engine) -> dict[int, tuple[int, int]]:
    with engine.connect() as connection:
        found = connection.execute(sa.select(budget_spent).where(budget_spent.c.bucket > 0)).all()
    return {row.bucket: (row.amount, row.unknown_calls) for row in found}


def epoch(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("unit", "amount"),
    [
        ("usd", A_CALL), ("kwh", round(400 / 3.6e6 * 10**12)), ("gco2e", 4 * 10**10), ("liters", 5 * 10**8),
        ("tokens", 150), ("requests", 1),
    ],
)  # fmt: skip
def test_what_rows_use_is_added_once_whether_summed_up_or_added(engine, unit, amount):
    rows = [call_row(id=f"c{n}", operation_id=f"c{n}") for n in range(5)]
    before = Machine(engine)  # a release that knows of no budget
    before.record(*rows[:2])
    after = Machine(engine, made(unit=unit, limit=1000))
    after.record(rows[1], rows[2])  # the first of them is there
    after.record(*rows[3:], call_row(team="ads"))
    after.record(*rows)
    assert used(engine) == {epoch("2026-11-01"): (5 * amount, 0)}


@pytest.mark.parametrize("scope", [{}, {"team": None, "user": "ann"}, {"project": "p"}, {"key": "k"}])
@pytest.mark.parametrize("unit", ["usd", "kwh", "gco2e", "liters", "tokens", "requests"])
@pytest.mark.parametrize("window", ["30d", "month"])
def test_what_is_summed_up_is_what_would_have_been_added_whosever_it_is(engine, window, unit, scope):
    theirs = {"user": "ann", "project": "p", "key_id": "k"}
    hours = [epoch(f"2026-11-{day:02} {hour:02}:00") for day, hour in ((1, 0), (20, 23), (21, 0), (23, 12))]
    rows = [
        call_row(started_at=datetime.fromtimestamp(hour + minutes * 60, UTC), **who)
        for hour in hours
        for minutes in (0, 59)
        for who in (theirs, theirs, {"team": "ads", "user": "eve"})
    ]
    rows = [msgspec.structs.replace(row, operation_id=row.id) for row in rows]
    machine = Machine(engine, made(unit=unit, limit=10**6, window=window, **scope))
    machine.record()
    machine.call()
    machine.tend()
    machine.record(*rows)
    added = used(engine)
    with engine.begin() as connection:
        connection.execute(sa.delete(budget_spent))
    machine.call()
    machine.tend()
    rounded = len(rows) if unit in ESTIMATED else 0  # steps, one for each call
    assert used(engine) == {bucket: pytest.approx(sums, abs=rounded) for bucket, sums in added.items()}
    assert added.keys() == (set(hours) if window == "30d" else {epoch("2026-11-01")})


def test_what_a_rolling_window_has_left_behind_is_deleted(engine):
    machine = Machine(engine, made(window="90m"))
    for day in (23, 24, 26):
        machine.now = datetime(2026, 11, day, 12, tzinfo=UTC)
        machine.record(call_row(started_at=machine.now))
    assert {bucket for bucket, (steps, _) in used(engine).items() if steps} == {
        epoch("2026-11-24 12:00"), epoch("2026-11-26 12:00"),
    }  # fmt: skip


@pytest.mark.parametrize("window", ["minute", "hour", "day", "week", "month", "90m", "24h", "30d"])
def test_a_window_counts_its_calls_and_no_others(engine, window):
    budget = made(window=window, limit=1000)
    first = budget.window.first(NOW.timestamp())
    begins = datetime.fromtimestamp(first, UTC)
    rows = [
        call_row(started_at=begins - timedelta(seconds=1)),
        call_row(started_at=begins),
        call_row(started_at=NOW),
        call_row(started_at=NOW, **UNPRICED),
    ]
    Machine(engine).record(*rows[:2])
    machine = Machine(engine, budget)
    machine.record(*rows[2:])
    machine.call()
    machine.tend()
    assert machine.exposure.used(0) == pytest.approx(2 * A_CALL / budget.limit, abs=1e-6)
    with machine.ledger.transaction() as connection:
        assert machine.keeping._spent.total(connection, budget, NOW.timestamp()) == (2 * A_CALL, 1)


def test_a_machine_alone_has_all_that_is_left(engine):
    machine = Machine(engine, made())
    assert machine.allowed() is None
    machine.call()
    machine.tend()
    assert machine.allowed() is None  # what is in the journals is not recorded yet
    machine.record(call_row())
    machine.tend()
    assert machine.allowed() == 9 * A_CALL
    machine.record(*(call_row() for _ in range(20)))
    assert machine.allowed() == 0
    machine.tend()
    assert machine.allowed() == 0
    assert machine.exposure.left(0) == 0


def test_a_lease_ends_where_nothing_is_heard_of_the_ledger(engine):
    machine = Machine(engine, made())
    machine.record()
    machine.call()
    machine.tend()
    machine.elapsed += 29
    assert machine.allowed() == 10 * A_CALL
    machine.elapsed += 2
    assert machine.allowed() is None


def test_machines_that_have_calls_share_what_is_left(engine):
    one, two = (Machine(engine, made(), holder=holder) for holder in ("one", "two"))
    for machine in (one, two):
        machine.record()
        machine.call()
    one.tend()
    two.tend()
    assert (one.allowed(), two.allowed()) == (10 * A_CALL, 0)
    one.call()
    one.tend()
    two.call()
    two.tend()
    assert (one.allowed(), two.allowed()) == (5 * A_CALL, 5 * A_CALL)
    two.record(*(call_row() for _ in range(2)))
    assert two.allowed() == 3 * A_CALL
    one.tend(5)  # it has no calls any more
    two.call()
    two.tend()
    assert (one.allowed(), two.allowed()) == (4 * A_CALL, 4 * A_CALL)
    two.keeping.end()
    one.call()
    one.tend()
    assert one.allowed() == 8 * A_CALL


def test_machines_without_calls_keep_their_parts_for_the_next_one_until_another_needs_more(engine):
    one, two = (Machine(engine, made(), holder=holder) for holder in ("one", "two"))
    for machine in (one, two):
        machine.record()

    def look(*, wanting: Machine | None = None) -> tuple[int | None, int | None]:
        for _ in range(3):  # who is to have less gives first
            for machine in (one, two):
                if machine is wanting:
                    machine.call()
                machine.tend(0.6)
        return one.allowed(), two.allowed()

    one.call()
    one.tend()
    assert (one.allowed(), two.allowed()) == (10 * A_CALL, None)
    assert look(wanting=two) == (5 * A_CALL, 5 * A_CALL)
    assert look(wanting=one) == (5 * A_CALL, 5 * A_CALL)
    for machine in (one, two):
        machine.elapsed += 10
    assert look() == (5 * A_CALL, 5 * A_CALL)
    one.exposure.need(0, 0, 6 * A_CALL)
    assert look(wanting=one) == (10 * A_CALL, 0)
    one.elapsed += 2  # it is not refused any more
    assert look(wanting=one) == (5 * A_CALL, 5 * A_CALL)


def test_used_and_leased_are_never_more_than_the_limit_and_what_calls_are_exposed_to_is_kept(engine):
    one, two = (Machine(engine, made(), holder=holder) for holder in ("one", "two"))
    for machine in (one, two):
        machine.record()
        machine.call()
    one.tend()
    assert one.exposure.reserve(0, 0, 8 * A_CALL) == 8 * A_CALL
    two.tend()
    one.call()
    one.tend()
    two.call()
    two.tend()
    assert (one.allowed(), two.allowed()) == (8 * A_CALL, 2 * A_CALL)
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.sum(budget_leases.c.amount))) == 10 * A_CALL


def test_of_what_is_too_little_for_all_one_has_enough_for_the_call_that_it_refused(engine):
    machines = [Machine(engine, made(), holder=holder) for holder in ("one", "two", "three")]

    def look(*needed: int) -> list[int | None]:
        for machine, steps in zip(machines, needed, strict=True):
            machine.call()
            if steps:
                machine.exposure.need(0, 0, steps)
        for _ in range(3):  # who is to have less gives first
            for machine in machines:
                machine.tend(0.6)
                machine.call()
        return [machine.allowed() for machine in machines]

    for machine in machines:
        machine.record()
    third = 10 * A_CALL // 3
    assert look(0, 0, 0) == [third] * 3
    assert look(third, 0, 0) == [third] * 3
    assert look(9 * A_CALL, 0, 8 * A_CALL) == [9 * A_CALL, A_CALL // 2, A_CALL // 2]  # one is before three
    for machine in machines:
        machine.elapsed += 2
        machine.call()
    assert look(0, 6 * A_CALL, 4 * A_CALL) == [0, 6 * A_CALL, 4 * A_CALL]
    assert look(0, 11 * A_CALL, 0)[1] != 10 * A_CALL  # which there is not
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.sum(budget_leases.c.amount))) <= 10 * A_CALL


def test_what_a_dead_machine_has_leased_is_free_after_half_a_minute(engine):
    one, two = (Machine(engine, made(), holder=holder) for holder in ("one", "two"))
    for machine in (one, two):
        machine.record()
        machine.call()
    one.tend()
    past = {"expires_at": NOW - timedelta(days=1)}  # of either database's clock
    with engine.begin() as connection:
        connection.execute(sa.update(budget_leases).values(past))
    two.tend()
    assert two.allowed() == 10 * A_CALL


def test_a_recorder_that_takes_over_waits_until_it_has_caught_up(engine):
    machine = Machine(engine, made())
    machine.record()
    machine.call()
    machine.tend()
    machine.keeping.begin("one")  # as after a crash
    machine.call()
    machine.tend()
    assert machine.allowed() is None
    machine.record(call_row())
    machine.tend()
    assert machine.allowed() == 9 * A_CALL


def test_thresholds_are_noted_once_in_each_window(engine):
    machine = Machine(engine, made(mode="soft", thresholds=(0.5, 0.9)))
    for calls in (4, 2, 3, 1):
        machine.record(*(call_row() for _ in range(calls)))
        machine.call()
        machine.tend()
    with engine.connect() as connection:
        found = connection.execute(sa.select(budget_crossings).order_by(budget_crossings.c.threshold)).all()
    assert [(row.threshold, row.used, row.bucket) for row in found] == [
        (0.5, 6 * A_CALL, epoch("2026-11-01")), (0.9, 9 * A_CALL, epoch("2026-11-01")),
    ]  # fmt: skip
    assert machine.allowed() is None


def test_rows_are_written_also_where_what_they_use_cannot_be_and_it_is_made_up_for(engine):
    machine = Machine(engine, made(limit=1000))
    machine.record(call_row())
    forbid_updates(engine, "budget_spent")
    machine.record(call_row(), call_row())
    assert used(engine) == {}
    with engine.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(call_rows)) == 3
    machine.record(call_row())
    assert used(engine) == {epoch("2026-11-01"): (4 * A_CALL, 0)}


def test_the_next_window_begins_with_nothing(engine):
    machine = Machine(engine, made())
    machine.record(*(call_row() for _ in range(10)))
    machine.call()
    machine.tend()
    assert machine.allowed() == 0
    machine.now = datetime(2026, 12, 1, tzinfo=UTC)
    machine.tend(0.06)
    assert machine.allowed() is not None
    machine.tend(0.6)
    assert machine.allowed() == 10 * A_CALL
    machine.record(call_row())  # of November: that is over
    machine.tend()
    assert machine.exposure.used(0) == 0


def test_the_ledger_says_what_the_configuration_had(engine):
    Machine(engine, made("kept"), made("gone", unit="kwh", window="30d", tz="Europe/Berlin"))
    Machine(engine, made("kept", limit=7.0))
    with engine.connect() as connection:
        found = {row.name: row for row in connection.execute(sa.select(budgets))}
    assert (found["kept"].amount, found["kept"].archived_at) == (Decimal(7), None)
    assert (found["gone"].unit, found["gone"].period, found["gone"].tz) == ("kwh", "30d", "Europe/Berlin")
    assert found["gone"].archived_at == NOW
