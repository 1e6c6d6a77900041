"""Budgets over a SIGHUP: gates before and after it see each other's reservations."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections import Counter

import pytest

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
from tests.crash.running import wait_for
from tests.loopback import Script, provider
from tests.service.running import service

HELD = 6


def held(release: threading.Event, seen: list[None]) -> Script:
    """A provider that keeps the first calls waiting until it is told to answer them."""
    answer = answers(lambda: 1000)

    async def script(request, writer) -> None:
        seen.append(None)
        waits = len(seen) <= HELD
        while waits and not release.is_set():  # noqa: ASYNC110 - another thread's
            await asyncio.sleep(0.02)
        await answer(request, writer)

    return script


@pytest.mark.parametrize("end", ["answered", pytest.param("killed", marks=pytest.mark.heavy)])
def test_calls_in_flight_of_replaced_gates_count_for_those_that_take_their_place(tmp_path, end):
    limit, url = 8.5 * a_call("usd"), one_of(None, tmp_path)
    release, seen, before = threading.Event(), [], []

    def held_calls() -> None:
        try:
            before.append(call([running.gate], HELD, asks()).statuses)
        except (OSError, IndexError, ExceptionGroup):  # of a connection that was cut
            assert end == "killed"

    with (
        provider(held(release, seen)) as origin,
        service(tmp_path, config(origin.origin, budget(limit=limit))) as running,
    ):
        in_flight = threading.Thread(target=held_calls)
        in_flight.start()
        wait_for(lambda: len(seen) == HELD, running)
        old = running.named_children()
        running.process.send_signal(signal.SIGHUP)
        wait_for(lambda: old["console"] not in running.children()["all"], running)
        assert old["gate 1"] in running.children()["all"]  # it has its calls
        rush = call([running.gate], HELD, asks())
        assert rush.statuses == {200: 2, 429: HELD - 2}
        assert {headers["retry-after"] for headers, _ in rush.refusals} == {"1"}  # somebody holds what is left
        if end == "killed":
            os.kill(old["gate 1"], signal.SIGKILL)
        release.set()
        in_flight.join()
        wait_for(lambda: old["gate 1"] not in running.children()["all"], running)
        more, asked = use_up([running.gate], asks())
        if end == "answered":
            assert before == [{200: HELD}]
            assert more == 0
        wait_for_rows(url, 2 * HELD + asked)
        deadline = time.monotonic() + SETTLED_S
        while end == "killed" and spent(url, "usd") / 10**12 <= limit - a_call("usd"):
            assert time.monotonic() < deadline
            use_up([running.gate], asks())
        assert limit - a_call("usd") < spent(url, "usd") / 10**12 <= limit


@pytest.mark.heavy
def test_no_call_waits_in_vain_for_a_lease_while_processes_are_replaced(tmp_path):
    over, made = threading.Event(), Counter[int]()
    with (
        provider(answers(lambda: 10)) as origin,
        service(tmp_path, config(origin.origin, budget(limit=1000), workers=2)) as running,
    ):

        def traffic() -> None:
            while not over.is_set():
                made.update(call([running.gate], 4, asks(), again=1).statuses)

        assert call([running.gate], 1, asks()).statuses == {200: 1}  # so there is a lease
        calling = threading.Thread(target=traffic)
        calling.start()
        try:
            for _ in range(2):
                old = running.named_children()
                running.process.send_signal(signal.SIGHUP)
                wait_for(lambda old=old: old["console"] not in running.children()["all"], running)
                time.sleep(2)
        finally:
            over.set()
            calling.join()
        assert made.keys() == {200}, made
        assert made[200] > 100
