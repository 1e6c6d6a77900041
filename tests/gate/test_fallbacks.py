"""Another provider is tried where nothing was sent to the first, and only there."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.gate.conftest import Through
from tests.loopback import Script, Seen, ask, parse, post, reply, says

BODY = b'{"model": "fast", "messages": []}'
USAGE = b'{"model":"served","usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}'


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def toml(port: int, fallback: str = '["openai"]') -> str:
    return f"""
        [[provider]]
        name = "away"
        origin = "http://127.0.0.1:{port}"
        base = "/other/v1"
        stream_usage = "on_request"
        [[route]]
        match = "fast"
        provider = "away"
        model = "real-model"
        fallback = {fallback}
    """


def test_each_attempt_is_a_row_of_its_own(through: Through, closed_port: int) -> None:
    with through(says(reply(USAGE)), toml=toml(closed_port)) as way:
        answer = parse(ask(way.gate.port, post("/v1/chat/completions", BODY)))
        first, second = way.gate.closed(2)
        (opened,) = way.gate.opened()
    assert answer.body == USAGE
    assert answer.header("x-joulegate-call-id") == second.opened.id.encode()
    assert (first.outcome, first.reason, first.status) == ("error", "upstream_unreachable", None)
    assert (first.opened.provider, second.opened.provider) == ("away", "openai")
    assert (first.opened.attempt, second.opened.attempt) == (1, 2)
    assert first.opened.operation_id == second.opened.operation_id == first.opened.id
    assert second.opened.id != first.opened.id
    assert opened.id == second.opened.id
    assert second.usage is not None
    assert way.provider.seen[0].body == b'{"model": "real-model", "messages": []}'
    assert way.provider.seen[0].line == b"POST /v1/chat/completions HTTP/1.1"


def test_the_last_one_s_failure_is_the_client_s(through: Through, closed_port: int) -> None:
    with through(says(b""), toml=toml(closed_port, '["away"]')) as way:
        answer = parse(ask(way.gate.port, post("/v1/chat/completions", BODY)))
        rows = way.gate.closed(2)
    assert answer.status == 502
    assert [row.status for row in rows] == [None, 502]
    assert [row.opened.attempt for row in rows] == [1, 2]


async def hang_up(seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.close()


@pytest.mark.parametrize(
    ("script", "status"), [(says(reply(b"{}", status="503 Service Unavailable")), 503), (hang_up, 502)]
)
def test_what_was_sent_once_is_never_sent_again(through: Through, script: Script, status: int) -> None:
    again = '[[route]]\nmatch = "fast"\nprovider = "openai"\nfallback = ["openai"]\n'
    with through(script, toml=again) as way:
        assert parse(ask(way.gate.port, post("/v1/chat/completions", BODY))).status == status
        assert len(way.gate.closed(1)) == 1
        assert len(way.provider.seen) == 1


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/v1beta/models/fast:generateContent", b"/v1beta/models/gemini-2.5-flash:generateContent"),
        (
            "/v1beta/models/fast%3AstreamGenerateContent?alt=sse",
            b"/v1beta/models/gemini-2.5-flash%3AstreamGenerateContent?alt=sse",
        ),
        ("/v1beta/fast/models/fast:countTokens", b"/v1beta/fast/models/gemini-2.5-flash:countTokens"),
    ],
)
def test_an_alias_holds_in_a_path_too(through: Through, path: str, sent: bytes) -> None:
    alias = '[[route]]\nmatch = "fast"\nprovider = "openai"\nmodel = "gemini-2.5-flash"\n'
    with through(says(reply(b"{}")), toml=alias) as way:
        assert parse(ask(way.gate.port, post(path, b'{"contents":[]}'))).status == 200
        (record,) = way.gate.closed(1)
    assert way.provider.seen[0].line == b"POST " + sent + b" HTTP/1.1"
    assert way.provider.seen[0].body == b'{"contents":[]}'
    assert record.opened.model_requested == "gemini-2.5-flash"


def test_a_body_too_large_to_hold_keeps_the_model_of_its_path(through: Through) -> None:
    with through(says(reply(b"{}")), hold_body_bytes=1000) as way:
        path = "/openai/model/us.anthropic.claude-sonnet-4-6%3A0/converse"
        assert parse(ask(way.gate.port, post(path, b" " * 5000))).status == 200
        (record,) = way.gate.closed(1)
    assert record.opened.model_requested == "us.anthropic.claude-sonnet-4-6:0"
