"""Budgets of whole services: rushes, deaths, and several machines on one ledger.

Every answer costs the same. Where a request says how long its answer may be, a budget is never overshot; where it
does not, by no more than its calls in flight use beyond what is assumed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from estimator import Usage, estimate
from proxy.budgets.expecting import OUTPUT_TOKENS_ASSUMED
from proxy.budgets.units import steps_of
from proxy.ledger.engine import open_engine
from proxy.ledger.tables import calls as calls_table
from tests.budgets.services import MODEL, answers, asks, budget, call, config
from tests.crash.running import wait_for
from tests.loopback import Client, provider
from tests.service.running import Service, service

SETTLED_S = 40.0


def a_call(unit: str, output_tokens: int = 1000) -> float:
    """What an answer takes of a unit."""
    made = estimate(Usage(input_tokens=10, output_tokens=output_tokens), MODEL, provider="openai", zone="USA")
    return float(made.cost_usd) if unit == "usd" else made.grams_co2e.mid


def spent(url: str, unit: str) -> int:
    """What the rows of the team say, in steps."""
    column = calls_table.c.cost_usd if unit == "usd" else calls_table.c.grams_co2e
    engine = open_engine(url)
    with engine.connect() as connection:
        found = connection.scalars(sa.select(column).where(calls_table.c.team == "search", column.is_not(None)))
        total = sum(steps_of(each, unit) for each in found)
    engine.dispose()
    return total


def rows(url: str) -> Counter[str]:
    engine = open_engine(url)
    with engine.connect() as connection:
        found = connection.execute(sa.select(calls_table.c.outcome, sa.func.count()).group_by(calls_table.c.outcome))
        counted = Counter({row.outcome: row[1] for row in found})
    engine.dispose()
    return counted


def wait_for_rows(url: str, count: int) -> None:
    deadline = time.monotonic() + SETTLED_S
    while (there := rows(url)).total() < count:
        assert time.monotonic() < deadline, there
        time.sleep(0.1)


def use_up(gates: list[str], request: bytes) -> tuple[int, int]:
    """Make calls at all machines at once until none is answered any more; gives how many were, and how many made."""
    answered = asked = refused = 0
    deadline = time.monotonic() + SETTLED_S
    while refused < 2 and time.monotonic() < deadline:
        made = call(gates, len(gates), request)
        asked += len(gates)
        if made.statuses[200]:
            answered, refused = answered + made.statuses[200], 0
        elif any(int(headers["retry-after"]) == 1 for headers, _ in made.refusals):  # somebody holds what is left
            time.sleep(0.3)
        else:
            refused += 1
    return answered, asked


def one_of(url: str | None, folder: Path) -> str:
    return url or f"sqlite:///{folder}/joulegate.db"


def test_a_hard_budget_is_used_to_its_end_and_then_refused(tmp_path):
    with provider(answers(lambda: 1000)) as origin:
        toml = config(origin.origin, budget(limit=10.5 * a_call("usd")), workers=2)
        with service(tmp_path, toml) as running:
            done = [call([running.gate], 1, asks()) for _ in range(12)]
            assert [next(iter(each.statuses)) for each in done] == [200] * 10 + [429] * 2
            (_, said), *_ = done[-1].refusals
            assert said["error"]["code"] == "budget_exceeded"
            assert said["error"]["type"] == "rate_limit_error"
            ended = running.wait_for_calls(12)
            wait_for(
                lambda: int(call([running.gate], 1, asks()).headers[0]["retry-after"]) > 1, running
            )  # the ledger has them
            assert [(row["outcome"], row["reason"], row["team"]) for row in ended[-2:]] == [
                ("rejected", "budget_exceeded", "search")
            ] * 2
            assert next(iter(call([running.gate], 1, asks("other")).statuses)) == 200  # it is no call of the team


@pytest.mark.parametrize("unit", ["usd", "gco2e"])
def test_a_rush_on_a_nearly_used_up_budget_does_not_overshoot_it(tmp_path, unit):
    limit = 8.5 * a_call(unit)
    url = one_of(None, tmp_path)
    with provider(answers(lambda: 1000, wait_s=0.2)) as origin:
        toml = config(origin.origin, budget(unit=unit, limit=limit), workers=2)
        with service(tmp_path, toml) as running:
            rush = call([running.gate], 24, asks())
            assert rush.statuses.total() == 24
            more, asked = use_up([running.gate], asks())
            wait_for_rows(url, 24 + asked)
            assert rush.statuses[200] + more == 8
            assert limit - a_call(unit) < spent(url, unit) / 10**12 <= limit


def test_what_calls_use_beyond_what_is_assumed_is_all_that_a_budget_is_overshot_by(tmp_path):
    used = 3 * OUTPUT_TOKENS_ASSUMED
    limit = 8.5 * a_call("usd", OUTPUT_TOKENS_ASSUMED)
    url = one_of(None, tmp_path)
    with provider(answers(lambda: used, wait_s=0.2)) as origin:
        toml = config(origin.origin, budget(limit=limit), workers=2)
        with service(tmp_path, toml) as running:
            rush = call([running.gate], 24, asks(output_limit=None))
            _, asked = use_up([running.gate], asks(output_limit=None))
            wait_for_rows(url, 24 + asked)
            beyond = a_call("usd", used) - a_call("usd", OUTPUT_TOKENS_ASSUMED)
            assert 0 < rush.statuses[200] <= 8
            assert limit < spent(url, "usd") / 10**12 <= limit + 8 * beyond


def test_a_soft_budget_refuses_nothing_and_says_so(tmp_path):
    with provider(answers(lambda: 1000)) as origin:
        toml = config(origin.origin, budget(limit=2.2 * a_call("usd"), mode="soft", thresholds=[0.5]))
        with service(tmp_path, toml) as running:
            first = call([running.gate], 1, asks())
            assert "x-joulegate-budget" not in first.headers[0]
            call([running.gate], 2, asks())
            running.wait_for_calls(3)
            deadline = time.monotonic() + SETTLED_S
            while not (said := call([running.gate], 1, asks()).headers[0].get("x-joulegate-budget")):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            name, used = said.split(";used=")
            assert name == "b"
            assert float(used) > 0.9


def test_requests_a_minute_and_requests_at_once_are_limited(tmp_path):
    with provider(answers(lambda: 10, wait_s=0.4)) as origin:
        toml = config(
            origin.origin,
            budget("at-once", "concurrent_requests", 3, None),
            budget("often", "requests", 6, "24h", team="often"),
            workers=2,
        )
        with service(tmp_path, toml) as running:
            rush = call([running.gate], 10, asks())
            assert 1 <= rush.statuses[200] <= 3
            assert {said["error"]["code"] for _, said in rush.refusals} == {"rate_limit_exceeded"}
            assert {headers["retry-after"] for headers, _ in rush.refusals} == {"1"}
            assert call([running.gate], 1, asks()).statuses == {200: 1}  # they have ended
            often = [call([running.gate], 1, asks("often")) for _ in range(8)]
            assert [next(iter(each.statuses)) for each in often] == [200] * 6 + [429] * 2


def kill(running: Service, victim: str) -> None:
    pids = running.named_children()
    os.kill(pids[victim], signal.SIGKILL)


@pytest.mark.parametrize("victim", ["gate 1", "console"])
def test_who_is_killed_leaves_nothing_reserved(tmp_path, victim):
    limit = 8.5 * a_call("usd")
    url = one_of(None, tmp_path)
    with provider(answers(lambda: 1000, wait_s=0.3)) as origin:
        toml = config(origin.origin, budget(limit=limit), workers=1)
        with service(tmp_path, toml) as running:
            killer = threading.Timer(0.15, kill, (running, victim))
            killer.start()
            with contextlib.suppress(OSError, IndexError, ExceptionGroup):  # of a connection that was cut
                call([running.gate], 6, asks())
            killer.join()
            deadline = time.monotonic() + SETTLED_S
            while victim not in running.named_children():
                assert time.monotonic() < deadline
                time.sleep(0.05)
            use_up([running.gate], asks())
            while spent(url, "usd") / 10**12 <= limit - a_call("usd"):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            assert spent(url, "usd") / 10**12 <= limit


def test_clients_that_leave_leave_nothing_reserved(tmp_path):
    limit = 8.5 * a_call("usd")
    url = one_of(None, tmp_path)
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(provider(answers(lambda: 1000, wait_s=0.2)))
        toml = config(origin.origin, budget(limit=limit), workers=2)
        running = stack.enter_context(service(tmp_path, toml))
        assert call([running.gate], 1, asks()).statuses == {200: 1}  # so there is a lease
        for _ in range(4):
            client = Client(int(running.gate.rsplit(":", 1)[1]))
            client.send(asks())
            time.sleep(0.05)
            client.reset()
        _, asked = use_up([running.gate], asks())
        wait_for_rows(url, 5 + asked)
        assert rows(url)["aborted"] == 4, rows(url)
        assert limit - a_call("usd") < spent(url, "usd") / 10**12 <= limit


def test_a_service_that_was_killed_goes_on_with_what_its_ledger_says(tmp_path):
    limit = 6.5 * a_call("usd")
    url = one_of(None, tmp_path)
    with provider(answers(lambda: 1000)) as origin:
        toml = config(origin.origin, budget(limit=limit))
        with service(tmp_path, toml) as running:
            assert call([running.gate], 3, asks()).statuses == {200: 3}
            running.kill()
        with service(tmp_path, toml) as running:
            more, asked = use_up([running.gate], asks())
            assert more == 3
            wait_for_rows(url, 3 + asked)
            assert spent(url, "usd") == 6 * steps_of(round(a_call("usd"), 12), "usd")


def test_new_processes_go_on_with_what_is_left_and_a_limit_may_be_another(tmp_path):
    url = one_of(None, tmp_path)
    with provider(answers(lambda: 1000)) as origin:
        toml = config(origin.origin, budget(limit=4.5 * a_call("usd")))
        with service(tmp_path, toml) as running:
            assert call([running.gate], 3, asks()).statuses == {200: 3}
            before = running.named_children()
            (tmp_path / "joulegate.toml").write_text(config(origin.origin, budget(limit=6.5 * a_call("usd"))))
            running.process.send_signal(signal.SIGHUP)
            deadline = time.monotonic() + SETTLED_S
            while set(running.children()["all"]) & set(before.values()):
                assert time.monotonic() < deadline, running.output.decode()
                time.sleep(0.05)
            more, asked = use_up([running.gate], asks())
            assert more == 3
            wait_for_rows(url, 3 + asked)


@pytest.mark.heavy
@pytest.mark.parametrize("unit", ["usd", "gco2e"])
def test_a_rush_on_two_machines_that_share_a_ledger(tmp_path, postgres, unit):
    rush_on(tmp_path, postgres.migrated(), unit, machines=2, workers=4, calls=64)


@pytest.mark.heavy
@pytest.mark.parametrize("unit", ["usd", "gco2e"])
def test_a_rush_on_four_workers(tmp_path, unit):
    rush_on(tmp_path, one_of(None, tmp_path), unit, machines=1, workers=4, calls=64)


@pytest.mark.heavy
def test_what_a_killed_machine_held_is_free_when_its_lease_has_ended(tmp_path, postgres):
    limit, url = 10.5 * a_call("usd"), postgres.migrated()
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(provider(answers(lambda: 1000)))
        toml = config(origin.origin, budget(limit=limit), url=url)
        one, two = (tmp_path / name for name in ("one", "two"))
        for folder in (one, two):
            folder.mkdir()
        first = stack.enter_context(service(one, toml))
        second = stack.enter_context(service(two, toml))
        assert call([first.gate], 3, asks()).statuses == {200: 3}
        wait_for_rows(url, 3)
        first.kill()
        answered, asked = use_up([second.gate], asks())
        wait_for_rows(url, 3 + asked)
        assert answered == 7
        assert asked > answered  # some came before it was free
        assert limit - a_call("usd") < spent(url, "usd") / 10**12 <= limit


def test_a_small_rush_on_two_machines(tmp_path, postgres):
    rush_on(tmp_path, postgres.migrated(), "usd", machines=2, workers=1, calls=16)


def rush_on(folder: Path, url: str, unit: str, *, machines: int, workers: int, calls: int) -> None:
    limit = 20.5 * a_call(unit)
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(provider(answers(lambda: 1000, wait_s=0.2)))
        toml = config(origin.origin, budget(unit=unit, limit=limit), workers=workers, url=url)
        gates = []
        for number in range(machines):
            place = folder / f"machine-{number}"
            place.mkdir()
            gates.append(stack.enter_context(service(place, toml)).gate)
        answered = asked = 0
        for _ in range(3):
            rush = call(gates, calls, asks())
            answered, asked = answered + rush.statuses[200], asked + calls
            assert set(rush.statuses) <= {200, 429}
        more, after = use_up(gates, asks())
        wait_for_rows(url, asked + after)
        assert answered + more == 20
        assert limit - a_call(unit) < spent(url, unit) / 10**12 <= limit
