"""Chat completions and legacy completions, whole and streamed, as OpenAI writes them."""

from __future__ import annotations

from collections.abc import Iterator

from proxy.simulator.answer import MISTRALS, Answer, Choice
from proxy.simulator.asking import Ask, JsonObject
from proxy.simulator.events import DONE, Event, Wait, event, obfuscation
from proxy.simulator.wishes import Wishes
from proxy.simulator.words import Dice, identifier


def chat_body(answer: Answer, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give a whole chat completion."""
    reply: JsonObject = {
        "id": identifier(dice, "chatcmpl-"),
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [
            {
                "index": index,
                "message": _message(choice),
                "logprobs": None,
                "finish_reason": choice.finish_reason,
            }
            for index, choice in enumerate(answer.choices)
        ],
    }
    if wishes.usage != "absent":
        reply["usage"] = chat_usage(answer)
    return reply | {"service_tier": "default", "system_fingerprint": _fingerprint(dice)}


def chat_events(ask: Ask, answer: Answer, wishes: Wishes, dice: Dice) -> Iterator[Event]:
    """Give a streamed chat completion; usage only if asked for, as a chunk of its own before [DONE]."""
    common: JsonObject = {
        "id": identifier(dice, "chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
        "service_tier": "default",
        "system_fingerprint": _fingerprint(dice),
    }
    asked = ask.include_usage and wishes.usage in (None, "x_groq")
    null: JsonObject = {"usage": None} if asked and wishes.usage is None else {}
    indices = range(len(answer.choices))

    def chunk(index: int, delta: JsonObject, *, wait: Wait = "none", text: str = "") -> Event:
        choice: JsonObject = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        return event(common | null | {"choices": [choice]} | padding(text), wait=wait)

    def padding(text: str = "") -> JsonObject:
        return {"obfuscation": obfuscation(dice, text)} if ask.obfuscate else {}

    for index, choice in enumerate(answer.choices):
        first: JsonObject = {"role": "assistant", "content": None if choice.calls else "", "refusal": None}
        yield chunk(index, first, wait="none" if index else "first")
    # The choices of one request come interleaved, as they are generated side by side.
    whole_calls = ask.model.startswith(MISTRALS)
    running = {index: _deltas(answer.choices[index], whole_calls=whole_calls) for index in indices}
    while running:
        for index in list(running):
            delta = next(running[index], None)
            if delta is None:
                del running[index]
            else:
                yield chunk(index, delta[0], wait="token", text=delta[1])
    # OpenAI puts the null behind the choices of a finishing chunk, before those of all others.
    for index, choice in enumerate(answer.choices):
        ended: JsonObject = {"index": index, "delta": {}, "logprobs": None, "finish_reason": choice.finish_reason}
        usage = null
        if index == len(answer.choices) - 1:
            usage = _last_chunk_usage(answer, wishes, dice) or null
        yield event(common | {"choices": [ended]} | usage | padding())
    if asked:
        yield event(common | {"choices": [], "usage": chat_usage(answer)} | padding())
    yield DONE


def completion_body(answer: Answer, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give a whole legacy completion."""
    reply: JsonObject = {
        "id": identifier(dice, "cmpl-"),
        "object": "text_completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [
            {"text": "".join(choice.text), "index": index, "logprobs": None, "finish_reason": choice.finish_reason}
            for index, choice in enumerate(answer.choices)
        ],
    }
    if wishes.usage != "absent":
        reply["usage"] = _completion_usage(answer)
    return reply


def completion_events(ask: Ask, answer: Answer, wishes: Wishes, dice: Dice) -> Iterator[Event]:
    """Give a streamed legacy completion."""
    head: JsonObject = {"id": identifier(dice, "cmpl-"), "object": "text_completion", "created": answer.created}
    asked = ask.include_usage and wishes.usage is None
    null: JsonObject = {"usage": None} if asked else {}

    def chunk(index: int, text: str, finish_reason: str | None, wait: Wait, usage: JsonObject) -> Event:
        choice: JsonObject = {"text": text, "index": index, "logprobs": None, "finish_reason": finish_reason}
        return event(head | {"choices": [choice], "model": answer.model} | usage, wait=wait)

    wait: Wait = "first"
    longest = max(len(choice.text) for choice in answer.choices)
    for position in range(longest):
        for index, choice in enumerate(answer.choices):
            if position < len(choice.text):
                yield chunk(index, choice.text[position], None, wait, null)
                wait = "token"
    for index, choice in enumerate(answer.choices):
        last = wishes.usage == "always" and index == len(answer.choices) - 1
        usage: JsonObject = {"usage": _completion_usage(answer)} if last else null
        yield chunk(index, "", choice.finish_reason, "none", usage)
    if asked:
        yield event(head | {"model": answer.model, "usage": _completion_usage(answer), "choices": []})
    yield DONE


def chat_usage(answer: Answer) -> JsonObject:
    """Give the counts as chat completions report them."""
    return _completion_usage(answer) | {
        "prompt_tokens_details": {"cached_tokens": answer.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": answer.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _completion_usage(answer: Answer) -> JsonObject:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


def _message(choice: Choice) -> JsonObject:
    message: JsonObject = {"role": "assistant", "content": None if choice.calls else "".join(choice.text)}
    if choice.calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": "".join(call.arguments)},
            }
            for call in choice.calls
        ]
    return message | {"refusal": None, "annotations": []}


def _deltas(choice: Choice, *, whole_calls: bool) -> Iterator[tuple[JsonObject, str]]:
    """Give each delta of one choice with its text."""
    for piece in choice.text:
        yield {"content": piece}, piece
    for index, call in enumerate(choice.calls):
        if whole_calls:  # Mistral's official client takes nothing else
            written = "".join(call.arguments)
            function = {"name": call.name, "arguments": written}
            yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}, written
            continue
        named = {"index": index, "id": call.id, "type": "function", "function": {"name": call.name, "arguments": ""}}
        yield {"tool_calls": [named]}, call.name
        for piece in call.arguments:
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}, piece


def _last_chunk_usage(answer: Answer, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give the usage of providers that report it in a finishing chunk, asked for or not."""
    match wishes.usage:
        case "always":
            return {"usage": chat_usage(answer)}
        case "x_groq":
            return {"x_groq": {"id": identifier(dice, "req_", 26), "usage": chat_usage(answer)}}
        case _:
            return {}


def _fingerprint(dice: Dice) -> str:
    return identifier(dice, "fp_", 10, "0123456789abcdef")
