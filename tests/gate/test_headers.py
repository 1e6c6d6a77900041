"""The headers the gate adds: its call's id always, estimates on replies that are not streamed."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from estimator import centre
from tests.gate.chat import USAGE, asking, events
from tests.loopback import ask, chunk, parse, post, reply, says, stream_head

PLAIN = json.dumps({"id": "c", "model": "gpt-4o", "choices": [], "usage": USAGE}).encode()
CHAT = post("/v1/chat/completions", b'{"model":"gpt-4o","messages":[]}')
ESTIMATES = ["x-joulegate-cost-usd", "x-joulegate-energy-joules", "x-joulegate-co2e-grams"]


def estimates(answer) -> list[bytes]:
    return [value for name in ESTIMATES if (value := answer.header(name)) is not None]


@pytest.mark.parametrize(
    "raw", [reply(PLAIN), stream_head(content_type="application/json") + chunk(PLAIN) + chunk(b"")]
)
def test_a_plain_reply_tells_what_it_cost(through, raw):
    with through(says(raw)) as way:
        answer = parse(ask(way.gate.port, CHAT))
        [call] = way.gate.closed(1)
        expected = centre(call.usage, "gpt-4o", provider="openai", zone="USA")
        assert Decimal(answer.header("x-joulegate-cost-usd").decode()) == expected.cost_usd > 0
        assert float(answer.header("x-joulegate-energy-joules")) == pytest.approx(expected.joules, rel=1e-5)
        assert float(answer.header("x-joulegate-co2e-grams")) == pytest.approx(expected.grams_co2e, rel=1e-5)
        assert answer.header("x-joulegate-call-id") == call.opened.id.encode()
        names = [name for name, _ in answer.headers]
        assert len(names) == len(set(names))


def test_no_estimates_on_streams_errors_and_where_nothing_is_known(through):
    stream = stream_head() + b"".join(map(chunk, [*events(usage=True), b""]))
    for script, request in (
        (says(stream), asking()),
        (says(reply(PLAIN, status="500 Oops")), post("/openai/v1/files", b"x")),
        (says(reply(b'{"error":{}}', status="400 Bad")), CHAT),
        (says(reply(b"{}")), post("/openai/v1/files", b"x")),
    ):
        with through(script) as way:
            answer = parse(ask(way.gate.port, request))
            assert estimates(answer) == []
            assert answer.header("x-joulegate-call-id")


def test_an_unknown_model_has_no_cost(through):
    body = PLAIN.replace(b"gpt-4o", b"nobody-knows-this-model")
    with through(says(reply(body))) as way:
        answer = parse(ask(way.gate.port, post("/v1/chat/completions", b'{"model":"openai/nobody-knows-this-model"}')))
        assert answer.header("x-joulegate-cost-usd") is None
        assert answer.body == body


def test_the_configuration_turns_estimates_off(through):
    with through(says(reply(PLAIN)), estimate_headers=False) as way:
        answer = parse(ask(way.gate.port, CHAT))
        assert estimates(answer) == []
        assert answer.header("x-joulegate-call-id")


def test_a_failing_estimate_fails_no_call(through):
    def fail(closed):
        raise ValueError

    with through(says(reply(PLAIN))) as way:
        way.gate.app.gate.estimate_headers = fail
        answer = parse(ask(way.gate.port, CHAT))
        assert (answer.status, answer.body, estimates(answer)) == (200, PLAIN, [])
        assert way.gate.closed(1)[0].usage_source == "reported"


def test_a_large_plain_reply_is_not_held_for_its_estimates(through):
    body = (
        b'{"data":"'
        + b"x" * 600_000
        + b'","model":"text-embedding-3-small","usage":{"prompt_tokens":5,"total_tokens":5}}'
    )
    with through(says(reply(body))) as way:
        answer = parse(ask(way.gate.port, post("/v1/embeddings", b'{"model":"text-embedding-3-small","input":"x"}')))
        assert answer.body == body
        [call] = way.gate.closed(1)
        assert (call.usage_source, call.usage.input_tokens) == ("reported", 5)
