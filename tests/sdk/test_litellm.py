"""LiteLLM's SDK as a client, unchanged, through the gate: the same results, and each call metered as it says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sdk.metered import KEY

pytestmark = pytest.mark.heavy

ROOT = Path(__file__).parents[2]
MODELS = {  # the SDK's name, our format, the model asked for, where its base is
    "openai": ("openai/gpt-4o", "openai.chat", "gpt-4o", "/v1"),
    "anthropic": ("anthropic/claude-haiku-4-5", "anthropic.messages", "claude-haiku-4-5", ""),
    "gemini": ("gemini/gemini-2.5-flash", "gemini.generate_content", "gemini-2.5-flash", "/v1beta"),
    "mistral": ("mistral/mistral-small-latest", "openai.chat", "mistral-small-latest", "/v1"),
}
Asking = Callable[..., object]


@pytest.fixture(scope="module")
def ask() -> Iterator[Asking]:
    """Do what a user of the SDK does, in a process that has it loaded."""
    command = [sys.executable, "-m", "tests.sdk.litellm_calls"]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:

        def asked(call: str, origin: str, key: str, maker: str = "openai", **settings: object) -> object:
            model, _, _, base = MODELS[maker]
            wish = {
                "call": call,
                "model": model,
                "api_base": origin + base,
                "api_key": key,
                "max_retries": 0,
                **settings,
            }
            process.stdin.write(json.dumps(wish) + "\n")
            process.stdin.flush()
            return json.loads(process.stdout.readline())

        yield asked
        process.stdin.close()


def usage(seen: object) -> tuple[int, int]:
    """What was read and written, as the SDK tells its user."""
    last = seen if isinstance(seen, dict) else next(each for each in reversed(seen) if each.get("usage"))
    return last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]


@pytest.mark.parametrize("maker", MODELS)
@pytest.mark.parametrize("call", ["plain", "streamed", "tool", "tool_streamed", "tool_answered"])
def test_the_client_sees_the_same_and_the_gate_meters_it(ways, ask, maker, call):
    settings = {"extra_headers": {"x-simulate-usage": "always"}} if maker == "mistral" else {}
    given, (closed,) = ways.closed(lambda: ask(call, ways.gate.url, KEY, maker, **settings))
    assert given == ask(call, ways.direct, "a-key", maker, **settings)
    assert "error" not in given
    _, surface, model, _ = MODELS[maker]
    assert (closed.outcome, closed.usage_source, closed.flags) == ("ok", "reported", ())
    assert (closed.opened.surface, closed.opened.model_requested, closed.opened.team) == (surface, model, "clients")
    assert closed.opened.stream == call.endswith("streamed")
    assert (closed.usage.input_tokens, closed.usage.output_tokens) == usage(given)
    if call in ("tool", "tool_streamed"):
        assert "get_weather" in json.dumps(given)


@pytest.mark.parametrize(
    ("call", "surface"), [("response", "openai.responses"), ("response_streamed", "openai.responses")]
)
def test_responses(ways, ask, call, surface):
    given, (closed,) = ways.closed(lambda: ask(call, ways.gate.url, KEY, model="openai/gpt-5"))
    assert given == ask(call, ways.direct, "a-key", model="openai/gpt-5")
    stated = given["usage"] if call == "response" else given[-1]["response"]["usage"]
    assert (closed.outcome, closed.usage_source, closed.opened.surface) == ("ok", "reported", surface)
    assert (closed.usage.input_tokens, closed.usage.output_tokens) == (stated["input_tokens"], stated["output_tokens"])


def test_embeddings(ways, ask):
    given, (closed,) = ways.closed(lambda: ask("embeddings", ways.gate.url, KEY, model="openai/text-embedding-3-small"))
    assert given == ask("embeddings", ways.direct, "a-key", model="openai/text-embedding-3-small")
    assert (closed.outcome, closed.opened.surface) == ("ok", "openai.embeddings")
    assert closed.usage.input_tokens == given["usage"]["prompt_tokens"]


@pytest.mark.parametrize("maker", MODELS)
@pytest.mark.parametrize("call", ["plain", "streamed"])
@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_errors_are_the_clients_own(ways, ask, maker, call, status):
    settings = {"extra_headers": {"x-simulate-status": str(status)}}
    given, (closed,) = ways.closed(lambda: ask(call, ways.gate.url, KEY, maker, **settings))
    assert given == ask(call, ways.direct, "a-key", maker, **settings)
    assert given["error"]
    assert (closed.outcome, closed.status, closed.usage) == ("error", status, None)


def test_each_of_the_clients_attempts_is_a_call(ways, ask):
    settings = {"extra_headers": {"x-simulate-status": "429,503,200"}, "max_retries": 2}
    given, calls = ways.closed(lambda: ask("plain", ways.gate.url, KEY, **settings), count=3)
    assert given == ask("plain", ways.direct, "a-key", **settings)
    assert [(call.outcome, call.status) for call in calls] == [("error", 429), ("error", 503), ("ok", 200)]
    assert (calls[2].usage.input_tokens, calls[2].usage.output_tokens) == usage(given)


def test_an_error_inside_a_stream(ways, ask):
    settings = {"extra_headers": {"x-simulate-error-after": "4"}}
    given, (closed,) = ways.closed(lambda: ask("streamed", ways.gate.url, KEY, **settings))
    assert given == ask("streamed", ways.direct, "a-key", **settings)
    assert given["error"]
    assert (closed.outcome, closed.status) == ("error", 200)


@pytest.mark.parametrize("maker", ["openai", "anthropic"])
def test_a_client_that_leaves_is_metered_to_the_end(ways, ask, maker):
    settings = {"extra_headers": {"x-simulate-output-tokens": "9", "x-simulate-token-ms": "100"}}
    _, (closed,) = ways.closed(lambda: ask("left", ways.gate.url, KEY, maker, **settings))
    assert (closed.outcome, closed.reason, closed.usage_source) == ("aborted", "client_gone", "reported")
    assert closed.usage.output_tokens == 9
