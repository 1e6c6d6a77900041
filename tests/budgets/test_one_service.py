"""One service with budgets of many teams: used to their ends, in rushes, softly, at once, by clients that leave.

Every answer costs what its test asks for. Where a request says how long its answer may be, a budget is never overshot;
where it does not, by no more than its calls in flight use beyond what is assumed.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proxy.budgets.expecting import OUTPUT_TOKENS_ASSUMED
from tests.budgets.services import (
    SETTLED_S,
    a_call,
    as_asked,
    asks,
    budget,
    call,
    config,
    kill,
    rows,
    spent,
    use_up,
    wait_for_rows,
)
from tests.crash.running import wait_for
from tests.loopback import Client, provider
from tests.service.running import Service, service

SOON, IN_A_WHILE = "1000 0", "1000 0.2"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    budgets = [
        budget("end", limit=10.5 * a_call("usd"), team="end"),
        *(budget(f"rush-{unit}", unit, 8.5 * a_call(unit), team=f"rush-{unit}") for unit in ("usd", "gco2e")),
        budget("beyond", limit=8.5 * a_call("usd", OUTPUT_TOKENS_ASSUMED), team="beyond"),
        budget("soft", limit=2.2 * a_call("usd"), mode="soft", thresholds=[0.5], team="soft"),
        budget("at-once", "concurrent_requests", 3, None, team="at-once"),
        budget("often", "requests", 6, "24h", team="often"),
        budget("leaving", limit=8.5 * a_call("usd"), team="leaving"),
        budget("killed", limit=8.5 * a_call("usd"), team="killed"),
    ]
    with (
        provider(as_asked) as origin,
        service(tmp_path_factory.mktemp("budgets"), config(origin.origin, *budgets, workers=2)) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def url(running: Service) -> str:
    return f"sqlite:///{running.ledger}"


def status(running: Service, team: str, says: str = SOON) -> int:
    return next(iter(call([running.gate], 1, asks(team, says=says)).statuses))


def test_a_hard_budget_is_used_to_its_end_and_then_refused(running: Service, url: str) -> None:
    done = [call([running.gate], 1, asks("end", says=SOON)) for _ in range(12)]
    assert [next(iter(each.statuses)) for each in done] == [200] * 10 + [429] * 2
    (_, said), *_ = done[-1].refusals
    assert said["error"]["code"] == "budget_exceeded"
    assert said["error"]["type"] == "rate_limit_error"
    wait_for_rows(url, 12, "end")
    wait_for(
        lambda: int(call([running.gate], 1, asks("end", says=SOON)).headers[0]["retry-after"]) > 1, running
    )  # the ledger has them
    found = running.calls("SELECT outcome, reason FROM calls WHERE team = 'end' ORDER BY id")[-2:]
    assert [tuple(row) for row in found] == [("rejected", "budget_exceeded")] * 2
    assert status(running, "other") == 200  # it is no call of the team


@pytest.mark.parametrize("unit", ["usd", "gco2e"])
def test_a_rush_on_a_nearly_used_up_budget_does_not_overshoot_it(running: Service, url: str, unit: str) -> None:
    limit, team = 8.5 * a_call(unit), f"rush-{unit}"
    rush = call([running.gate], 24, asks(team, says=IN_A_WHILE))
    assert rush.statuses.total() == 24
    more, asked = use_up([running.gate], asks(team, says=IN_A_WHILE))
    wait_for_rows(url, 24 + asked, team)
    assert rush.statuses[200] + more == 8
    assert limit - a_call(unit) < spent(url, unit, team) / 10**12 <= limit


def test_what_calls_use_beyond_what_is_assumed_is_all_that_a_budget_is_overshot_by(running: Service, url: str) -> None:
    used = 3 * OUTPUT_TOKENS_ASSUMED
    limit = 8.5 * a_call("usd", OUTPUT_TOKENS_ASSUMED)
    request = asks("beyond", output_limit=None, says=f"{used} 0.2")
    rush = call([running.gate], 24, request)
    _, asked = use_up([running.gate], request)
    wait_for_rows(url, 24 + asked, "beyond")
    beyond = a_call("usd", used) - a_call("usd", OUTPUT_TOKENS_ASSUMED)
    assert 0 < rush.statuses[200] <= 8
    assert limit < spent(url, "usd", "beyond") / 10**12 <= limit + 8 * beyond


def test_a_soft_budget_refuses_nothing_and_says_so(running: Service, url: str) -> None:
    first = call([running.gate], 1, asks("soft", says=SOON))
    assert "x-joulegate-budget" not in first.headers[0]
    call([running.gate], 2, asks("soft", says=SOON))
    wait_for_rows(url, 3, "soft")
    deadline = time.monotonic() + SETTLED_S
    while not (said := call([running.gate], 1, asks("soft", says=SOON)).headers[0].get("x-joulegate-budget")):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    name, used = said.split(";used=")
    assert name == "soft"
    assert float(used) > 0.9


def test_requests_a_minute_and_requests_at_once_are_limited(running: Service) -> None:
    rush = call([running.gate], 10, asks("at-once", says="10 0.4"))
    assert 1 <= rush.statuses[200] <= 3
    assert {said["error"]["code"] for _, said in rush.refusals} == {"rate_limit_exceeded"}
    assert {headers["retry-after"] for headers, _ in rush.refusals} == {"1"}
    assert status(running, "at-once") == 200  # they have ended
    assert [status(running, "often") for _ in range(8)] == [200] * 6 + [429] * 2


def test_clients_that_leave_leave_nothing_reserved(running: Service, url: str) -> None:
    limit = 8.5 * a_call("usd")
    assert status(running, "leaving") == 200  # so there is a lease
    for _ in range(4):
        client = Client(int(running.gate.rsplit(":", 1)[1]))
        client.send(asks("leaving", says=IN_A_WHILE))
        time.sleep(0.05)
        client.reset()
    _, asked = use_up([running.gate], asks("leaving", says=SOON))
    wait_for_rows(url, 5 + asked, "leaving")
    assert rows(url, "leaving")["aborted"] == 4, rows(url, "leaving")
    assert limit - a_call("usd") < spent(url, "usd", "leaving") / 10**12 <= limit


def test_who_is_killed_leaves_nothing_reserved(running: Service, url: str, tmp_path: Path) -> None:
    limit = 8.5 * a_call("usd")
    for victim in ("gate 1", "console"):
        before = running.named_children()[victim]
        killer = threading.Timer(0.15, kill, (running, victim))
        killer.start()
        with contextlib.suppress(OSError, IndexError, ExceptionGroup):  # of a connection that was cut
            call([running.gate], 3, asks("killed", says="1000 0.3"))
        killer.join()
        wait_for(lambda before=before, victim=victim: running.named_children().get(victim, before) != before, running)
    deadline = time.monotonic() + SETTLED_S
    while spent(url, "usd", "killed") / 10**12 <= limit - a_call("usd"):
        assert time.monotonic() < deadline
        use_up([running.gate], asks("killed", says=SOON))
    assert spent(url, "usd", "killed") / 10**12 <= limit
