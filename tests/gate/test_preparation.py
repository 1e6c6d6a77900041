"""What a model's first estimate takes is done while its first call is out, not when its reply is there."""

from __future__ import annotations

import asyncio
import time

from estimator.closed import likenesses
from estimator.profiles import profile
from tests.gate.test_headers import CHAT, ESTIMATES, PLAIN
from tests.loopback import ask, parse, reply


def test_a_closed_model_is_worked_out_before_its_reply_comes(through):
    profile.cache_clear()
    likenesses.cache_clear()
    before = []

    async def answer_when_worked_out(seen, writer):
        deadline = time.monotonic() + 20
        while profile.cache_info().currsize == 0 and time.monotonic() < deadline:  # noqa: ASYNC110 a thread fills it
            await asyncio.sleep(0.01)
        before.append(likenesses.cache_info())
        writer.write(reply(PLAIN))

    with through(answer_when_worked_out) as way:
        answer = parse(ask(way.gate.port, CHAT))
    assert before[0].currsize == 1
    assert all(answer.header(name) is not None for name in ESTIMATES)
    assert likenesses.cache_info().misses == before[0].misses
