from __future__ import annotations

import gzip

import pytest

from estimator.usage import Usage
from proxy.call import Closed, Opened
from proxy.counting import Count, by_characters
from proxy.tee import COUNTED_PROMPT_BYTES_AT_MOST, Meter
from proxy.wire.registry import SURFACES
from tests.gate.chat import USAGE, events

CHAT = SURFACES["openai.chat"]
BODY = b'{"model":"gpt-4o","max_tokens":3,"stream":true,"messages":[{"role":"user","content":"How are the tides?"}]}'
EVENTS = [(b"content-type", b"text/event-stream")]


class Records(list):
    def append(self, record) -> bool:
        super().append(record)
        return True


def meter(*, body: bytes = BODY, asked_for_usage: bool = False, count=by_characters) -> tuple[Meter, Records]:
    opened = Opened(
        id="1", operation_id="1", attempt=1, started_at_us=10**15, team=None, project=None, user=None, key_id=None,
        tags={}, provider="openai", surface="openai.chat", model_requested="gpt-4o", stream=True,
        request_bytes=len(body),
    )  # fmt: skip
    records = Records()
    made = Meter(
        opened, surface=CHAT, asked=CHAT.asked(body), body=body, started_ns=0, asked_for_usage=asked_for_usage,
        sink=records, count=count,
    )  # fmt: skip
    return made, records


def test_a_call_is_written_down_when_it_goes_and_once_when_it_ends():
    made, records = meter()
    made.sent()
    made.replied(200, EVENTS)
    for event in events(usage=True):
        assert made.feed(event) == event
    assert made.complete
    first = made.finish("ok")
    assert made.finish("error", "later") is first
    assert made.finish("aborted") is first
    assert [type(record) for record in records] == [Opened, Closed]
    assert (first.usage, first.usage_source) == (Usage(input_tokens=11, output_tokens=4), "reported")
    assert first.time_to_first_token_us <= first.latency_us
    assert first.ended_at_us == 10**15 + first.latency_us


def test_what_comes_after_the_record_still_passes():
    made, records = meter()
    made.replied(200, EVENTS)
    made.finish("ok")
    assert made.feed(b"more") == b"more"
    assert made.last() == b""
    assert len(records) == 1


@pytest.mark.parametrize("coded", [False, True])
def test_what_asking_added_is_taken_out(coded):
    made, _ = meter(asked_for_usage=True)
    made.replied(200, [*EVENTS, *([(b"content-encoding", b"gzip")] if coded else [])])
    assert made.strips
    body = b"".join(events(usage=True))
    shown = made.feed(gzip.compress(body) if coded else body) + made.last()
    assert (gzip.decompress(shown) if coded else shown) == b"".join(events(usage=False))
    assert made.finish("ok").usage_source == "reported"


@pytest.mark.parametrize(("status", "kind"), [(400, b"text/event-stream"), (200, b"application/json")])
def test_nothing_is_taken_out_of_an_error_or_a_document(status, kind):
    made, _ = meter(asked_for_usage=True)
    made.replied(status, [(b"content-type", kind)])
    assert not made.strips
    event = events(usage=True)[-2]
    assert made.feed(event) == event


def test_what_cannot_be_encoded_again_is_left_as_it_is_and_said():
    made, _ = meter(asked_for_usage=True)
    made.replied(200, [*EVENTS, (b"content-encoding", b"aes128gcm")])
    assert made.feed(b"x") == b"x"
    assert made.finish("ok").flags == ("content_encoding.unknown", "include_usage.not_removed")


def test_our_own_count_is_bounded_by_what_was_allowed():
    made, _ = meter(count=lambda text, characters: Count(characters, "counted"))
    made.replied(200, EVENTS)
    made.feed(b"".join(events(usage=False)))
    closed = made.finish("ok")
    assert closed.usage == Usage(input_tokens=len("How are the tides?"), output_tokens=3)
    assert (closed.usage_source, closed.reason) == ("counted", "usage.not_reported")
    assert closed.flags == ("usage.capped_by_output_limit",)


def test_a_large_prompt_is_not_kept_its_size_is_counted():
    body = b'{"messages":"' + b"x" * COUNTED_PROMPT_BYTES_AT_MOST + b'"}'
    made, _ = meter(body=body)
    made.replied(200, EVENTS)
    assert made._body == b""
    closed = made.finish("ok")
    assert closed.usage.input_tokens == round(len(body) / 4)
    assert closed.usage_source == "inferred"


@pytest.mark.parametrize(
    ("outcome", "status", "usage_source", "reason"),
    [
        ("error", None, "absent", "status_None"),
        ("interrupted", None, "absent", "usage.no_reply"),
        ("aborted", None, "inferred", "usage.not_reported"),
        ("error", 500, "absent", "status_500"),
        ("ok", 200, "inferred", "usage.not_reported"),
    ],
)
def test_why_there_is_no_usage(outcome, status, usage_source, reason):
    made, _ = meter()
    if status is not None:
        made.replied(status, EVENTS)
    closed = made.finish(outcome)
    assert (closed.usage_source, closed.reason, closed.status) == (usage_source, reason, status)


def test_a_client_that_has_gone_makes_a_good_end_an_aborted_one():
    made, _ = meter()
    made.replied(200, EVENTS)
    made.client_gone = True
    assert (made.finish("ok").outcome, made.closed.reason) == ("aborted", "client_gone")


@pytest.mark.parametrize("name", [b"x-request-id", b"request-id", b"apim-request-id", b"x-amzn-requestid"])
def test_the_providers_own_id_of_the_call(name):
    made, _ = meter()
    made.replied(200, [*EVENTS, (name, b"r-1\xff"), (b"x-request-id", b"second")])
    made.feed(b"".join(events(usage=True)))
    assert made.finish("ok").provider_request_id == "r-1ÿ"
    made, _ = meter()
    made.replied(200, EVENTS)
    made.feed(b"".join(events(usage=True)))
    assert made.finish("ok").provider_request_id == "chatcmpl-1"
    assert USAGE["total_tokens"] == 15
