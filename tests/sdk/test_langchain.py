"""LangChain's client of OpenAI, unchanged, through the gate: the same results, and each call metered as it says."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from operator import add

import openai
import pydantic
import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from tests.sdk.metered import KEY, Seen, check

pytestmark = pytest.mark.heavy

MODEL = "gpt-4o"
ASK = "Tell me about tidal power, café by café."
WEATHER = HumanMessage("How is the weather in Oslo?")


@tool
def get_weather(city: str, days: int) -> str:
    """Tell the weather of the next days."""
    return f"Rain in {city} for {days} days."


class Step(pydantic.BaseModel):
    """One step of a solution."""

    explanation: str
    output: float


def chat(origin: str, key: str, **settings: object) -> ChatOpenAI:
    made = {"model": MODEL, "max_retries": 0, **settings}
    return ChatOpenAI(base_url=f"{origin}/v1", api_key=key, **made)


def seen(message: AIMessage, surface: str = "openai.chat") -> Seen:
    usage = message.usage_metadata
    shown = message.model_dump()
    shown.pop("id")  # LangChain's own, of each run
    return Seen(
        shown=shown,
        surface=surface,
        model=message.response_metadata["model_name"],
        input_tokens=usage["input_tokens"],
        output_tokens=usage["output_tokens"],
        reasoning_tokens=usage.get("output_token_details", {}).get("reasoning"),
    )


def plain(model: ChatOpenAI) -> Seen:
    return seen(model.invoke(ASK))


def tool_called_and_answered(model: ChatOpenAI) -> Seen:
    first = AIMessage("", tool_calls=[{"id": "call_1", "name": "get_weather", "args": {"city": "Oslo", "days": 1}}])
    answered = ToolMessage(get_weather.invoke({"city": "Oslo", "days": 1}), tool_call_id="call_1")
    message = model.bind_tools([get_weather]).invoke([WEATHER, first, answered])
    assert message.content
    return seen(message)


def tool_called(model: ChatOpenAI) -> Seen:
    message = model.bind_tools([get_weather]).invoke([WEATHER])
    assert [call["name"] for call in message.tool_calls] == ["get_weather"]
    return seen(message)


def structured(model: ChatOpenAI) -> Seen:
    reply = model.with_structured_output(Step, include_raw=True).invoke(ASK)
    assert isinstance(reply["parsed"], Step)
    return seen(reply["raw"])


def streamed(model: ChatOpenAI) -> Seen:
    return seen(reduce(add, model.stream(ASK, stream_usage=True)))


def tool_streamed(model: ChatOpenAI) -> Seen:
    message = reduce(add, model.bind_tools([get_weather]).stream([WEATHER], stream_usage=True))
    assert set(message.tool_calls[0]["args"]) == {"city", "days"}
    return seen(message)


CALLS: dict[str, Callable[[ChatOpenAI], Seen]] = {
    call.__name__: call for call in (plain, tool_called, tool_called_and_answered, structured, streamed, tool_streamed)
}


@pytest.mark.parametrize("name", CALLS)
def test_the_client_sees_the_same_and_the_gate_meters_it(ways, name):
    given, (closed,) = ways.closed(lambda: CALLS[name](chat(ways.gate.url, KEY)))
    assert given == CALLS[name](chat(ways.direct, "sk-test"))
    check(closed, given, asked=MODEL, stream="streamed" in name)


@pytest.mark.parametrize("stream", [False, True])
def test_the_responses_api(ways, stream):
    def ask(origin: str, key: str) -> Seen:
        model = chat(origin, key, model="gpt-5", use_responses_api=True)
        return seen(reduce(add, model.stream(ASK)) if stream else model.invoke(ASK), "openai.responses")

    given, (closed,) = ways.closed(lambda: ask(ways.gate.url, KEY))
    assert given == ask(ways.direct, "sk-test")
    check(closed, given, asked="gpt-5", stream=stream)
    assert closed.usage.reasoning_tokens


def test_embeddings(ways):
    def ask(origin: str, key: str) -> list[float]:
        made = OpenAIEmbeddings(
            model="text-embedding-3-small", base_url=f"{origin}/v1", api_key=key, check_embedding_ctx_length=False
        )
        return made.embed_query(ASK)

    given, (closed,) = ways.closed(lambda: ask(ways.gate.url, KEY))
    assert given == ask(ways.direct, "sk-test")
    assert (closed.opened.surface, closed.usage.input_tokens) == ("openai.embeddings", -(-len(ASK) // 4))


@pytest.mark.parametrize(
    ("status", "kind"), [(401, openai.AuthenticationError), (429, openai.RateLimitError), (500, openai.APIStatusError)]
)
def test_errors_are_the_clients_own(ways, status, kind):
    def ask(origin: str, key: str) -> object:
        with pytest.raises(kind) as raised:
            chat(origin, key, default_headers={"x-simulate-status": str(status)}).invoke(ASK)
        return raised.value.body

    given, (closed,) = ways.closed(lambda: ask(ways.gate.url, KEY))
    assert given == ask(ways.direct, "sk-test")
    assert (closed.outcome, closed.status) == ("error", status)


def test_each_of_the_clients_attempts_is_a_call(ways):
    settings = {"max_retries": 2, "default_headers": {"x-simulate-status": "429,500,200"}}
    given, calls = ways.closed(lambda: plain(chat(ways.gate.url, KEY, **settings)), count=3)
    assert given == plain(chat(ways.direct, "sk-test"))
    assert [(call.outcome, call.status) for call in calls] == [("error", 429), ("error", 500), ("ok", 200)]
    assert [call.opened.attributes.get("retry_count") for call in calls] == [None, "1", "2"]


def test_a_client_that_leaves_is_metered_to_the_end(ways):
    headers = {"x-simulate-output-tokens": "9", "x-simulate-token-ms": "100"}

    def leave() -> None:
        stream = chat(ways.gate.url, KEY, default_headers=headers).stream(ASK)
        for _ in zip(range(4), stream, strict=False):
            pass
        stream.close()

    _, (closed,) = ways.closed(leave)
    assert (closed.outcome, closed.reason, closed.usage_source) == ("aborted", "client_gone", "reported")
    assert closed.usage.output_tokens == 9
