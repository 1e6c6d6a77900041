"""OpenAI's official client for Node, unchanged, through the gate: the same results, and each call metered."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from proxy.call import Closed
from tests.sdk.metered import KEY, Ways

pytestmark = pytest.mark.heavy

FOLDER = Path(__file__).parent / "node"


def node(call: str, origin: str, key: str) -> object:
    """Run one call in a process of its own; what it shows comes as JSON."""
    command = ["node", "calls.mjs", call, f"{origin}/v1", key]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def counts(usage: dict[str, int]) -> tuple[int, int]:
    """What was read and what was written, whichever of OpenAI's surfaces says it."""
    read = usage["input_tokens"] if "input_tokens" in usage else usage["prompt_tokens"]
    return read, usage.get("output_tokens", usage.get("completion_tokens", 0))


def check(closed: Closed, surface: str, read: int, written: int) -> None:
    assert (closed.outcome, closed.usage_source, closed.opened.team) == ("ok", "reported", "clients")
    assert closed.opened.surface == surface
    assert (closed.usage.input_tokens, closed.usage.output_tokens or 0) == (read, written)


@pytest.mark.parametrize(
    ("call", "surface"),
    [
        ("chat", "openai.chat"),
        ("tool", "openai.chat"),
        ("response", "openai.responses"),
        ("embeddings", "openai.embeddings"),
    ],
)
def test_whole_replies(ways: Ways, call, surface):
    given, (closed,) = ways.closed(lambda: node(call, ways.gate.url, KEY))
    assert given == node(call, ways.direct, "sk-test")
    check(closed, surface, *counts(given["usage"]))


@pytest.mark.parametrize("call", ["stream", "streamWithUsage", "streamWithTheHelper", "toolStreamed"])
def test_streams(ways, call):
    given, (closed,) = ways.closed(lambda: node(call, ways.gate.url, KEY))
    assert given == node(call, ways.direct, "sk-test")
    stated = node("tool" if call == "toolStreamed" else "chat", ways.direct, "sk-test")["usage"]
    check(closed, "openai.chat", *counts(stated))
    assert closed.opened.stream
    if isinstance(given, list):
        assert any(chunk.get("usage") for chunk in given) == (call == "streamWithUsage")


def test_a_streamed_response(ways):
    given, (closed,) = ways.closed(lambda: node("responseStreamed", ways.gate.url, KEY))
    assert given == node("responseStreamed", ways.direct, "sk-test")
    check(closed, "openai.responses", *counts(given[-1]["response"]["usage"]))


def test_tools_that_the_client_runs_are_two_calls(ways):
    given, calls = ways.closed(lambda: node("toolsRun", ways.gate.url, KEY), count=2)
    assert given == node("toolsRun", ways.direct, "sk-test")
    assert [message["role"] for message in given] == ["user", "assistant", "tool", "assistant"]
    assert calls[0].usage.input_tokens < calls[1].usage.input_tokens


def test_errors_are_the_clients_own(ways):
    given, calls = ways.closed(lambda: node("refused", ways.gate.url, KEY), count=7)
    assert given == node("refused", ways.direct, "sk-test")
    assert [error["kind"] for error in given[:5]] == [
        "BadRequestError",
        "AuthenticationError",
        "PermissionDeniedError",
        "NotFoundError",
        "RateLimitError",
    ]
    assert [(call.outcome, call.status) for call in calls] == [("error", error["status"]) for error in given]


def test_each_of_the_clients_attempts_is_a_call(ways):
    given, calls = ways.closed(lambda: node("retried", ways.gate.url, KEY), count=3)
    assert given == node("retried", ways.direct, "sk-test")
    assert [(call.outcome, call.status) for call in calls] == [("error", 429), ("error", 503), ("ok", 200)]
    assert [call.opened.attributes.get("retry_count") for call in calls] == [None, "1", "2"]
    check(calls[2], "openai.chat", *counts(given["usage"]))


def test_an_error_inside_a_stream(ways):
    given, (closed,) = ways.closed(lambda: node("errorInsideAStream", ways.gate.url, KEY))
    assert given == node("errorInsideAStream", ways.direct, "sk-test")
    assert (given["kind"], len(given["seen"])) == ("APIError", 4)
    assert (closed.outcome, closed.status) == ("error", 200)


def test_a_client_that_leaves_is_metered_to_the_end(ways):
    _, (closed,) = ways.closed(lambda: node("left", ways.gate.url, KEY))
    assert (closed.outcome, closed.reason, closed.usage_source) == ("aborted", "client_gone", "reported")
    assert closed.usage.output_tokens == 9
