"""Budgets made, changed and taken out of use at run time, and what they count meanwhile."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest
import sqlalchemy as sa

from proxy.budgets.budget import Budgets
from proxy.directory import budgets, keys, teams
from proxy.directory.log import page
from proxy.errors import DirectoryError
from proxy.ledger.budget_states import states
from proxy.ledger.budget_tables import budget_leases, budget_spent
from proxy.ledger.budget_tables import budgets as table
from tests.budgets.test_spent import A_CALL, NOW, Machine, made
from tests.directory.asking import issue, make_team
from tests.rows import call_row

ADA = {"actor": "cli:ada", "at": NOW}


def add(engine: sa.Engine, **said: object) -> None:
    plain = {"name": "b", "team": "search", "unit": "usd", "limit": 0.0075, "window": "month", "mode": "hard"}
    budgets.add(engine, budgets.wanted(plain | said), **ADA)


def change(engine: sa.Engine, name: str = "b", **said: object) -> None:
    budgets.change(engine, name, msgspec.convert(said, budgets.BudgetChange), **ADA)


def wrong(doing, *arguments: object, **said: object) -> tuple[str, str, str]:
    with pytest.raises(DirectoryError) as error:
        doing(*arguments, **said)
    return error.value.why, error.value.field, str(error.value)


@pytest.fixture
def search(engine: sa.Engine) -> sa.Engine:
    make_team(engine)
    return engine


def test_each_change_is_noted_with_who_and_what(search):
    add(search)
    change(search, limit=1.5, mode="soft", thresholds=(0.9, 0.5))
    change(search, limit=1.5)  # as it is
    budgets.remove(search, "b", **ADA)
    add(search, limit=2.0)
    with search.connect() as connection:
        noted = [each for each in page(connection, subject="b", limit=10)[0] if each.kind == "budget"]
        (now,) = states(connection, NOW)
    assert [(each.action, each.actor) for each in reversed(noted)] == [
        (what, "cli:ada") for what in ("add", "change", "remove", "restore")
    ]
    assert [(each.after or {}).get("limit") for each in reversed(noted)] == [0.0075, 1.5, None, 2.0]
    assert noted[2].after["thresholds"] == [0.5, 0.9]
    assert (now.limit, now.mode, now.managed_by) == (Decimal(2), "hard", "api")


def test_what_is_wrong_is_said_with_its_field(search):
    key = issue(search, id="ci").key.id
    issue(search, id="old")
    keys.revoke(search, "old", **ADA)
    teams.add(search, "gone", **ADA)
    teams.archive(search, "gone", **ADA)
    add(search)
    for said, field in (
        ({}, "name"), ({"name": "<b>"}, "name"), ({"name": "b\n"}, "name"), ({"name": "x" * 65}, "name"),
        ({"limit": 0}, "limit"), ({"limit": -1}, "limit"), ({"limit": 1e-13}, "limit"), ({"limit": 1e12}, "limit"),
        ({"limit": float("nan")}, "limit"), ({"limit": float("inf")}, "limit"), ({"limit": "much"}, "limit"),
        ({"unit": "eur"}, "unit"), ({"window": "fortnight"}, "window"), ({"window": None}, "window"),
        ({"tz": "Mars/Olympus"}, "tz"), ({"mode": "firm"}, "mode"), ({"thresholds": [0]}, "thresholds"),
        ({"unit": "concurrent_requests"}, "window"),
        ({"unit": "concurrent_requests", "window": None, "mode": "soft"}, "mode"),
        ({"team": None}, "team"), ({"team": "serach"}, "team"), ({"team": "gone"}, "team"), ({"team": "\0"}, "team"),
        ({"key": "nobody"}, "key"), ({"key": "old"}, "key"), ({"key": "\0"}, "key"),
        ({"team": "other", "key": key}, "team"),
        ({"project": "atlas"}, "project"), ({"project": "a\nb"}, "project"), ({"user": " ann"}, "user"),
        ({"colour": "red"}, "colour"),
    ):  # fmt: skip
        _, found, message = wrong(add, search, **({} if said == {} else {"name": "n"} | said))
        assert (found, said) == (field, said), message
        assert "\n" not in message
    add(search, name="by-key", team=None, key=key)
    add(search, name="to-come", project="atlas", unseen=True)
    for doing, said in ((change, {"limit": 1}), (budgets.remove, ADA)):
        assert wrong(doing, search, "none", **said)[:2] == ("missing", "name")
    assert wrong(change, search)[1] == "body"
    assert wrong(change, search, limit=0)[1] == "limit"
    assert wrong(change, search, window=None)[1] == "window"


@pytest.mark.parametrize("text", ["", "much", "1,000", "5 USD", "nan", "sNaN", "inf", "-Infinity", "1e999"])
def test_a_number_that_people_write_is_one(text):
    with pytest.raises(DirectoryError, match=r"threshold = .*: give a number, such as 500 or 0\.25"):
        budgets.number(text, "threshold")
    assert budgets.number(" 0.250", "limit") == Decimal("0.25")


def test_what_the_configuration_says_is_changed_there_alone(search):
    Machine(search, made("conf"), file="/etc/joulegate.toml on gate-1")
    for doing, said in ((change, {"limit": 1.0}), (budgets.remove, ADA)):
        why, _, message = wrong(doing, search, "conf", **said)
        assert why == "conflict"
        assert "/etc/joulegate.toml on gate-1" in message
    add(search, name="mine")
    Machine(search, made("mine", limit=7.0), made("conf"), file="/etc/joulegate.toml on gate-1")
    assert wrong(change, search, "mine", limit=1.0)[0] == "conflict"
    with search.connect() as connection:
        assert [each.action for each in page(connection, subject="mine", limit=5)[0]] == ["take over", "add"]
        assert page(connection, subject="conf", limit=5)[0][0].actor == "configuration"


def test_a_machine_lets_be_what_another_machines_file_has(search):
    Machine(search, made("conf"), holder="one")
    add(search, name="made")
    Machine(search, holder="two")
    Machine(search, holder="one", file="another")
    with search.connect() as connection:
        assert [each.name for each in states(connection, NOW)] == ["made"]


def test_a_budget_that_comes_while_calls_are_recorded_counts_each_of_them_once(search):
    one, two = (Machine(search, holder=holder) for holder in ("one", "two"))
    for machine in (one, two):
        machine.record(*(call_row() for _ in range(2)))
    add(search)
    for machine in (one, two):
        machine.record(call_row())
    with search.connect() as connection:
        assert states(connection, NOW)[0].used == 6 * Decimal("0.00075")
    one.keeping.outdate()
    one.tend()
    slot = one.exposure.places()[made("b").measure]
    assert one.allowed(slot) == 4 * A_CALL  # before a gate hears of it


def test_a_change_waits_for_rows_that_are_being_written(search):
    machine = Machine(search)
    adding = threading.Thread(target=add, args=(search,))

    def meanwhile(connection: sa.Connection, rows: object) -> None:
        machine.keeping.add(connection, rows)
        adding.start()
        adding.join(0.3)
        assert adding.is_alive()

    machine.ledger.beside_rows = meanwhile
    machine.record(call_row())
    adding.join()
    with search.connect() as connection:
        assert states(connection, NOW)[0].used == Decimal("0.00075")


def test_a_budget_that_was_away_counts_what_came_meanwhile(search):
    machine = Machine(search)
    add(search)
    machine.record(call_row())
    budgets.remove(search, "b", **ADA)
    machine.record(call_row(), call_row())
    add(search)
    machine.record(call_row())
    with search.connect() as connection:
        assert states(connection, NOW)[0].used == 4 * Decimal("0.00075")
    budgets.remove(search, "b", **ADA)
    with search.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(budget_leases)) == 0
        assert connection.scalar(sa.select(table.c.archived_at)) == NOW


def test_another_limit_holds_at_the_next_look_and_another_window_counts_anew(search):
    machine = Machine(search)
    add(search)
    machine.keeping.outdate()
    machine.record(call_row())
    machine.tend()
    slot = machine.exposure.places()[made("b").measure]
    assert machine.allowed(slot) == 9 * A_CALL
    change(search, limit=0.00375)
    machine.keeping.outdate()
    machine.tend(0.1)
    assert machine.allowed(slot) == 4 * A_CALL
    change(search, window="30d")
    machine.keeping.outdate()
    machine.tend(0.1)
    assert list(machine.exposure.places()) == [made("b", window="30d").measure]
    (another,) = machine.exposure.places().values()
    assert (another, machine.allowed(another)) == (slot + 1, 4 * A_CALL)
    with search.connect() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(budget_spent)) > 1


def test_a_slot_is_given_again_when_nothing_is_open_in_it_and_all_gates_know(search):
    machine = Machine(search, slots=2)
    add(search, name="first")
    machine.keeping.outdate()
    machine.record()
    machine.tend()
    machine.exposure.reserve(0, 0, 5)
    budgets.remove(search, "first", **ADA)
    for name in ("second", "third"):
        add(search, name=name)
    machine.keeping.outdate()
    machine.tend()
    assert machine.exposure.places() == {made("second").measure: 1}
    assert "third" in " ".join(machine.keeping.problems)
    machine.exposure.see(0, 2**40)  # the gate knows that it is gone, and a call goes on
    machine.tend()
    assert len(machine.exposure.places()) == 1
    machine.exposure.close(0, 0, 5)
    machine.exposure.release(0, 0, 5)
    machine.tend()
    assert machine.exposure.places() == {made("second").measure: 1, made("third").measure: 0}
    assert machine.exposure.exposed(0) == 0
    assert not machine.keeping.problems


def test_there_are_no_more_than_there_is_room_for(search, monkeypatch):
    monkeypatch.setattr(budgets, "MOST", 2)
    add(search, name="one")
    add(search, name="two")
    assert "as many as there is room for" in wrong(add, search, name="three")[2]
    with search.begin() as connection:
        refused = budgets.take_over(
            connection, Budgets([replace(made(name), limit=1) for name in ("two", "four")]).all,
            holder="one", file="f", at=NOW + timedelta(hours=1),
        )  # fmt: skip
    assert refused == ["four"]
    machine = Machine(search, made("two"), made("five"), holder="o")
    assert machine.keeping.problems == ["there is no room for budget `five` of the configuration"]
    budgets.remove(search, "one", **ADA)
    machine.keeping.begin("o")
    assert machine.keeping.problems == []
