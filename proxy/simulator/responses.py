"""The Responses API, whole and streamed in typed events, as OpenAI writes them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from proxy.simulator.answer import Answer, Call
from proxy.simulator.asking import Ask, JsonObject, ResponsesRequest
from proxy.simulator.events import Event, Wait, event, obfuscation
from proxy.simulator.refusals import OVERLOADED
from proxy.simulator.wishes import Wishes
from proxy.simulator.words import Dice, identifier

HEX = "0123456789abcdef"


def response_body(request: ResponsesRequest, answer: Answer, wishes: Wishes, dice: Dice) -> JsonObject:
    """Give a whole response."""
    frame = _Frame(request, answer, wishes, dice)
    return frame.response(frame.final_status, [item for item, _ in frame.items])


def response_events(
    request: ResponsesRequest, ask: Ask, answer: Answer, wishes: Wishes, dice: Dice
) -> tuple[Iterator[Event], tuple[Event, ...]]:
    """Give a streamed response, whose last event repeats it all with the usage; and the end of one that fails."""
    frame = _Frame(request, answer, wishes, dice)
    return _typed_events(frame, ask, dice), _failure(frame, wishes)


def _typed_events(frame: _Frame, ask: Ask, dice: Dice) -> Iterator[Event]:
    number = iter(range(1_000_000_000))

    def typed(kind: str, fields: JsonObject, wait: Wait = "none") -> Event:
        return event({"type": kind, "sequence_number": next(number)} | fields, name=kind, wait=wait)

    def padding(text: str) -> JsonObject:
        return {"obfuscation": obfuscation(dice, text)} if ask.obfuscate else {}

    begun = frame.response("in_progress", [])
    yield typed("response.created", {"response": begun})
    yield typed("response.in_progress", {"response": begun})
    wait: Wait = "first"
    for position, (item, pieces) in enumerate(frame.items):
        place: JsonObject = {"output_index": position}
        at: JsonObject = {"item_id": item["id"], "output_index": position}
        yield typed("response.output_item.added", place | {"item": frame.opened(item)}, wait)
        wait = "token"
        match item["type"]:
            case "message":
                part: JsonObject = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
                at |= {"content_index": 0}
                yield typed("response.content_part.added", at | {"part": part})
                for piece in pieces:
                    delta: JsonObject = {"delta": piece, "logprobs": []}
                    yield typed("response.output_text.delta", at | delta | padding(piece), "token")
                text = "".join(pieces)
                yield typed("response.output_text.done", at | {"text": text, "logprobs": []})
                yield typed("response.content_part.done", at | {"part": part | {"text": text}})
            case "function_call":
                for piece in pieces:
                    delta = {"delta": piece}
                    yield typed("response.function_call_arguments.delta", at | delta | padding(piece), "token")
                yield typed("response.function_call_arguments.done", at | {"arguments": "".join(pieces)})
        yield typed("response.output_item.done", place | {"item": item})
    status = frame.final_status
    whole = frame.response(status, [item for item, _ in frame.items])
    yield typed(f"response.{status}", {"response": whole})


def _failure(frame: _Frame, wishes: Wishes) -> tuple[Event, ...]:
    number = wishes.error_after or 0
    message = OVERLOADED
    failed = frame.response("failed", [])
    failed["error"] = {"code": "server_error", "message": message}
    error: JsonObject = {"type": "error", "sequence_number": number, "code": "server_error", "message": message}
    ended: JsonObject = {"type": "response.failed", "sequence_number": number + 1, "response": failed}
    return (event(error | {"param": None}, name="error"), event(ended, name="response.failed"))


class _Frame:
    """The response object around an answer, at every stage of it."""

    def __init__(self, request: ResponsesRequest, answer: Answer, wishes: Wishes, dice: Dice) -> None:
        self.request = request
        self.answer = answer
        self.wishes = wishes
        self.id = identifier(dice, "resp_", 50, HEX)
        self.final_status = "incomplete" if answer.choices[0].limited else "completed"
        self.items = self._items(dice)

    def _items(self, dice: Dice) -> list[tuple[JsonObject, tuple[str, ...]]]:
        """Give the output items, finished, each with the pieces it is streamed in."""
        choice = self.answer.choices[0]
        items: list[tuple[JsonObject, tuple[str, ...]]] = []
        if choice.reasoning_tokens:
            items.append(({"id": identifier(dice, "rs_", 50, HEX), "type": "reasoning", "summary": []}, ()))
        items.extend((self._call(call, dice), call.arguments) for call in choice.calls)
        if choice.text:
            content = {"type": "output_text", "annotations": [], "logprobs": [], "text": "".join(choice.text)}
            message: JsonObject = {"id": identifier(dice, "msg_", 50, HEX), "type": "message"}
            message |= {"status": self.final_status, "content": [content], "role": "assistant"}
            items.append((message, choice.text))
        return items

    def _call(self, call: Call, dice: Dice) -> JsonObject:
        item: JsonObject = {"id": identifier(dice, "fc_", 50, HEX), "type": "function_call", "status": "completed"}
        return item | {"arguments": "".join(call.arguments), "call_id": call.id, "name": call.name}

    def opened(self, item: JsonObject) -> JsonObject:
        """Give an item as it is when its first token comes."""
        match item["type"]:
            case "message":
                return item | {"status": "in_progress", "content": []}
            case "function_call":
                return item | {"status": "in_progress", "arguments": ""}
            case _:
                return item

    def response(self, status: str, output: list[JsonObject]) -> JsonObject:
        """Give the response object; usage is null until the end."""
        request, answer = self.request, self.answer
        ended = status in ("completed", "incomplete")
        usage: JsonObject | None = None
        if ended and self.wishes.usage != "absent":
            usage = {
                "input_tokens": answer.input_tokens,
                "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": answer.cached_tokens},
                "output_tokens": answer.output_tokens,
                "output_tokens_details": {"reasoning_tokens": answer.reasoning_tokens},
                "total_tokens": answer.input_tokens + answer.output_tokens,
            }
        text = msgspec.to_builtins(request.text) if request.text is not None and request.text.format else None
        return {
            "id": self.id,
            "object": "response",
            "created_at": answer.created,
            "status": status,
            "background": False,
            "completed_at": answer.created + 1 if status == "completed" else None,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": request.instructions,
            "max_output_tokens": request.max_output_tokens,
            "max_tool_calls": None,
            "model": answer.model,
            "output": output,
            "parallel_tool_calls": request.parallel_tool_calls is not False,
            "previous_response_id": request.previous_response_id,
            "prompt_cache_key": None,
            "reasoning": {"effort": request.reasoning.effort if request.reasoning else None, "summary": None},
            "safety_identifier": None,
            "service_tier": "default" if ended else request.service_tier or "auto",
            "store": False,
            "temperature": 1.0,
            "text": (text or {"format": {"type": "text"}}) | {"verbosity": "medium"},
            "tool_choice": request.tool_choice or "auto",
            "tools": [msgspec.to_builtins(tool) | {"strict": True} for tool in request.tools or []],
            "top_logprobs": 0,
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": usage,
            "user": None,
            "metadata": request.metadata or {},
        }
