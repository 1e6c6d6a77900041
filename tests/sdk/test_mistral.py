"""Mistral's official SDK, unchanged, through the gate: the same results, and each call metered as it says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import httpx2
import pytest
from mistralai.client import Mistral, errors, models
from mistralai.client.utils import BackoffStrategy, RetryConfig

from tests.sdk.metered import ASK, KEY, TOOL, WEATHER, Seen, Ways, check, same

pytestmark = pytest.mark.heavy

MODEL = "mistral-small-latest"
RETRIES = RetryConfig("backoff", BackoffStrategy(10, 20, 1.1, 5000, 5), retry_connection_errors=False)


@contextlib.contextmanager
def client(origin: str, key: str, **settings: object) -> Iterator[Mistral]:
    with Mistral(api_key=key, server_url=f"{origin}/mistral", **settings) as made:
        yield made


@pytest.fixture
def clients(ways: Ways) -> Iterator[tuple[Mistral, Mistral]]:
    with client(ways.direct, "mistral-test") as direct, client(ways.gate.url, KEY) as through_gate:
        yield direct, through_gate


def wishing(**headers: str) -> dict[str, object]:
    """Its streams report their usage unasked, as Mistral's do."""
    return {"http_headers": {"x-simulate-usage": "always", **headers}}


def seen(usage: models.UsageInfo, model: str, *shown: object) -> Seen:
    return Seen(
        shown=shown,
        surface="openai.chat",
        model=model,
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
    )


def whole(reply: models.ChatCompletionResponse) -> Seen:
    return seen(reply.usage, reply.model, reply.model_dump())


def collected(stream: contextlib.AbstractContextManager[Iterator[models.CompletionEvent]]) -> Seen:
    with stream as events:
        chunks = [event.data for event in events]
    return seen(chunks[-1].usage, chunks[-1].model, [chunk.model_dump() for chunk in chunks])


def plain(client: Mistral) -> Seen:
    return whole(client.chat.complete(model=MODEL, messages=ASK, max_tokens=50, **wishing()))


def tool(client: Mistral) -> Seen:
    reply = client.chat.complete(model=MODEL, messages=WEATHER, tools=[TOOL], **wishing())
    assert [call.function.name for call in reply.choices[0].message.tool_calls] == ["get_weather"]
    return whole(reply)


def tool_answered(client: Mistral) -> Seen:
    function = {"name": "get_weather", "arguments": '{"city":"Oslo","days":1}'}
    called = {"role": "assistant", "content": "", "tool_calls": [{"id": "call_1", "function": function}]}
    answered = {"role": "tool", "tool_call_id": "call_1", "name": "get_weather", "content": "Rain, 7 degrees."}
    reply = client.chat.complete(model=MODEL, messages=[*WEATHER, called, answered], tools=[TOOL], **wishing())
    assert reply.choices[0].message.content
    return whole(reply)


def json_mode(client: Mistral) -> Seen:
    form = {"type": "json_object"}
    return whole(client.chat.complete(model=MODEL, messages=ASK, response_format=form, **wishing()))


def streamed(client: Mistral) -> Seen:
    return collected(client.chat.stream(model=MODEL, messages=ASK, max_tokens=50, **wishing()))


def tool_streamed(client: Mistral) -> Seen:
    return collected(client.chat.stream(model=MODEL, messages=WEATHER, tools=[TOOL], **wishing()))


CALLS: dict[str, Callable[[Mistral], Seen]] = {
    call.__name__: call for call in (plain, tool, tool_answered, json_mode, streamed, tool_streamed)
}


@pytest.mark.parametrize("name", CALLS)
def test_the_client_sees_the_same_and_the_gate_meters_it(ways, clients, name):
    _, closed = same(ways, clients, CALLS[name], asked=MODEL, stream="streamed" in name)
    assert closed.opened.provider == "mistral"


@pytest.mark.parametrize("encoding", ["identity", "gzip", "br"])
def test_whatever_the_encoding_and_the_pieces(ways, clients, encoding):
    headers = wishing(**{"x-simulate-content-encoding": encoding, "x-simulate-splits": "5"})
    given, (closed,) = ways.closed(
        lambda: collected(clients[1].chat.stream(model=MODEL, messages=ASK, max_tokens=50, **headers))
    )
    assert given == streamed(clients[0])
    check(closed, given, asked=MODEL, stream=True)


def test_embeddings(ways, clients):
    def ask(client: Mistral) -> models.EmbeddingResponse:
        return client.embeddings.create(model="mistral-embed", inputs=["tide", "wind over the sea"])

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert given == ask(clients[0])
    assert (closed.outcome, closed.opened.surface) == ("ok", "openai.embeddings")
    assert closed.usage.input_tokens == given.usage.prompt_tokens == 1 + 5


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_sdks_own(ways, clients, status, stream):
    def ask(client: Mistral) -> object:
        call = client.chat.stream if stream else client.chat.complete
        with pytest.raises(errors.SDKError) as raised:
            call(model=MODEL, messages=ASK, **wishing(**{"x-simulate-status": str(status)}))
        return raised.value.status_code, raised.value.body

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert given == ask(clients[0])
    assert given[0] == status
    assert (closed.outcome, closed.status, closed.usage) == ("error", status, None)


def test_each_of_the_sdks_attempts_is_a_call(ways):
    headers = wishing(**{"x-simulate-status": "429,503,200", "x-simulate-retry-after-ms": "0"})

    def ask(origin: str, key: str) -> Seen:
        with client(origin, key, retry_config=RETRIES) as retrying:
            return whole(retrying.chat.complete(model=MODEL, messages=ASK, max_tokens=9, **headers))

    given, calls = ways.closed(lambda: ask(ways.gate.url, KEY), count=3)
    assert given == ask(ways.direct, "mistral-test")
    assert [(call.outcome, call.status) for call in calls] == [("error", 429), ("error", 503), ("ok", 200)]
    check(calls[2], given, asked=MODEL, stream=False)


def test_a_stream_that_breaks_off_is_an_error_of_the_provider(ways, clients):
    def ask(client: Mistral) -> list[object]:
        chunks: list[object] = []
        headers = wishing(**{"x-simulate-cut-after": "6"})
        with (
            client.chat.stream(model=MODEL, messages=ASK, **headers) as stream,
            pytest.raises(httpx2.TransportError),  # the SDK leaves it as it is
        ):
            chunks.extend(event.data for event in stream)
        return chunks

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert closed.outcome == "error"
    assert given == ask(clients[0])[: len(given)]


def test_a_client_that_leaves_is_metered_to_the_end(ways, clients):
    headers = wishing(**{"x-simulate-output-tokens": "9", "x-simulate-token-ms": "100"})

    def leave() -> None:
        with clients[1].chat.stream(model=MODEL, messages=ASK, **headers) as stream:
            for _ in zip(range(4), stream, strict=False):
                pass

    _, (closed,) = ways.closed(leave)
    assert (closed.outcome, closed.reason, closed.usage_source) == ("aborted", "client_gone", "reported")
    assert closed.usage.output_tokens == 9
