"""Google's official SDK, unchanged, through the gate: the same results, and each call metered as it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import httpx2
import pydantic
import pytest
from google import genai
from google.genai import errors, types

from tests.sdk.metered import KEY, Seen, Ways, check, same
from tests.simulator.raw import request

pytestmark = pytest.mark.heavy

MODEL = "gemini-2.5-flash"
ASK = "Tell me about tidal power, café by café."
WEATHER = "How is the weather in Oslo?"
TOOL = types.Tool(
    function_declarations=[
        types.FunctionDeclaration(
            name="get_weather",
            parameters=types.Schema(
                type=types.Type.OBJECT,
                properties={
                    "city": types.Schema(type=types.Type.STRING),
                    "days": types.Schema(type=types.Type.INTEGER, minimum=1, maximum=7),
                },
                required=["city", "days"],
            ),
        )
    ]
)
UNTHINKING = types.ThinkingConfig(thinking_budget=0)


class Step(pydantic.BaseModel):
    explanation: str
    output: float


def client(origin: str, key: str, **headers: str) -> genai.Client:
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=f"{origin}/gemini", headers=headers))


@pytest.fixture
def clients(ways: Ways) -> Iterator[tuple[genai.Client, genai.Client]]:
    with client(ways.direct, "AIza-test") as direct, client(ways.gate.url, KEY) as through_gate:
        yield direct, through_gate


def shown(reply: pydantic.BaseModel) -> object:
    return reply.model_dump(exclude={"sdk_http_response", "parsed"})


def seen(reply: types.GenerateContentResponse, *more: object) -> Seen:
    usage = reply.usage_metadata
    written, thought = usage.candidates_token_count or 0, usage.thoughts_token_count or 0
    assert usage.total_token_count == usage.prompt_token_count + written + thought
    return Seen(
        shown=(shown(reply), *more),
        surface="gemini.generate_content",
        model=reply.model_version,
        input_tokens=usage.prompt_token_count,
        output_tokens=written + thought,
        cached_input_tokens=usage.cached_content_token_count,
        reasoning_tokens=thought,
    )


def plain(client: genai.Client) -> Seen:
    reply = client.models.generate_content(model=MODEL, contents=ASK)
    assert reply.usage_metadata.thoughts_token_count
    return seen(reply, reply.text)


def unthinking(client: genai.Client) -> Seen:
    reply = client.models.generate_content(
        model=MODEL, contents=ASK, config=types.GenerateContentConfig(thinking_config=UNTHINKING, max_output_tokens=9)
    )
    assert reply.usage_metadata.candidates_token_count == 9
    return seen(reply)


def nothing_but_thoughts(client: genai.Client) -> Seen:
    reply = client.models.generate_content(
        model=MODEL, contents=ASK, config=types.GenerateContentConfig(max_output_tokens=9)
    )
    assert (reply.usage_metadata.candidates_token_count, reply.usage_metadata.thoughts_token_count) == (None, 9)
    return seen(reply)


def several_candidates(client: genai.Client) -> Seen:
    config = types.GenerateContentConfig(candidate_count=2, thinking_config=UNTHINKING, max_output_tokens=30)
    reply = client.models.generate_content(model=MODEL, contents=ASK, config=config)
    assert len(reply.candidates) == 2
    return seen(reply)


def tool(client: genai.Client) -> Seen:
    reply = client.models.generate_content(
        model=MODEL, contents=WEATHER, config=types.GenerateContentConfig(tools=[TOOL])
    )
    (call,) = reply.function_calls
    assert (call.name, set(call.args)) == ("get_weather", {"city", "days"})
    return seen(reply)


def tool_answered(client: genai.Client) -> Seen:
    called = types.Part.from_function_call(name="get_weather", args={"city": "Oslo", "days": 1})
    answered = types.Part.from_function_response(name="get_weather", response={"weather": "Rain, 7 degrees."})
    turns = [
        types.Content(role="user", parts=[types.Part.from_text(text=WEATHER)]),
        types.Content(role="model", parts=[called]),
        types.Content(role="user", parts=[answered]),
    ]
    reply = client.models.generate_content(
        model=MODEL, contents=turns, config=types.GenerateContentConfig(tools=[TOOL])
    )
    assert reply.text
    return seen(reply)


def structured(client: genai.Client) -> Seen:
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Step)
    reply = client.models.generate_content(model=MODEL, contents=ASK, config=config)
    assert isinstance(reply.parsed, Step)
    return seen(reply)


def streamed(client: genai.Client) -> Seen:
    chunks = list(client.models.generate_content_stream(model=MODEL, contents=ASK))
    return seen(chunks[-1], [shown(chunk) for chunk in chunks])


def tool_streamed(client: genai.Client) -> Seen:
    chunks = list(
        client.models.generate_content_stream(
            model=MODEL, contents=WEATHER, config=types.GenerateContentConfig(tools=[TOOL])
        )
    )
    assert [call.name for chunk in chunks for call in chunk.function_calls or ()] == ["get_weather"]
    return seen(chunks[-1], [shown(chunk) for chunk in chunks])


CALLS: dict[str, Callable[[genai.Client], Seen]] = {
    call.__name__: call
    for call in (
        plain,
        unthinking,
        nothing_but_thoughts,
        several_candidates,
        tool,
        tool_answered,
        structured,
        streamed,
        tool_streamed,
    )
}


@pytest.mark.parametrize("name", CALLS)
def test_the_client_sees_the_same_and_the_gate_meters_it(ways, clients, name):
    same(ways, clients, CALLS[name], asked=MODEL, stream="streamed" in name)


@pytest.mark.parametrize("encoding", ["identity", "gzip", "br"])
def test_whatever_the_encoding_and_the_pieces(ways, clients, encoding):
    headers = {"x-simulate-content-encoding": encoding, "x-simulate-splits": "5"}
    with client(ways.gate.url, KEY, **headers) as through_gate:
        given, (closed,) = ways.closed(lambda: streamed(through_gate))
    assert given == streamed(clients[0])
    check(closed, given, asked=MODEL, stream=True)


@pytest.mark.parametrize("encoding", ["identity", "gzip", "br", "zstd"])
def test_a_stream_as_one_growing_array(ways, encoding):
    """What clients get that do not ask for events."""
    path = f"/gemini/v1beta/models/{MODEL}:streamGenerateContent"
    body = {"contents": [{"role": "user", "parts": [{"text": ASK}]}]}
    headers = {"x-simulate-content-encoding": encoding, "x-simulate-splits": "3", "content-type": "application/json"}
    keyed = headers | {"x-goog-api-key": KEY}
    given, (closed,) = ways.closed(lambda: request(ways.gate.url, path, body, headers=keyed))
    assert given.body == request(ways.direct, path, body, headers=headers).body
    last = types.GenerateContentResponse.model_validate(pydantic.TypeAdapter(list).validate_json(given.decoded())[-1])
    check(closed, seen(last), asked=MODEL, stream=True)


def test_what_the_cache_gave_is_inside_the_input(ways, clients):
    config = types.GenerateContentConfig(system_instruction="Tides turn. " * 600)

    def ask() -> types.GenerateContentResponse:
        return clients[1].models.generate_content(model=MODEL, contents=ASK, config=config)

    replies, calls = ways.closed(lambda: (ask(), ask()), count=2)
    assert [reply.usage_metadata.cached_content_token_count is None for reply in replies] == [True, False]
    for reply, closed in zip(replies, calls, strict=True):
        check(closed, seen(reply), asked=MODEL, stream=False)


def test_counting_tokens_is_free(ways, clients):
    counted, (closed,) = ways.closed(lambda: clients[1].models.count_tokens(model=MODEL, contents=ASK))
    assert counted.total_tokens == plain(clients[0]).input_tokens
    assert (closed.outcome, closed.opened.surface, closed.usage) == ("ok", "gemini.count_tokens", None)


@pytest.mark.parametrize("model", ["gemini-embedding-001", "gemini-embedding-2"])
def test_embeddings_are_metered_where_the_model_says_what_it_read(ways, clients, model):
    def ask(client: genai.Client) -> types.EmbedContentResponse:
        return client.models.embed_content(
            model=model, contents=ASK, config=types.EmbedContentConfig(output_dimensionality=8)
        )

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert shown(given) == shown(ask(clients[0]))
    assert len(given.embeddings[0].values) == 8
    assert (closed.outcome, closed.opened.surface) == ("ok", "gemini.embed_content")
    if model == "gemini-embedding-2":
        assert closed.usage.input_tokens == given.usage_metadata.prompt_token_count == -(-len(ASK) // 4)
    else:
        assert given.usage_metadata is None
        assert closed.usage_source in ("counted", "inferred")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_sdks_own(ways, status, stream):
    def ask(origin: str, key: str) -> tuple[object, ...]:
        kind = errors.ClientError if status < 500 else errors.ServerError
        with client(origin, key, **{"x-simulate-status": str(status)}) as asking, pytest.raises(kind) as raised:
            (streamed if stream else plain)(asking)
        error = raised.value
        return error.code, error.status, error.message, error.details

    given, (closed,) = ways.closed(lambda: ask(ways.gate.url, KEY))
    assert given == ask(ways.direct, "AIza-test")
    assert (closed.outcome, closed.status, closed.usage) == ("error", status, None)


def test_each_of_the_sdks_attempts_is_a_call(ways):
    def ask(origin: str, key: str) -> Seen:
        options = types.HttpOptions(
            base_url=f"{origin}/gemini",
            headers={"x-simulate-status": "429,500,200"},
            retry_options=types.HttpRetryOptions(attempts=3, initial_delay=0.01, jitter=0.01),
        )
        with genai.Client(api_key=key, http_options=options) as asking:
            return plain(asking)

    given, calls = ways.closed(lambda: ask(ways.gate.url, KEY), count=3)
    assert given == ask(ways.direct, "AIza-test")
    assert [(call.outcome, call.status) for call in calls] == [("error", 429), ("error", 500), ("ok", 200)]
    check(calls[2], given, asked=MODEL, stream=False)


def test_an_error_inside_a_stream_is_one_on_the_record(ways):
    def ask(origin: str, key: str) -> tuple[object, ...]:
        chunks = []
        headers = {"x-simulate-error-after": "4"}
        with client(origin, key, **headers) as asking, pytest.raises(errors.APIError) as raised:
            chunks.extend(map(shown, asking.models.generate_content_stream(model=MODEL, contents=ASK)))
        return raised.value.code, raised.value.message, chunks

    given, (closed,) = ways.closed(lambda: ask(ways.gate.url, KEY))
    assert given == ask(ways.direct, "AIza-test")
    assert (closed.outcome, closed.status) == ("error", 200)
    assert closed.usage.input_tokens == given[2][-1]["usage_metadata"]["prompt_token_count"]


def test_a_stream_that_breaks_off_is_an_error_of_the_provider(ways):
    def ask(origin: str, key: str) -> list[object]:
        chunks = []
        with client(origin, key, **{"x-simulate-cut-after": "6"}) as asking, pytest.raises(httpx2.TransportError):
            chunks.extend(map(shown, asking.models.generate_content_stream(model=MODEL, contents=ASK)))
        return chunks

    given, (closed,) = ways.closed(lambda: ask(ways.gate.url, KEY))
    assert closed.outcome == "error"
    assert given == ask(ways.direct, "AIza-test")[: len(given)]


def test_a_client_that_leaves_is_metered_to_the_end(ways):
    headers = {"x-simulate-output-tokens": "9", "x-simulate-token-ms": "100"}

    def leave() -> types.GenerateContentResponse:
        with client(ways.gate.url, KEY, **headers) as asking:
            stream = asking.models.generate_content_stream(model=MODEL, contents=ASK)
            first = next(stream)
            stream.close()
            return first

    first, (closed,) = ways.closed(leave)
    assert (closed.outcome, closed.reason, closed.usage_source) == ("aborted", "client_gone", "reported")
    assert closed.usage.output_tokens == 9 + first.usage_metadata.thoughts_token_count
