"""What one gate worker reserves and settles; the way to a provider is a real gate's, the journal a list."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from estimator import Usage
from proxy.budgets.budget import Budget
from proxy.budgets.expecting import Expecting
from proxy.budgets.exposure import Exposure
from proxy.budgets.reserving import InForce, Reserving
from proxy.budgets.units import steps_of
from proxy.call import Closed, Opened
from proxy.config import load
from proxy.errors import Refusal
from proxy.estimating import ConfiguredEstimator
from proxy.gate import Received
from proxy.routing import Routes
from proxy.teams import Attribution, Teams
from proxy.wire.surface import Asked
from tests.budgets.services import MODEL
from tests.budgets.test_spent import made
from tests.loopback import provider, reply, running, says
from tests.records import closed, opened

A_CALL = steps_of(0.0006, "usd")  # of 1000 tokens of output


class Disk:
    """A journal that may be full."""

    def __init__(self) -> None:
        self.records: list[Opened | Closed] = []
        self.full = False

    def append(self, record: Opened | Closed) -> bool:
        self.records.append(record)
        return not self.full


class Worker:
    """A worker with budgets, in front of a running gate's way to its provider."""

    def __init__(self, tmp_path: Any, origin: str, *budgets: Budget) -> None:
        file = tmp_path / "joulegate.toml"
        file.write_text(f'[journal]\ndirectory = "{tmp_path}/j"\n[[provider]]\nname = "openai"\norigin = "{origin}"\n')
        self.config = load(file, environment={}).config
        self.disk = Disk()
        self.exposure = Exposure(1)
        self.reserving = Reserving(self.exposure, 0, Expecting(ConfiguredEstimator(self.config)), self.disk)
        for slot, each in enumerate(budgets):
            self.exposure.claim(slot, each.measure)
            self.allow(each.limit, slot)
        self.reserving.follow(InForce.of(budgets, self.exposure))

    def allow(self, steps: int, slot: int = 0) -> None:
        self.exposure.allow(slot, steps, 2**62)
        self.exposure.say(slot, used=0.0, left=steps, ends=2**40)

    def ask(self, method: str = "POST", model: str = MODEL, *, websocket: bool = False) -> Received:
        """Reach the provider as one request of the team does; raises what it raises."""
        call = Received.begin(method, b"/v1/chat/completions")
        call.attribution = Attribution(team="search")
        call.asked = Asked(model=model, output_limit=1000, stream=websocket)
        admitted = Teams((), keys_required=False).admit(method, [(b"authorization", b"Bearer sk-1")], b"")
        admitted.websocket = websocket
        targets = Routes(self.config).by_model(call.path, model, [])

        async def reached() -> None:
            with running(self.config) as gate:
                exchange = (await self.reserving.reach(gate.app.gate, call, targets, admitted)).exchange
                exchange.abort()

        asyncio.run(reached())
        return call

    def end(self, call: Received, tokens: int | None = 1000, **changes: Any) -> None:
        usage = None if tokens is None else Usage(input_tokens=0, output_tokens=tokens)
        self.reserving.append(closed(call.opened(), model=MODEL, usage=usage, **changes))


@pytest.fixture
def worker(tmp_path) -> Any:
    with provider(says(reply(b"{}"))) as origin:
        yield lambda *budgets: Worker(tmp_path, origin.origin, *budgets)


Make = Callable[..., Worker]


def test_what_a_call_used_takes_the_place_of_what_it_reserved(worker: Make):
    one = worker(made(limit=0.002))
    first = one.ask()
    assert one.exposure.exposed(0) == A_CALL
    one.end(first, tokens=500)
    assert one.exposure.exposed(0) == A_CALL // 2
    one.exposure.record(0, one.exposure.closed(0))
    assert one.exposure.exposed(0) == 0


def test_a_call_that_does_not_fit_takes_back_what_it_reserved_of_all_its_budgets(worker: Make):
    one = worker(made("wide", unit="tokens", limit=10_000), made("narrow", limit=0.001))
    one.ask()
    with pytest.raises(Refusal) as refused:
        one.ask()
    assert (refused.value.status, refused.value.code, refused.value.retry_after_s) == (429, "budget_exceeded", 1)
    assert (one.exposure.exposed(0), one.exposure.exposed(1)) == (1000, A_CALL)


def test_a_used_up_budget_leaves_those_be_that_only_look_up(worker: Make):
    one = worker(made())
    one.allow(0)
    one.ask("GET")
    for wrong in (one.ask, lambda: one.ask("GET", websocket=True), lambda: one.ask(model="openai/house-model")):
        with pytest.raises(Refusal, match=r"Budget b \(0.0075 usd a month\) is used up"):
            wrong()
    assert one.exposure.exposed(0) == 0


def test_turns_on_a_connection_are_added_and_its_end_lets_go(worker: Make):
    one = worker(made(), made("often", unit="requests", limit=10, window="minute"))
    connection = one.ask("GET", websocket=True)
    begun = connection.opened()
    for number in range(3):
        turn = opened(operation_id=begun.operation_id, id=f"turn-{number}", team="search", provider="openai")
        usage = Usage(input_tokens=0, output_tokens=1000)
        one.reserving.append(closed(turn, model=MODEL, usage=usage))
    assert (one.exposure.exposed(0), one.exposure.exposed(1)) == (3 * A_CALL, 1)
    one.end(connection, tokens=None, reason="usage.on_turns")
    assert (one.exposure.exposed(0), one.exposure.exposed(1)) == (3 * A_CALL, 1)
    for slot in (0, 1):
        one.exposure.record(slot, one.exposure.closed(slot))
        assert one.exposure.exposed(slot) == 0


def test_what_the_journal_cannot_take_stays_open_until_it_can(worker: Make):
    one = worker(made())
    first, second = one.ask(), one.ask()
    one.disk.full = True
    one.end(first)
    one.exposure.record(0, one.exposure.closed(0))  # the recorder has read all that is in the file
    assert one.exposure.exposed(0) == 2 * A_CALL
    one.disk.full = False
    one.end(second)
    assert one.exposure.exposed(0) == 2 * A_CALL
    one.exposure.record(0, one.exposure.closed(0))
    assert one.exposure.exposed(0) == 0


def test_without_a_word_from_the_recorder_a_call_waits_and_is_refused_unless_the_process_is_replaced(worker: Make):
    one = worker(made())
    one.exposure.lapse(0)
    with pytest.raises(Refusal, match="Nobody can say now what is left of budget b") as refused:
        one.ask()
    assert (refused.value.code, refused.value.retry_after_s) == ("budget_unknown", 1)
    one.reserving.alone = True
    one.ask()
    assert one.exposure.exposed(0) == 0


def test_a_call_waits_for_what_another_machine_holds(worker: Make):
    one = worker(made(limit=0.002))
    one.exposure.allow(0, A_CALL // 2)  # of all that the ledger says is left

    def gives() -> None:
        while not one.exposure.needed(0):
            time.sleep(0.001)
        one.exposure.allow(0, 2 * A_CALL)

    other = threading.Thread(target=gives, daemon=True)
    other.start()
    one.ask()
    other.join(20)
    assert not other.is_alive()
    assert one.exposure.exposed(0) == A_CALL


def test_a_call_for_which_another_machine_gives_nothing_is_refused_and_may_come_again_at_once(worker: Make):
    one = worker(made(limit=0.002))
    one.exposure.allow(0, A_CALL // 2)
    with pytest.raises(Refusal, match="has not enough left for this call") as refused:
        one.ask()
    assert (refused.value.code, refused.value.retry_after_s) == ("budget_exceeded", 1)
    assert one.exposure.exposed(0) == 0


def test_of_many_budgets_a_reply_names_those_that_are_used_most(worker: Make):
    many = [made(f"b{number}", mode="soft", limit=1 + number, thresholds=(0.5,)) for number in range(20)]
    one = worker(*many)
    for slot in range(20):
        one.exposure.say(slot, used=0.49 + slot / 100, left=1, ends=2**40)
    ((name, value),) = one.ask().notices or ()
    assert name == b"x-joulegate-budget"
    assert value.decode().split(", ") == [f"b{slot};used={0.49 + slot / 100:.3f}" for slot in range(19, 3, -1)]


def test_a_call_of_nobodys_budget_reserves_nothing(worker: Make):
    one = worker(made(team="ads"))
    one.allow(0)
    one.end(one.ask())
    assert one.exposure.wanted_ns(0) == 0
