"""What users of the official OpenAI SDK do, each as a function of a client giving all they can see of the reply.

The same functions run against the simulated provider and through the gate; nothing here knows of a gate.
"""

from __future__ import annotations

from collections.abc import Callable

import openai
import pydantic
from openai import AsyncOpenAI, OpenAI

ASK = [{"role": "user", "content": "Tell me about tidal power, café by café."}]
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1, "maximum": 7}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
CHAT_TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": WEATHER, "strict": True}}
RESPONSE_TOOL = {"type": "function", "name": "get_weather", "parameters": WEATHER, "strict": True}


class Step(pydantic.BaseModel):
    explanation: str
    output: float


class Solution(pydantic.BaseModel):
    steps: list[Step]
    confident: bool
    grade: int | None


def chat(client: OpenAI) -> object:
    return client.chat.completions.create(model="gpt-4o", messages=ASK).model_dump()


def chat_of_a_reasoning_model(client: OpenAI) -> object:
    return client.chat.completions.create(
        model="gpt-5", messages=ASK, reasoning_effort="low", max_completion_tokens=900
    ).model_dump()


def chat_with_several_choices(client: OpenAI) -> object:
    return client.chat.completions.create(model="gpt-4o-mini", messages=ASK, n=3, max_tokens=20).model_dump()


def stream_without_stream_options(client: OpenAI) -> object:
    stream = client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True)
    text, chunks = "", []
    for chunk in stream:
        text += chunk.choices[0].delta.content or ""  # as most code does: every chunk has a choice
        chunks.append(chunk.model_dump())
    return text, chunks


def stream_with_usage_declined(client: OpenAI) -> object:
    stream = client.chat.completions.create(
        model="gpt-4o", messages=ASK, stream=True, stream_options={"include_usage": False}
    )
    return [(chunk.choices[0].delta.content, chunk.model_dump()) for chunk in stream]


def stream_with_usage(client: OpenAI) -> object:
    stream = client.chat.completions.create(
        model="gpt-4o", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    assert [bool(chunk.choices) for chunk in chunks] == [True] * (len(chunks) - 1) + [False]
    assert chunks[-1].usage is not None
    return [chunk.model_dump() for chunk in chunks]


def stream_of_several_choices(client: OpenAI) -> object:
    stream = client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True, n=2, max_tokens=9)
    return [(chunk.choices[0].index, chunk.model_dump()) for chunk in stream]


def stream_with_the_helper(client: OpenAI) -> object:
    with client.chat.completions.stream(model="gpt-4o", messages=ASK) as stream:
        kinds = [event.type for event in stream]
        return kinds, stream.get_final_completion().model_dump()


def stream_left_early(client: OpenAI) -> object:
    with client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True) as stream:
        return [next(stream).model_dump() for _ in range(3)]


def tool(client: OpenAI) -> object:
    asked = [{"role": "user", "content": "How is the weather in Oslo?"}]
    first = client.chat.completions.create(model="gpt-4o", messages=asked, tools=[CHAT_TOOL])
    message = first.choices[0].message
    assert message.tool_calls is not None
    answered = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "Rain, 7 degrees."}
    turns = [*asked, message.model_dump(exclude_none=True), answered]
    second = client.chat.completions.create(model="gpt-4o", messages=turns, tools=[CHAT_TOOL])
    return first.model_dump(), second.model_dump()


def tool_streamed(client: OpenAI) -> object:
    asked = [{"role": "user", "content": "How is the weather in Oslo?"}]
    stream = client.chat.completions.create(
        model="gpt-4o", messages=asked, tools=[CHAT_TOOL], stream=True, stream_options={"include_usage": True}
    )
    return [chunk.model_dump() for chunk in stream]


def structured_output(client: OpenAI) -> object:
    reply = client.chat.completions.parse(model="gpt-4o", messages=ASK, response_format=Solution)
    assert isinstance(reply.choices[0].message.parsed, Solution)
    return reply.model_dump(warnings=False)  # the SDK types the parsed member by its annotation, not its value


def json_mode(client: OpenAI) -> object:
    return client.chat.completions.create(
        model="gpt-4o", messages=ASK, response_format={"type": "json_object"}
    ).model_dump()


def completion(client: OpenAI) -> object:
    return client.completions.create(model="gpt-3.5-turbo-instruct", prompt=["One", "Two"], max_tokens=12).model_dump()


def completion_streamed(client: OpenAI) -> object:
    stream = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="One", max_tokens=12, stream=True)
    return [(chunk.choices[0].text, chunk.model_dump()) for chunk in stream]


def completion_streamed_with_usage(client: OpenAI) -> object:
    stream = client.completions.create(
        model="gpt-3.5-turbo-instruct", prompt="One", stream=True, stream_options={"include_usage": True}
    )
    return [chunk.model_dump() for chunk in stream]


def response(client: OpenAI) -> object:
    reply = client.responses.create(model="gpt-5", input="Tell me about tides.", metadata={"ticket": "7"})
    return reply.output_text, reply.model_dump()


def response_cut_short(client: OpenAI) -> object:
    return client.responses.create(model="gpt-4.1", input="Tell me about tides.", max_output_tokens=16).model_dump()


def response_streamed(client: OpenAI) -> object:
    stream = client.responses.create(model="gpt-5", input="Tell me about tides.", stream=True)
    return [event.model_dump() for event in stream]


def response_streamed_with_the_helper(client: OpenAI) -> object:
    with client.responses.stream(model="gpt-4o", input="Tell me about tides.", text_format=Solution) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert isinstance(final.output_parsed, Solution)
    return kinds, final.model_dump()


def response_with_tool(client: OpenAI) -> object:
    asked = [{"role": "user", "content": "How is the weather in Oslo?"}]
    first = client.responses.create(model="gpt-5", input=asked, tools=[RESPONSE_TOOL])
    called = next(item for item in first.output if item.type == "function_call")
    answered = {"type": "function_call_output", "call_id": called.call_id, "output": "Rain, 7 degrees."}
    turns = [*asked, *(item.model_dump(exclude_none=True) for item in first.output), answered]
    second = client.responses.create(model="gpt-5", input=turns, tools=[RESPONSE_TOOL])
    return first.model_dump(), second.model_dump()


def response_with_tool_streamed(client: OpenAI) -> object:
    stream = client.responses.create(
        model="gpt-4o", input="How is the weather in Oslo?", tools=[RESPONSE_TOOL], stream=True
    )
    return [event.model_dump() for event in stream]


def response_structured(client: OpenAI) -> object:
    reply = client.responses.parse(model="gpt-4o", input="Solve 8x + 7 = -23.", text_format=Solution)
    assert isinstance(reply.output_parsed, Solution)
    return reply.model_dump()


def embeddings(client: OpenAI) -> object:
    return client.embeddings.create(model="text-embedding-3-small", input=["tide", "wind"]).model_dump()


def embeddings_as_floats(client: OpenAI) -> object:
    return client.embeddings.create(
        model="text-embedding-3-large", input="tide", dimensions=256, encoding_format="float"
    ).model_dump()


def models(client: OpenAI) -> object:
    return [model.id for model in client.models.list()], client.models.retrieve("gpt-4o").model_dump()


def raw_response(client: OpenAI) -> object:
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=ASK)
    seen = {
        name: raw.headers.get(name) for name in ("x-request-id", "openai-processing-ms", "x-ratelimit-limit-tokens")
    }
    return seen, raw.headers.get_list("set-cookie"), raw.parse().model_dump()


def raw_response_streamed(client: OpenAI) -> object:
    with client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=ASK, stream=True) as raw:
        return raw.headers["x-request-id"], list(raw.iter_lines())


def refused(client: OpenAI) -> object:
    kinds = []
    for status in (400, 401, 403, 404, 409, 422, 429, 500, 503):
        try:
            client.with_options(max_retries=0).chat.completions.create(
                model="gpt-4o", messages=ASK, extra_headers={"x-simulate-status": str(status)}
            )
        except openai.APIStatusError as error:
            kinds.append((type(error).__name__, error.status_code, error.code, error.message, error.request_id))
    assert len(kinds) == 9
    return kinds


def retried_after_a_rate_limit(client: OpenAI) -> object:
    headers = {"x-simulate-status": "429,503,200"}
    raw = client.with_options(max_retries=2).chat.completions.with_raw_response.create(
        model="gpt-4o", messages=ASK, extra_headers=headers
    )
    assert raw.retries_taken == 2
    return raw.parse().model_dump()


def error_inside_a_stream(client: OpenAI) -> object:
    chunks = []
    stream = client.chat.completions.create(
        model="gpt-4o", messages=ASK, stream=True, extra_headers={"x-simulate-error-after": "4"}
    )
    try:
        chunks.extend(chunk.model_dump() for chunk in stream)
    except openai.APIError as error:
        return type(error).__name__, error.message, chunks
    raise AssertionError("the stream did not fail")


def stream_cut_off(client: OpenAI) -> object:
    chunks = []
    stream = client.chat.completions.create(
        model="gpt-4o", messages=ASK, stream=True, extra_headers={"x-simulate-cut-after": "4"}
    )
    try:
        chunks.extend(chunk.model_dump() for chunk in stream)
    except openai.APIConnectionError as error:
        return type(error).__name__, chunks
    raise AssertionError("the stream was not cut off")


CALLS: dict[str, Callable[[OpenAI], object]] = {
    call.__name__: call
    for call in (
        chat,
        chat_of_a_reasoning_model,
        chat_with_several_choices,
        stream_without_stream_options,
        stream_with_usage_declined,
        stream_with_usage,
        stream_of_several_choices,
        stream_with_the_helper,
        stream_left_early,
        tool,
        tool_streamed,
        structured_output,
        json_mode,
        completion,
        completion_streamed,
        completion_streamed_with_usage,
        response,
        response_cut_short,
        response_streamed,
        response_streamed_with_the_helper,
        response_with_tool,
        response_with_tool_streamed,
        response_structured,
        embeddings,
        embeddings_as_floats,
        models,
        raw_response,
        raw_response_streamed,
        refused,
        retried_after_a_rate_limit,
        error_inside_a_stream,
        stream_cut_off,
    )
}


async def asynchronously(client: AsyncOpenAI) -> object:
    """Chat, stream, respond and embed with the asynchronous client."""
    whole = await client.chat.completions.create(model="gpt-4o", messages=ASK)
    stream = await client.chat.completions.create(model="gpt-4o", messages=ASK, stream=True)
    chunks = [(chunk.choices[0].delta.content, chunk.model_dump()) async for chunk in stream]
    with_usage = await client.chat.completions.create(
        model="gpt-4o", messages=ASK, stream=True, stream_options={"include_usage": True}
    )
    usage_chunks = [chunk.model_dump() async for chunk in with_usage]
    events = [
        event.model_dump() async for event in await client.responses.create(model="gpt-5", input="Hi", stream=True)
    ]
    async with client.chat.completions.stream(
        model="gpt-4o", messages=[{"role": "user", "content": "Weather?"}], tools=[CHAT_TOOL]
    ) as helped:
        kinds = [event.type async for event in helped]
    vectors = await client.embeddings.create(model="text-embedding-3-small", input="tide")
    return whole.model_dump(), chunks, usage_chunks, events, kinds, vectors.model_dump()
