"""Every call becomes exactly one record, with the right outcome, source and reason."""

from __future__ import annotations

import asyncio
import json
import time

import pytest

from estimator.usage import Usage
from tests.gate.chat import CHAT, EVENTS, GET, PLAIN, SHOWN, WORDS, Steps, asking, event
from tests.loopback import Client, ask, chunk, parse, reply, says, stream_head


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
