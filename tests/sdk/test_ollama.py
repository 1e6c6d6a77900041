"""Ollama's official client, unchanged, through the gate: the same results, and each call metered as it says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import httpx
import ollama
import pytest

from tests.sdk.metered import ASK, KEY, SCHEMA, TOOL, WEATHER, Seen, Ways, check, same

pytestmark = pytest.mark.heavy

MODEL = "llama3.2:3b"
SHORT = {"num_predict": 60}


@contextlib.contextmanager
def client(origin: str, key: str | None = None, **headers: str) -> Iterator[ollama.Client]:
    keyed = headers if key is None else headers | {"authorization": f"Bearer {key}"}
    with ollama.Client(host=f"{origin}/ollama", headers=keyed) as made:
        yield made


@pytest.fixture
def clients(ways: Ways) -> Iterator[tuple[ollama.Client, ollama.Client]]:
    with client(ways.direct) as direct, client(ways.gate.url, KEY) as through_gate:
        yield direct, through_gate


def seen(last: ollama.ChatResponse | ollama.GenerateResponse, *shown: object) -> Seen:
    assert last.done
    return Seen(
        shown=(last.model_dump(), *shown),
        surface="ollama.chat" if isinstance(last, ollama.ChatResponse) else "ollama.generate",
        model=last.model,
        input_tokens=last.prompt_eval_count,
        output_tokens=last.eval_count,
    )


def plain(client: ollama.Client) -> Seen:
    return seen(client.chat(model=MODEL, messages=ASK, options=SHORT))


def at_its_limit(client: ollama.Client) -> Seen:
    reply = client.chat(model=MODEL, messages=ASK, options={"num_predict": 7})
    assert (reply.done_reason, reply.eval_count) == ("length", 7)
    return seen(reply)


def thinking(client: ollama.Client) -> Seen:
    reply = client.chat(model=MODEL, messages=ASK, think=True)
    assert reply.message.thinking
    return seen(reply)


def tool(client: ollama.Client) -> Seen:
    reply = client.chat(model=MODEL, messages=WEATHER, tools=[TOOL])
    (call,) = reply.message.tool_calls
    assert set(call.function.arguments) == {"city", "days"}
    return seen(reply)


def tool_answered(client: ollama.Client) -> Seen:
    called = {"function": {"name": "get_weather", "arguments": {"city": "Oslo", "days": 1}}}
    turns = [
        *WEATHER,
        {"role": "assistant", "content": "", "tool_calls": [called]},
        {"role": "tool", "tool_name": "get_weather", "content": "Rain, 7 degrees."},
    ]
    reply = client.chat(model=MODEL, messages=turns, tools=[TOOL])
    assert reply.message.content
    return seen(reply)


def structured(client: ollama.Client) -> Seen:
    return seen(client.chat(model=MODEL, messages=ASK, format=SCHEMA))


def generated(client: ollama.Client) -> Seen:
    return seen(client.generate(model=MODEL, prompt="Tell me about tides.", system="Be brief.", options=SHORT))


def streamed(client: ollama.Client) -> Seen:
    parts = list(client.chat(model=MODEL, messages=ASK, options=SHORT, stream=True))
    return seen(parts[-1], [part.model_dump() for part in parts])


def thinking_streamed(client: ollama.Client) -> Seen:
    parts = list(client.chat(model=MODEL, messages=ASK, think=True, stream=True))
    return seen(parts[-1], [part.model_dump() for part in parts])


def tool_streamed(client: ollama.Client) -> Seen:
    parts = list(client.chat(model=MODEL, messages=WEATHER, tools=[TOOL], stream=True))
    assert any(part.message.tool_calls for part in parts)
    return seen(parts[-1], [part.model_dump() for part in parts])


def generated_streamed(client: ollama.Client) -> Seen:
    parts = list(client.generate(model=MODEL, prompt="Tell me about tides.", options=SHORT, stream=True))
    return seen(parts[-1], [part.model_dump() for part in parts])


CALLS: dict[str, Callable[[ollama.Client], Seen]] = {
    call.__name__: call
    for call in (
        plain,
        at_its_limit,
        thinking,
        tool,
        tool_answered,
        structured,
        generated,
        streamed,
        thinking_streamed,
        tool_streamed,
        generated_streamed,
    )
}


@pytest.mark.parametrize("name", CALLS)
def test_the_client_sees_the_same_and_the_gate_meters_it(ways, clients, name):
    given, closed = same(ways, clients, CALLS[name], asked=MODEL, stream="streamed" in name)
    assert closed.usage.units["eval_seconds"] == pytest.approx(given.output_tokens * 0.01)


@pytest.mark.parametrize("encoding", ["identity", "gzip", "br"])
def test_whatever_the_encoding_and_the_pieces(ways, clients, encoding):
    headers = {"x-simulate-content-encoding": encoding, "x-simulate-splits": "5"}
    with client(ways.gate.url, KEY, **headers) as through_gate:
        given, (closed,) = ways.closed(lambda: streamed(through_gate))
    assert given == streamed(clients[0])
    check(closed, given, asked=MODEL, stream=True)


def test_embeddings(ways, clients):
    def ask(client: ollama.Client) -> ollama.EmbedResponse:
        return client.embed(model="nomic-embed-text", input=["tide", "wind over the sea"], dimensions=8)

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert given == ask(clients[0])
    assert [len(vector) for vector in given.embeddings] == [8, 8]
    assert (closed.outcome, closed.opened.surface, closed.usage_source) == ("ok", "ollama.embed", "reported")
    assert closed.usage.input_tokens == given.prompt_eval_count == 1 + 5


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
@pytest.mark.parametrize("call", [plain, streamed])
def test_errors_are_the_clients_own(ways, status, call):
    """It has one for all, and does not try again."""

    def ask(origin: str, key: str | None) -> tuple[int, str]:
        wish = {"x-simulate-status": str(status)}
        with client(origin, key, **wish) as asking, pytest.raises(ollama.ResponseError) as raised:
            call(asking)
        return raised.value.status_code, raised.value.error

    given, (closed,) = ways.closed(lambda: ask(ways.gate.url, KEY))
    assert given == ask(ways.direct, None)
    assert given[0] == status
    assert (closed.outcome, closed.status, closed.usage) == ("error", status, None)


def test_an_error_inside_a_stream_is_the_clients_own_and_one_on_the_record(ways):
    def ask(origin: str, key: str | None) -> tuple[str, list[object]]:
        parts: list[object] = []
        with client(origin, key, **{"x-simulate-error-after": "5"}) as asking:
            stream = asking.chat(model=MODEL, messages=ASK, stream=True)
            with pytest.raises(ollama.ResponseError) as raised:
                parts.extend(stream)
        return raised.value.error, parts

    given, (closed,) = ways.closed(lambda: ask(ways.gate.url, KEY))
    assert given == ask(ways.direct, None)
    assert len(given[1]) == 5
    assert (closed.outcome, closed.status) == ("error", 200)


def test_a_stream_that_breaks_off_is_an_error_of_the_provider(ways):
    def ask(origin: str, key: str | None) -> list[object]:
        parts: list[object] = []
        with client(origin, key, **{"x-simulate-cut-after": "6"}) as asking, pytest.raises(httpx.TransportError):
            parts.extend(asking.chat(model=MODEL, messages=ASK, stream=True))
        return parts

    given, (closed,) = ways.closed(lambda: ask(ways.gate.url, KEY))
    assert closed.outcome == "error"
    assert given == ask(ways.direct, None)[: len(given)]


def test_a_client_that_leaves_is_metered_to_the_end(ways):
    headers = {"x-simulate-output-tokens": "9", "x-simulate-token-ms": "100"}

    def leave() -> None:
        with client(ways.gate.url, KEY, **headers) as asking:
            stream = asking.chat(model=MODEL, messages=ASK, stream=True)
            for _ in zip(range(3), stream, strict=False):
                pass
            stream.close()

    _, (closed,) = ways.closed(leave)
    assert (closed.outcome, closed.reason, closed.usage_source) == ("aborted", "client_gone", "reported")
    assert closed.usage.output_tokens == 9
