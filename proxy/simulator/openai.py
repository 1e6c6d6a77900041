"""OpenAI's API, and all that speak it: chat, completions, responses, embeddings, models."""

from __future__ import annotations

import re

from proxy.simulator.answer import SERVED, UNCHANGED
from proxy.simulator.asking import (
    ChatRequest,
    CompletionRequest,
    EmbeddingsRequest,
    JsonObject,
    ResponsesRequest,
    ask_of_chat,
    ask_of_completion,
    ask_of_response,
)
from proxy.simulator.chat import chat_body, chat_events, completion_body, completion_events
from proxy.simulator.embeddings import embeddings_body
from proxy.simulator.events import body, event
from proxy.simulator.format import Format, Headers, RefusedError, Request, Stream, Whole
from proxy.simulator.refusals import refusal
from proxy.simulator.responses import response_body, response_events
from proxy.simulator.words import Dice, identifier

DOORS = ("chat/completions", "completions", "responses", "responses/input_tokens", "embeddings")
MODELS = re.compile(r"models(?:/(.+))?")
# Any prefix goes, so that every provider's own base path works: /v1, /openai/v1, /api/v1, none.
PATH = re.compile(rf"(?:/[\w.~%:-]+)*?/(?P<door>{'|'.join(DOORS)}|{MODELS.pattern})/?|(?P<unknown>.*)", re.DOTALL)
HEX = "0123456789abcdef"


def reply(request: Request) -> Whole | Stream:
    """Answer a request, whatever it asks for."""
    models = MODELS.fullmatch(request.door)
    if models is not None and request.method in ("GET", "HEAD"):
        return Whole(body=body(_models(models[1])))
    if request.door not in DOORS:
        raise RefusedError(404, f"Unknown request URL: {request.method} {request.path}.", code="unknown_url")
    if request.method != "POST":
        message = f"Not allowed to {request.method} on {request.path}."
        raise RefusedError(405, message, code="method_not_supported")
    match request.door:
        case "chat/completions":
            return _chat(request)
        case "completions":
            return _completion(request)
        case "responses":
            return _response(request)
        case "embeddings":
            asked = request.read(EmbeddingsRequest)
            return Whole(body=body(embeddings_body(asked, request.wishes, request.dice)))
        case _:
            tokens = ask_of_response(request.read(ResponsesRequest)).input_tokens
            return Whole(body=body({"object": "response.input_tokens", "input_tokens": tokens}))


def _chat(request: Request) -> Whole | Stream:
    ask = ask_of_chat(request.read(ChatRequest))
    given = request.answer(ask)
    if not ask.stream:
        return Whole(body=body(chat_body(given, request.wishes, request.dice)))
    return Stream(events=chat_events(ask, given, request.wishes, request.dice), failure=(event(refusal(500)),))


def _completion(request: Request) -> Whole | Stream:
    ask = ask_of_completion(request.read(CompletionRequest))
    given = request.answer(ask)
    if not ask.stream:
        return Whole(body=body(completion_body(given, request.wishes, request.dice)))
    return Stream(events=completion_events(ask, given, request.wishes, request.dice), failure=(event(refusal(500)),))


def _response(request: Request) -> Whole | Stream:
    asked = request.read(ResponsesRequest)
    ask = ask_of_response(asked)
    given = request.answer(ask)
    if not ask.stream:
        return Whole(body=body(response_body(asked, given, request.wishes, request.dice)))
    events, failure = response_events(asked, ask, given, request.wishes, request.dice)
    return Stream(events=events, failure=failure)


def _models(name: str | None) -> JsonObject:
    known = sorted({*SERVED, *SERVED.values(), *UNCHANGED})
    listed = [{"id": one, "object": "model", "created": 1_767_225_600, "owned_by": "simulated"} for one in known]
    if name is None:
        return {"object": "list", "data": listed}
    for one in listed:
        if one["id"] == name:
            return dict(one)
    raise RefusedError(404, f"The model '{name}' does not exist", code="model_not_found", param="model")


def _headers(status: int, dice: Dice) -> Headers:
    remaining = dice.randrange(5_000, 9_999)
    named = [
        ("openai-organization", "simulated"),
        ("openai-processing-ms", str(dice.randrange(80, 900))),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-limit-tokens", "2000000"),
        ("x-ratelimit-remaining-requests", str(0 if status == 429 else remaining)),
        ("x-ratelimit-remaining-tokens", str(remaining * 200)),
        ("x-ratelimit-reset-requests", "6ms"),
        ("x-ratelimit-reset-tokens", "1ms"),
        ("x-request-id", identifier(dice, "req_", 32, HEX)),
        ("strict-transport-security", "max-age=31536000; includeSubDomains; preload"),
        ("set-cookie", "__cf_bm=" + identifier(dice, "", 43) + "; path=/; HttpOnly; Secure; SameSite=None"),
        ("set-cookie", "_cfuvid=" + identifier(dice, "", 43) + "; path=/; HttpOnly; Secure; SameSite=None"),
        ("x-content-type-options", "nosniff"),
        ("access-control-expose-headers", "X-Request-ID"),
        ("access-control-expose-headers", "CF-Ray"),
        ("cf-ray", identifier(dice, "", 16, HEX) + "-FRA"),
    ]
    if status == 429 or status >= 500:
        named.append(("x-should-retry", "true"))
    return named


def _refusal(refused: RefusedError) -> JsonObject:
    return refusal(refused.status, refused.message, code=refused.code, param=refused.param)


FORMAT = Format(path=PATH, reply=reply, refusal=_refusal, headers=_headers, write=body)
