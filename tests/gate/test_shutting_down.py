"""The records of calls that are under way when the gate ends."""

from __future__ import annotations

import json
import socket
import threading
import time

from tests.gate.chat import CHAT, PLAIN, SHOWN, Steps, asking
from tests.loopback import Client, parse, post, reply, says


def test_a_stream_may_end_while_the_gate_is_shutting_down(through):
    steps = Steps()
    with through(steps, shutdown_s=20.0) as way, Client(way.gate.port) as client:
        client.send(asking())
        steps.go[0].set()
        got = client.until(SHOWN[0])
        thread = threading.Thread(target=way.gate.stop)
        thread.start()
        time.sleep(0.05)
        steps.run_on()
        answer = parse(got + client.rest())
        assert (answer.body, answer.whole) == (b"".join(SHOWN), True)
        thread.join()
        [call] = way.gate.closed(1)
        assert (call.outcome, call.usage_source) == ("ok", "reported")


def test_a_stream_that_outlasts_the_shutdown_is_interrupted(through):
    steps = Steps()
    with through(steps) as way, Client(way.gate.port) as client:
        client.send(asking())
        for go in steps.go[:3]:
            go.set()
        got = client.until(SHOWN[2])
        way.gate.stop()
        assert not parse(got + client.rest()).whole
        [call] = way.gate.closed(1)
        assert (call.outcome, call.reason, call.status) == ("interrupted", "gate_shut_down", 200)
        assert call.usage_source == "inferred"
        assert call.usage.output_tokens > 0


def interrupted(way, client) -> None:
    way.gate.stop()
    answer = parse(client.rest())
    assert answer.status == 503
    assert json.loads(answer.body)["error"]["code"] == "gate_shut_down"
    [call] = way.gate.closed(1)
    assert (call.outcome, call.reason, call.status) == ("interrupted", "gate_shut_down", 503)


def test_a_call_without_a_reply_at_shutdown_is_interrupted(through):
    arrived = threading.Event()

    async def script(seen, writer):
        arrived.set()
        await seen.gone()

    with through(script) as way, Client(way.gate.port) as client:
        client.send(CHAT)
        assert arrived.wait(10)
        interrupted(way, client)


def test_a_request_that_is_still_coming_at_shutdown_is_interrupted(through):
    with through(says(reply(PLAIN))) as way, Client(way.gate.port) as client:
        client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: g\r\ncontent-length: 1000\r\n\r\n{")
        time.sleep(0.05)
        interrupted(way, client)
        assert way.provider.seen == []


def test_a_call_that_is_still_connecting_at_shutdown_is_interrupted(through):
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):
            toml = f'[[provider]]\nname = "full"\norigin = "http://127.0.0.1:{full.getsockname()[1]}"\n'
            with through(says(b""), toml=toml) as way, Client(way.gate.port) as client:
                client.send(post("/full/v1/chat/completions", b'{"model":"x"}'))
                time.sleep(0.05)
                interrupted(way, client)
