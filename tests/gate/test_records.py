"""Every call becomes exactly one record, with the right outcome, source and reason."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time

import pytest

from estimator.usage import Usage
from tests.gate.chat import CHARACTERS, USAGE, WORDS, asking, event, events
from tests.loopback import Client, ask, chunk, parse, post, reply, says, stream_head, until

EVENTS = events(usage=True)
SHOWN = events(usage=False)
SHOWN_AT = [*SHOWN[:-1], b"", SHOWN[-1]]  # what the client sees of each of EVENTS
PLAIN = json.dumps({"id": "c", "model": "gpt-4o", "choices": [], "usage": USAGE}).encode()
CHAT = post("/v1/chat/completions", b'{"model":"gpt-4o","messages":[{"role":"user","content":"Tides?"}]}')
GET = b"GET /openai/v1/files HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n"


class Steps:
    """A provider that sends one event after the other, each when the test says so."""

    def __init__(self, events=EVENTS) -> None:
        self.events = events
        self.go = [threading.Event() for _ in range(len(events) + 1)]
        self.gone = threading.Event()

    async def __call__(self, seen, writer):
        left = asyncio.ensure_future(seen.gone())
        left.add_done_callback(lambda left: left.cancelled() or self.gone.set())
        writer.write(stream_head())
        for go, each in zip(self.go, [*self.events, b""], strict=True):
            await until(go)
            writer.write(chunk(each))
            await writer.drain()
        left.cancel()
        await asyncio.wait([left])

    def run_on(self) -> None:
        for go in self.go:
            go.set()


def test_a_plain_call(through):
    with through(says(reply(PLAIN, "x-request-id: req_1"))) as way:
        answer = parse(ask(way.gate.port, CHAT))
        [call] = way.gate.closed(1)
        [opened] = way.gate.opened()
        assert call.opened == opened
        assert answer.header("x-joulegate-call-id") == opened.id.encode()
        assert (call.outcome, call.status, call.reason, call.flags) == ("ok", 200, None, ())
        assert (call.usage_source, call.usage) == ("reported", Usage(input_tokens=11, output_tokens=4))
        assert (call.model, call.provider_request_id) == ("gpt-4o", "req_1")
        assert (opened.provider, opened.surface, opened.stream) == ("openai", "openai.chat", False)
        assert (opened.model_requested, opened.zone, opened.attempt) == ("gpt-4o", "USA", 1)
        assert opened.request_bytes == len(CHAT.partition(b"\r\n\r\n")[2])
        assert call.response_bytes == len(PLAIN)
        assert call.latency_us >= call.overhead_us > 0
        assert call.ended_at_us - opened.started_at_us == call.latency_us


def test_a_stream(through):
    steps = Steps()
    steps.run_on()
    with through(steps) as way:
        answer = parse(ask(way.gate.port, asking()))
        assert answer.body == b"".join(SHOWN)
        [call] = way.gate.closed(1)
        assert (call.outcome, call.usage_source, call.reason) == ("ok", "reported", None)
        assert call.usage == Usage(input_tokens=11, output_tokens=4)
        assert (call.opened.stream, call.model) == (True, "gpt-4o-2024-08-06")
        assert 0 < call.time_to_first_token_us <= call.latency_us


def test_the_record_is_written_before_the_client_sees_the_end(through):
    steps = Steps()
    with through(steps) as way, Client(way.gate.port) as client:
        client.send(asking())
        for go in steps.go[:-1]:
            go.set()
        client.until(b"data: [DONE]\n\n")
        [call] = [record for record in way.gate.records() if hasattr(record, "outcome")]
        assert (call.outcome, call.usage_source) == ("ok", "reported")
        steps.run_on()
        client.rest()
        way.gate.closed(1)


@pytest.mark.parametrize("raw", [reply(PLAIN), stream_head() + chunk(PLAIN) + chunk(b"")], ids=["length", "chunks"])
def test_the_record_of_a_plain_reply_is_written_before_the_client_sees_the_end(through, raw):
    with through(says(raw)) as way, Client(way.gate.port) as client:
        client.send(CHAT)
        client.until(PLAIN)
        assert len([record for record in way.gate.records() if hasattr(record, "outcome")]) == 1


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


@pytest.mark.parametrize("status", ["400 Bad Request", "401 Unauthorized", "429 Too Many Requests", "503 Unavailable"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_provider_that_refuses(through, status, stream):
    body = b'{"error":{"message":"no","type":"t","code":"c_1"}}'
    with through(says(reply(body, "retry-after-ms: 9", status=status))) as way:
        answer = parse(ask(way.gate.port, asking() if stream else CHAT))
        assert (answer.status, answer.body) == (int(status[:3]), body)
        assert answer.header("retry-after-ms") == b"9"
        [call] = way.gate.closed(1)
        assert (call.outcome, call.status, call.reason) == ("error", int(status[:3]), "c_1")
        assert (call.usage, call.usage_source) == (None, "absent")


def test_an_error_inside_a_200(through):
    failing = [*EVENTS[:3], event({"error": {"message": "overloaded", "code": "server_overloaded"}})]
    with through(says(stream_head() + b"".join(map(chunk, [*failing, b""])))) as way:
        answer = parse(ask(way.gate.port, asking()))
        assert answer.body == b"".join([*SHOWN[:3], failing[3]])
        [call] = way.gate.closed(1)
        assert (call.outcome, call.status, call.reason) == ("error", 200, "server_overloaded")
        assert call.usage_source == "inferred"


@pytest.mark.parametrize("index", range(len(EVENTS)))
def test_a_stream_that_breaks_off_after_any_event(through, index):
    async def script(seen, writer):
        writer.write(stream_head() + b"".join(map(chunk, EVENTS[:index])))
        await writer.drain()
        await asyncio.sleep(0.01)
        writer.transport.abort() if index % 2 else writer.close()

    with through(script) as way:
        answer = parse(ask(way.gate.port, asking()))
        assert (answer.status, answer.whole) == (200, False)
        assert answer.body == b"".join(SHOWN[: min(index, len(SHOWN) - 1)])
        [call] = way.gate.closed(1)
        assert (call.outcome, call.status, call.reason) == ("error", 200, "upstream_closed")
        assert call.usage_source == ("reported" if index == len(EVENTS) - 1 else "inferred")
        if 2 <= index <= 5:
            assert call.usage.output_tokens == max(1, round(sum(map(len, WORDS[: index - 1])) / 4))
            assert call.usage.input_tokens > 0


def test_no_reply_at_all(through):
    async def script(seen, writer):
        writer.close()

    with through(script) as way:
        answer = parse(ask(way.gate.port, CHAT))
        assert answer.status == 502
        assert json.loads(answer.body)["error"]["code"] == "upstream_closed"
        [call] = way.gate.closed(1)
        assert (call.outcome, call.status, call.reason) == ("error", 502, "upstream_closed")
        assert (call.usage, call.usage_source) == (None, "absent")


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


def test_a_call_of_an_unknown_kind_is_a_call_without_usage(through):
    with through(says(reply(b"\x00\x01", content_type="audio/mpeg"))) as way:
        assert parse(ask(way.gate.port, GET)).body == b"\x00\x01"
        [call] = way.gate.closed(1)
        assert (call.opened.surface, call.outcome, call.status) == ("other", "ok", 200)
        assert (call.usage, call.usage_source, call.reason) == (None, "absent", "usage.surface_without_usage")


def test_a_fault_of_ours_is_an_error_with_a_record(through, monkeypatch, caplog):
    from proxy.wire.openai_chat import Chat

    def asked(self, body):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(Chat, "asked", asked)
    with through(says(reply(PLAIN))) as way:
        answer = parse(ask(way.gate.port, CHAT))
        assert answer.status == 500
        assert json.loads(answer.body)["error"]["code"] == "gate_failed"
        [call] = way.gate.closed(1)
        assert (call.outcome, call.reason, call.status) == ("error", "gate_failed", 500)
        assert call.opened.id in caplog.text
        assert parse(ask(way.gate.port, GET)).status == 200


def test_a_fault_of_ours_in_a_reply_cuts_it_and_is_recorded(through, monkeypatch):
    from proxy.wire.openai_strip import UsageStripper

    def feed(self, data):
        raise RuntimeError("broken on purpose")

    steps = Steps()
    steps.run_on()
    with through(steps) as way:
        monkeypatch.setattr(UsageStripper, "feed", feed)
        assert not parse(ask(way.gate.port, asking())).whole
        [call] = way.gate.closed(1)
        assert (call.outcome, call.reason) == ("error", "gate_failed")
        while not way.provider.closed:
            time.sleep(0.001)
