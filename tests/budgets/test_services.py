"""Budgets of whole services: new processes, and several machines on one ledger. Every answer costs the same."""

from __future__ import annotations

import contextlib
import signal
import time
from pathlib import Path

import pytest

from proxy.budgets.units import steps_of
from tests.budgets.services import (
    SETTLED_S,
    a_call,
    answers,
    asks,
    budget,
    call,
    config,
    one_of,
    spent,
    use_up,
    wait_for_rows,
)
from tests.loopback import provider
from tests.service.running import service


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
