"""Cohere's official SDK, unchanged, through the gate: the same results, and each call metered as it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cohere
import httpx
import pytest

from tests.sdk.metered import ASK, KEY, SCHEMA, TOOL, WEATHER, Seen, Ways, check, same

pytestmark = pytest.mark.heavy

MODEL = "command-a-03-2025"


@pytest.fixture
def clients(ways: Ways) -> Iterator[tuple[cohere.ClientV2, cohere.ClientV2]]:
    with (
        cohere.ClientV2(api_key="co-test", base_url=f"{ways.direct}/cohere") as direct,
        cohere.ClientV2(api_key=KEY, base_url=f"{ways.gate.url}/cohere") as through_gate,
    ):
        yield direct, through_gate


def wishing(*, retries: int = 0, **headers: str) -> dict[str, object]:
    return {"additional_headers": headers, "max_retries": retries}


def seen(usage: cohere.Usage, *shown: object) -> Seen:
    assert usage.billed_units.input_tokens < usage.tokens.input_tokens
    return Seen(
        shown=(usage, *shown),
        surface="cohere.chat",
        model=None,  # no reply names it
        input_tokens=int(usage.tokens.input_tokens),
        output_tokens=int(usage.tokens.output_tokens),
        cached_input_tokens=int(usage.cached_tokens),
    )


def whole(reply: cohere.V2ChatResponse) -> Seen:
    return seen(reply.usage, reply.model_dump())


def plain(client: cohere.ClientV2) -> Seen:
    return whole(client.chat(model=MODEL, messages=ASK, max_tokens=50))


def at_its_limit(client: cohere.ClientV2) -> Seen:
    reply = client.chat(model=MODEL, messages=ASK, max_tokens=7)
    assert (reply.finish_reason, reply.usage.tokens.output_tokens) == ("MAX_TOKENS", 7)
    return whole(reply)


def tool(client: cohere.ClientV2) -> Seen:
    reply = client.chat(model=MODEL, messages=WEATHER, tools=[TOOL])
    assert [call.function.name for call in reply.message.tool_calls] == ["get_weather"]
    return whole(reply)


def tool_answered(client: cohere.ClientV2) -> Seen:
    function = {"name": "get_weather", "arguments": '{"city":"Oslo","days":1}'}
    called = {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}
    answered = {"role": "tool", "tool_call_id": "call_1", "content": "Rain, 7 degrees."}
    reply = client.chat(model=MODEL, messages=[*WEATHER, called, answered], tools=[TOOL])
    assert reply.message.content[0].text
    return whole(reply)


def structured(client: cohere.ClientV2) -> Seen:
    form = {"type": "json_object", "json_schema": SCHEMA}
    return whole(client.chat(model=MODEL, messages=ASK, response_format=form))


def streamed(client: cohere.ClientV2) -> Seen:
    events = list(client.chat_stream(model=MODEL, messages=ASK, max_tokens=50))
    return seen(events[-1].delta.usage, [event.model_dump() for event in events])


def tool_streamed(client: cohere.ClientV2) -> Seen:
    events = list(client.chat_stream(model=MODEL, messages=WEATHER, tools=[TOOL]))
    assert "tool-call-delta" in [event.type for event in events]
    return seen(events[-1].delta.usage, [event.model_dump() for event in events])


CALLS: dict[str, Callable[[cohere.ClientV2], Seen]] = {
    call.__name__: call for call in (plain, at_its_limit, tool, tool_answered, structured, streamed, tool_streamed)
}


@pytest.mark.parametrize("name", CALLS)
def test_the_client_sees_the_same_and_the_gate_meters_it(ways, clients, name):
    same(ways, clients, CALLS[name], asked=MODEL, stream="streamed" in name)


@pytest.mark.parametrize("encoding", ["identity", "gzip", "br"])
def test_whatever_the_encoding_and_the_pieces(ways, clients, encoding):
    options = wishing(**{"x-simulate-content-encoding": encoding, "x-simulate-splits": "5"})

    def ask(client: cohere.ClientV2, options: dict[str, object] | None = None) -> Seen:
        events = list(client.chat_stream(model=MODEL, messages=ASK, max_tokens=50, request_options=options))
        return seen(events[-1].delta.usage, [event.model_dump() for event in events])

    given, (closed,) = ways.closed(lambda: ask(clients[1], options))
    assert given == ask(clients[0])
    check(closed, given, asked=MODEL, stream=True)


def test_what_is_billed_stands_beside_what_was_read(ways, clients):
    given, (closed,) = ways.closed(lambda: plain(clients[1]))
    billed = given.shown[0].billed_units
    assert closed.usage.units == {
        "billed_input_tokens": billed.input_tokens,
        "billed_output_tokens": billed.output_tokens,
    }


def test_embeddings(ways, clients):
    def ask(client: cohere.ClientV2) -> cohere.EmbedByTypeResponse:
        return client.embed(
            model="embed-v4.0",
            texts=["tide", "wind over the sea"],
            input_type="search_document",
            embedding_types=["float"],
            output_dimension=8,
        )

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert given == ask(clients[0])
    assert [len(vector) for vector in given.embeddings.float_] == [8, 8]
    assert (closed.outcome, closed.opened.surface, closed.usage_source) == ("ok", "cohere.embed", "reported")
    assert closed.usage.input_tokens == given.meta.billed_units.input_tokens == 1 + 5


def test_searches_are_counted_and_no_tokens(ways, clients):
    def ask(client: cohere.ClientV2) -> cohere.V2RerankResponse:
        return client.rerank(model="rerank-v3.5", query="tide", documents=["wind"] * 101, top_n=2)

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert given == ask(clients[0])
    assert len(given.results) == 2
    assert (closed.outcome, closed.opened.surface, closed.usage_source) == ("ok", "cohere.rerank", "reported")
    assert (closed.usage.input_tokens, closed.usage.units) == (None, {"search_units": 2})


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, cohere.BadRequestError),
        (401, cohere.UnauthorizedError),
        (403, cohere.ForbiddenError),
        (404, cohere.NotFoundError),
        (422, cohere.UnprocessableEntityError),
        (429, cohere.TooManyRequestsError),
        (500, cohere.InternalServerError),
        (503, cohere.ServiceUnavailableError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_sdks_own(ways, clients, status, kind, stream):
    options = wishing(**{"x-simulate-status": str(status)})

    def ask(client: cohere.ClientV2) -> object:
        call = client.chat_stream if stream else client.chat
        with pytest.raises(kind) as raised:
            list(call(model=MODEL, messages=ASK, request_options=options))
        return raised.value.status_code, raised.value.body

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert given == ask(clients[0])
    assert (closed.outcome, closed.status, closed.usage) == ("error", status, None)


def test_each_of_the_sdks_attempts_is_a_call(ways, clients):
    options = wishing(retries=2, **{"x-simulate-status": "429,503,200", "x-simulate-retry-after-ms": "20"})

    def ask(client: cohere.ClientV2) -> Seen:
        return whole(client.chat(model=MODEL, messages=ASK, max_tokens=9, request_options=options))

    given, calls = ways.closed(lambda: ask(clients[1]), count=3)
    assert given == ask(clients[0])
    assert [(call.outcome, call.status) for call in calls] == [("error", 429), ("error", 503), ("ok", 200)]
    check(calls[2], given, asked=MODEL, stream=False)


def test_a_stream_that_ends_in_an_error_is_one_on_the_record(ways, clients):
    options = wishing(**{"x-simulate-error-after": "5"})

    def ask(client: cohere.ClientV2) -> list[object]:
        return [event.model_dump() for event in client.chat_stream(model=MODEL, messages=ASK, request_options=options)]

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert given == ask(clients[0])
    assert given[-1]["delta"]["finish_reason"] == "ERROR"
    assert (closed.outcome, closed.reason, closed.status) == ("error", "ERROR", 200)


def test_a_stream_that_breaks_off_is_an_error_of_the_provider(ways, clients):
    options = wishing(**{"x-simulate-cut-after": "6"})

    def ask(client: cohere.ClientV2) -> list[object]:
        events: list[object] = []
        with pytest.raises(httpx.TransportError):  # the SDK leaves it as it is
            events.extend(client.chat_stream(model=MODEL, messages=ASK, request_options=options))
        return events

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert closed.outcome == "error"
    assert given == ask(clients[0])[: len(given)]


def test_a_client_that_leaves_is_metered_to_the_end(ways, clients):
    options = wishing(**{"x-simulate-output-tokens": "9", "x-simulate-token-ms": "100"})

    def leave() -> None:
        stream = clients[1].chat_stream(model=MODEL, messages=ASK, request_options=options)
        for _ in zip(range(4), stream, strict=False):
            pass
        stream.close()

    _, (closed,) = ways.closed(leave)
    assert (closed.outcome, closed.reason, closed.usage_source) == ("aborted", "client_gone", "reported")
    assert closed.usage.output_tokens == 9
