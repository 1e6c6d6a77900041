"""Anthropic's official SDK, unchanged, through the gate: the same results, and each call metered as it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import anthropic
import httpx2
import pytest
from anthropic import Anthropic

from tests.sdk.metered import ASK, KEY, SCHEMA, WEATHER, Seen, Ways, check, same

pytestmark = pytest.mark.heavy

MODEL = "claude-haiku-4-5"
SERVED = "claude-haiku-4-5-20251001"
TOOL = {"name": "get_weather", "input_schema": SCHEMA}
THINKING = {"type": "enabled", "budget_tokens": 1024}
ENCODINGS = ["identity", "gzip", "br"]


@pytest.fixture
def clients(ways: Ways) -> Iterator[tuple[Anthropic, Anthropic]]:
    with (
        Anthropic(base_url=f"{ways.direct}/anthropic", api_key="sk-ant-test", max_retries=0) as direct,
        Anthropic(base_url=f"{ways.gate.url}/anthropic", api_key=KEY, max_retries=0) as through_gate,
    ):
        yield direct, through_gate


def seen(message: anthropic.types.Message, *more: object) -> Seen:
    usage = message.usage
    details = usage.output_tokens_details
    return Seen(
        shown=(message.model_dump(warnings=False), *more),
        surface="anthropic.messages",
        model=message.model,
        input_tokens=usage.input_tokens + usage.cache_read_input_tokens + usage.cache_creation_input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cache_read_input_tokens,
        reasoning_tokens=details.thinking_tokens if details is not None else None,
    )


def plain(client: Anthropic) -> Seen:
    return seen(client.messages.create(model=MODEL, max_tokens=300, messages=ASK))


def at_its_limit(client: Anthropic) -> Seen:
    message = client.messages.create(model=MODEL, max_tokens=7, messages=ASK, system="Be brief.")
    assert (message.stop_reason, message.usage.output_tokens) == ("max_tokens", 7)
    return seen(message)


def thinking(client: Anthropic) -> Seen:
    message = client.messages.create(model=MODEL, max_tokens=3000, messages=ASK, thinking=THINKING)
    assert [block.type for block in message.content] == ["thinking", "text"]
    return seen(message)


def tool(client: Anthropic) -> Seen:
    message = client.messages.create(model=MODEL, max_tokens=300, messages=WEATHER, tools=[TOOL])
    (used,) = message.content
    assert (used.type, set(used.input)) == ("tool_use", {"city", "days"})
    return seen(message)


def tool_answered(client: Anthropic) -> Seen:
    used = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {"city": "Oslo", "days": 1}}
    answered = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "Rain, 7 degrees."}
    turns = [*WEATHER, {"role": "assistant", "content": [used]}, {"role": "user", "content": [answered]}]
    message = client.messages.create(model=MODEL, max_tokens=300, messages=turns, tools=[TOOL])
    assert [block.type for block in message.content] == ["text"]
    return seen(message)


def streamed(client: Anthropic) -> Seen:
    with client.messages.stream(model=MODEL, max_tokens=300, messages=ASK) as stream:
        kinds = [event.type for event in stream]
        return seen(stream.get_final_message(), kinds)


def streamed_raw(client: Anthropic) -> Seen:
    events = list(client.messages.create(model=MODEL, max_tokens=300, messages=ASK, stream=True))
    message = events[0].message
    message.usage.output_tokens = events[-2].usage.output_tokens
    return seen(message, [event.model_dump() for event in events])


def thinking_streamed(client: Anthropic) -> Seen:
    with client.messages.stream(model=MODEL, max_tokens=3000, messages=ASK, thinking=THINKING) as stream:
        return seen(stream.get_final_message())


def tool_streamed(client: Anthropic) -> Seen:
    with client.messages.stream(model=MODEL, max_tokens=300, messages=WEATHER, tools=[TOOL]) as stream:
        message = stream.get_final_message()
    assert set(message.content[0].input) == {"city", "days"}
    return seen(message)


CALLS: dict[str, Callable[[Anthropic], Seen]] = {
    call.__name__: call
    for call in (
        plain,
        at_its_limit,
        thinking,
        tool,
        tool_answered,
        streamed,
        streamed_raw,
        thinking_streamed,
        tool_streamed,
    )
}


@pytest.mark.parametrize("name", CALLS)
def test_the_client_sees_the_same_and_the_gate_meters_it(ways, clients, name):
    _, closed = same(ways, clients, CALLS[name], asked=MODEL, stream="streamed" in name)
    assert closed.model == SERVED


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_whatever_the_encoding_and_the_pieces(ways, clients, encoding):
    headers = {"x-simulate-content-encoding": encoding, "x-simulate-splits": "5"}
    call, (closed,) = ways.closed(lambda: streamed(clients[1].with_options(default_headers=headers)))
    assert call == streamed(clients[0])
    check(closed, call, asked=MODEL, stream=True)


def test_a_stream_says_what_the_whole_message_says(clients):
    whole, stream = plain(clients[1]), streamed(clients[1])
    assert stream.shown[0] == whole.shown[0]


def test_what_the_cache_took_and_gave(ways, clients):
    """Written first, read after: three disjoint counts of Anthropic's are one input of ours."""
    system = [{"type": "text", "text": "Tides turn. " * 600, "cache_control": {"type": "ephemeral"}}]

    def ask() -> anthropic.types.Message:
        return clients[1].messages.create(model=MODEL, max_tokens=20, messages=ASK, system=system)

    (first, second), (wrote, read) = ways.closed(lambda: (ask(), ask()), count=2)
    written = first.usage.cache_creation_input_tokens
    assert written >= 1024
    assert (first.usage.cache_read_input_tokens, second.usage.cache_read_input_tokens) == (0, written)
    for message, closed in ((first, wrote), (second, read)):
        check(closed, seen(message), asked=MODEL, stream=False)
    assert (wrote.usage.cache_write_tokens, read.usage.cache_write_tokens or 0) == (written, 0)
    assert wrote.usage.input_tokens == read.usage.input_tokens > written


def test_counting_tokens_is_free(ways, clients):
    counted, (closed,) = ways.closed(lambda: clients[1].messages.count_tokens(model=MODEL, messages=ASK))
    message = clients[0].messages.create(model=MODEL, max_tokens=5, messages=ASK)
    assert counted.input_tokens == message.usage.input_tokens
    assert (closed.outcome, closed.opened.surface, closed.usage) == ("ok", "anthropic.count_tokens", None)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (413, anthropic.RequestTooLargeError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.OverloadedError),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors_are_the_sdks_own(ways, clients, status, kind, stream):
    def ask(client: Anthropic) -> tuple[object, ...]:
        headers = {"x-simulate-status": str(status)}
        with pytest.raises(kind) as raised:
            client.messages.create(model=MODEL, max_tokens=9, messages=ASK, stream=stream, extra_headers=headers)
        return raised.value.message, raised.value.body, raised.value.request_id

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert given == ask(clients[0])
    assert (closed.outcome, closed.status, closed.usage) == ("error", status, None)


def test_each_of_the_sdks_attempts_is_a_call(ways, clients):
    headers = {"x-simulate-status": "429,500,200"}

    def ask(client: Anthropic) -> Seen:
        retrying = client.with_options(max_retries=2)
        return seen(retrying.messages.create(model=MODEL, max_tokens=9, messages=ASK, extra_headers=headers))

    given, calls = ways.closed(lambda: ask(clients[1]), count=3)
    assert given == ask(clients[0])
    assert [(call.outcome, call.status) for call in calls] == [("error", 429), ("error", 500), ("ok", 200)]
    assert [call.opened.attributes.get("retry_count") for call in calls] == [None, "1", "2"]
    check(calls[2], given, asked=MODEL, stream=False)


def test_an_error_inside_a_stream_is_the_sdks_own_and_what_was_read_is_metered(ways, clients):
    def ask(client: Anthropic) -> tuple[object, list[object]]:
        events = []
        stream = client.messages.create(
            model=MODEL, max_tokens=90, messages=ASK, stream=True, extra_headers={"x-simulate-error-after": "6"}
        )
        with pytest.raises(anthropic.APIStatusError) as raised:
            events.extend(event.model_dump() for event in stream)
        return raised.value.body, events

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert given == ask(clients[0])
    assert (closed.outcome, closed.reason, closed.status) == ("error", "overloaded_error", 200)
    assert closed.usage.input_tokens == given[1][0]["message"]["usage"]["input_tokens"]


def test_a_stream_that_breaks_off_is_an_error_of_the_provider(ways, clients):
    def ask(client: Anthropic) -> list[object]:
        events = []
        stream = client.messages.create(
            model=MODEL, max_tokens=90, messages=ASK, stream=True, extra_headers={"x-simulate-cut-after": "6"}
        )
        with pytest.raises(httpx2.TransportError):  # the SDK leaves it as it is
            events.extend(event.model_dump() for event in stream)
        return events

    given, (closed,) = ways.closed(lambda: ask(clients[1]))
    assert closed.outcome == "error"
    assert given == ask(clients[0])[: len(given)]


def test_a_client_that_leaves_is_metered_to_the_end(ways, clients):
    headers = {"x-simulate-output-tokens": "9", "x-simulate-token-ms": "100"}

    def leave() -> None:
        stream = clients[1].messages.create(
            model=MODEL, max_tokens=90, messages=ASK, stream=True, extra_headers=headers
        )
        for _ in zip(range(4), stream, strict=False):
            pass
        stream.close()

    _, (closed,) = ways.closed(leave)
    assert (closed.outcome, closed.reason, closed.usage_source) == ("aborted", "client_gone", "reported")
    assert closed.usage.output_tokens == 9
