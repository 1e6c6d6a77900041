"""The records of clients that leave: their calls are read to the end or stopped, as the provider's policy says."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from estimator.usage import Usage
from tests.gate.chat import CHARACTERS, CHAT, EVENTS, PLAIN, SHOWN, SHOWN_AT, WORDS, Steps, asking, event
from tests.loopback import Client, chunk, post, reply, says, until


@pytest.mark.parametrize("leaving", ["close", "reset"])
@pytest.mark.parametrize("index", range(len(EVENTS) + 1))
def test_drain_reads_the_usage_of_a_client_that_left_after_any_event(through, index, leaving):
    steps = Steps()
    with through(steps) as way, Client(way.gate.port) as client:
        client.send(asking())
        for go, shown in zip(steps.go[:index], SHOWN_AT, strict=False):
            go.set()
            client.until(shown)
        done = index == len(EVENTS)
        client.reset() if leaving == "reset" else client.socket.close()
        if not done:
            while not way.gate.app.gate.draining:
                time.sleep(0.001)
        steps.run_on()
        [call] = way.gate.closed(1)
        assert call.outcome == ("ok" if done else "aborted")
        assert call.reason == (None if done else "client_gone")
        assert (call.usage_source, call.usage) == ("reported", Usage(input_tokens=11, output_tokens=4))
        assert len(way.gate.opened()) == 1


@pytest.mark.parametrize("index", range(len(SHOWN)))
def test_cancel_stops_the_provider_of_a_client_that_left_after_any_event(through, index):
    steps = Steps()
    with through(steps, 'on_abort = "cancel"') as way, Client(way.gate.port) as client:
        client.send(asking())
        for go, shown in zip(steps.go[:index], SHOWN_AT, strict=False):
            go.set()
            client.until(shown)
        client.socket.close()
        assert steps.gone.wait(5)
        [call] = way.gate.closed(1)
        assert (call.outcome, call.reason, call.status) == ("aborted", "client_gone", 200 if index else call.status)
        assert call.usage_source == "inferred"
        made = sum(map(len, WORDS[: max(0, index - 1)]))
        assert call.usage.output_tokens == (max(1, round(made / 4)) if made else None)
        assert call.usage.input_tokens == round(len("How are the tides?") / 4)


def test_our_own_count_never_exceeds_what_the_request_allowed(through):
    steps = Steps()
    with through(steps, 'on_abort = "cancel"') as way, Client(way.gate.port) as client:
        client.send(asking(max_tokens=2))
        for go in steps.go[:5]:
            go.set()
        client.until(SHOWN[4])
        client.socket.close()
        [call] = way.gate.closed(1)
        assert CHARACTERS / 4 > 2
        assert call.usage.output_tokens == 2
        assert "usage.capped_by_output_limit" in call.flags


def test_a_client_that_leaves_right_after_the_terminal_event_had_a_good_call(through):
    """Codex hangs up at response.completed, before the provider has ended the reply."""
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    done = {
        "type": "response.completed",
        "response": {"id": "r", "model": "gpt-5", "status": "completed", "usage": usage},
    }
    steps = Steps([event({"type": "response.output_text.delta", "delta": "Hi"}), event(done)])
    with through(steps) as way, Client(way.gate.port) as client:
        client.send(post("/v1/responses", b'{"model":"gpt-5","input":"x","stream":true}'))
        steps.go[0].set()
        steps.go[1].set()
        client.until(b"response.completed")
        client.reset()
        [call] = way.gate.closed(1)
        assert (call.outcome, call.usage_source, call.usage.output_tokens) == ("ok", "reported", 2)
        steps.run_on()


@pytest.mark.parametrize("policy", ["drain", "cancel"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_while_the_provider_is_silent(through, policy, stream):
    arrived, go_on, gone = threading.Event(), threading.Event(), threading.Event()

    async def script(seen, writer):
        left = asyncio.ensure_future(seen.gone())
        left.add_done_callback(lambda _: gone.set())
        arrived.set()
        await until(go_on)
        writer.write(reply(PLAIN))
        await writer.drain()

    with through(script, f'on_abort = "{policy}"') as way, Client(way.gate.port) as client:
        client.send(asking() if stream else CHAT)
        assert arrived.wait(10)
        client.socket.close()
        if policy == "cancel":
            assert gone.wait(5)
        else:
            while not way.gate.app.gate.draining:
                time.sleep(0.001)
        go_on.set()
        [call] = way.gate.closed(1)
        assert (call.outcome, call.reason) == ("aborted", "client_gone")
        assert call.usage_source == ("reported" if policy == "drain" else "inferred")
        assert call.usage.output_tokens == (4 if policy == "drain" else None)
        assert call.usage.input_tokens > 0


def test_a_client_that_leaves_while_its_request_is_held(through):
    with through(says(reply(PLAIN))) as way, Client(way.gate.port) as client:
        client.send(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-length: 1000\r\n\r\n" + b'{"model":"gpt-4o"'
        )
        time.sleep(0.05)
        client.socket.close()
        [call] = way.gate.closed(1)
        assert (call.outcome, call.reason, call.status) == ("aborted", "client_gone_before_sending", None)
        assert (call.usage, call.usage_source) == (None, "absent")
        assert way.provider.seen == []
        assert way.gate.opened() == []


@pytest.mark.parametrize("framing", ["content-length: 1000000", "transfer-encoding: chunked"])
def test_a_client_that_leaves_while_it_uploads(through, framing):
    with through(says(reply(PLAIN))) as way, Client(way.gate.port) as client:
        client.send(f"POST /openai/v1/files HTTP/1.1\r\nhost: g\r\n{framing}\r\n\r\n".encode())
        client.send(b"x" * 100_000 if "length" in framing else chunk(b"x" * 100_000))
        while not way.provider.connections:
            time.sleep(0.001)
        client.socket.close()
        [call] = way.gate.closed(1)
        assert (call.outcome, call.reason, call.status) == ("aborted", "client_gone", None)
        assert (call.usage, call.usage_source) == (None, "absent")
        while not way.provider.closed:  # the provider does not wait for the rest
            time.sleep(0.001)
        assert way.provider.seen == []


def test_draining_ends_after_so_many_seconds(through):
    steps = Steps()
    with through(steps, drain_s=0.2) as way, Client(way.gate.port) as client:
        client.send(asking())
        for go in steps.go[:3]:
            go.set()
        client.until(SHOWN[2])
        client.socket.close()
        assert steps.gone.wait(10)
        [call] = way.gate.closed(1)
        assert (call.outcome, call.reason, call.usage_source) == ("aborted", "client_gone", "inferred")
        assert way.gate.app.gate.draining == 0


def test_only_so_many_are_drained_at_once(through):
    steps = Steps()
    with through(steps, drain_calls=2) as way:
        clients = [Client(way.gate.port) for _ in range(5)]
        steps.go[0].set()
        for client in clients:
            client.send(asking())
            client.until(SHOWN[0])
        for client in clients:
            client.socket.close()
        calls = way.gate.closed(3)
        assert {(call.outcome, call.usage_source) for call in calls} == {("aborted", "inferred")}
        assert way.gate.app.gate.draining == 2
        steps.run_on()
        assert [call.usage_source for call in way.gate.closed(5)[3:]] == ["reported", "reported"]
        assert way.gate.app.gate.draining == 0
