"""How a gate ends: what was asked is answered, and a connection that idles gives its client's next call a chance."""

from __future__ import annotations

import threading
import time

from tests.gate.chat import events
from tests.loopback import Client, chunk, post, stream_head, until

PATH = "/v1/chat/completions"
KEPT = post(PATH, b'{"model":"gpt-4o","stream":true}').replace(b"connection: close\r\n", b"")


def streams(go_on: threading.Event):
    async def script(seen, writer):
        writer.write(stream_head())
        await until(go_on)
        for each in events(usage=True):
            writer.write(chunk(each))
        writer.write(chunk(b""))

    return script


def ends(gate) -> threading.Thread:
    thread = threading.Thread(target=gate.stop)
    thread.start()
    return thread


def test_a_call_on_a_connection_that_idled_is_carried_and_the_last_on_it(through):
    go_on = threading.Event()
    go_on.set()
    with (
        through(streams(go_on), shutdown_s=20.0) as way,
        Client(way.gate.port) as client,
        Client(way.gate.port) as idle,
    ):
        client.send(KEPT)
        answer = client.answer()
        assert answer.whole
        assert answer.header("connection") is None
        thread = ends(way.gate)
        time.sleep(0.1)  # it has been told, and keeps idle connections for longer
        client.send(KEPT)
        answer = client.answer()
        assert (answer.status, answer.whole) == (200, True)
        assert answer.header("connection") == b"close"
        assert client.rest() == b""
        assert idle.rest() == b""  # a connection without a call is closed after a while
        thread.join(10)
        assert not thread.is_alive()
        assert [call.outcome for call in way.gate.closed(2)] == ["ok", "ok"]


def test_a_stream_that_runs_ends_and_takes_its_connection_with_it(through):
    go_on = threading.Event()
    with through(streams(go_on), shutdown_s=20.0) as way, Client(way.gate.port) as client:
        client.send(KEPT)
        got = client.until(b"\r\n\r\n")
        thread = ends(way.gate)
        time.sleep(0.7)  # longer than a connection may idle
        go_on.set()
        assert got + client.rest()
        thread.join(10)
        assert not thread.is_alive()
        assert [call.outcome for call in way.gate.closed(1)] == ["ok"]
