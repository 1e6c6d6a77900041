"""What surrounds a translated call: failures, whose credential it is, embeddings, responses, and clients that leave."""

from __future__ import annotations

import asyncio
import json
import threading

import httpx2
import openai
import pytest

from tests.loopback import Seen, chunk, says, stream_head
from tests.translation.conftest import KEY, OPERATORS, Translating
from tests.translation.test_translating import ASK, GENERATED, MESSAGE, as_json, message_events, sse

pytestmark = pytest.mark.heavy


def refused(kind: str, message: str) -> dict[str, object]:
    return {"type": "error", "error": {"type": kind, "message": message}}


FAILURES = [
    ("400 Bad Request", refused("invalid_request_error", "too odd"), 400, openai.BadRequestError, "provider_error"),
    ("401 Unauthorized", refused("authentication_error", "bad"), 401, openai.AuthenticationError, "invalid_api_key"),
    ("404 Not Found", refused("not_found_error", "no such"), 404, openai.NotFoundError, "model_not_found"),
    ("429 Slow", refused("rate_limit_error", "slow"), 429, openai.RateLimitError, "rate_limit_exceeded"),
    ("500 Oops", refused("api_error", "oops"), 500, openai.InternalServerError, "provider_error"),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("line", "body", "status", "kind", "code"), FAILURES)
def test_a_failure_of_the_provider_is_one_in_openais_shape(
    translating: Translating, line: str, body: dict[str, object], status: int, kind: type, code: str, stream: bool
) -> None:
    translating.says(says(as_json(body, "retry-after: 7", status=line)))
    with pytest.raises(openai.APIStatusError) as failed:
        translating.client.chat.completions.create(model="claude-translated", messages=ASK, stream=stream)
    assert (type(failed.value), failed.value.status_code, failed.value.code) == (kind, status, code)
    assert failed.value.response.headers["retry-after"] == "7"
    assert body["error"]["message"] in failed.value.message
    assert len(translating.provider.seen) == 1  # nothing is sent twice
    row = translating.row()
    assert (row["outcome"], row["status"], row["reason"]) == ("error", status, code)
    assert (row["usage_source"], row["input_tokens"], json.loads(row["flags"])) == ("absent", None, ["translated"])


def test_a_key_in_the_message_of_a_failure_is_taken_out(translating: Translating) -> None:
    translating.says(says(as_json(refused("api_error", f"{OPERATORS} is not welcome"), status="400 Bad Request")))
    with pytest.raises(openai.BadRequestError) as failed:
        translating.client.chat.completions.create(model="claude-translated", messages=ASK)
    assert "is not welcome" in failed.value.message
    assert OPERATORS not in failed.value.message
    assert OPERATORS.encode() not in translating.service.output
    translating.row()


def test_a_provider_that_is_not_there(translating: Translating) -> None:
    with pytest.raises(openai.InternalServerError) as failed:
        translating.client.chat.completions.create(model="nobody-there", messages=ASK)
    assert (failed.value.status_code, failed.value.code) == (502, "provider_unreachable")
    assert translating.row()["reason"] == "provider_unreachable"


def test_a_stream_that_fails_on_its_way_says_so(translating: Translating) -> None:
    failure = refused("overloaded_error", "busy")
    translating.says(says(sse(*message_events()[:4], failure)))
    said: list[str] = []

    def listen() -> None:
        stream = translating.client.chat.completions.create(model="claude-translated", messages=ASK, stream=True)
        with stream:
            said.extend(each.choices[0].delta.content or "" for each in stream)

    with pytest.raises(openai.APIError, match="busy"):
        listen()
    assert "".join(said) == "High."
    row = translating.row()
    assert (row["outcome"], row["status"]) == ("error", 200)


def test_a_callers_own_key_goes_upstream_in_place_of_the_operators(translating: Translating) -> None:
    translating.says(says(as_json(MESSAGE)))
    client = translating.client.with_options(api_key="sk-my-own")
    client.chat.completions.create(model="claude-translated", messages=ASK)
    assert translating.seen.header(b"x-api-key") == b"sk-my-own"
    assert OPERATORS.encode() not in translating.seen.head
    assert translating.row()["key_id"] is None


def test_nobodys_credential_is_no_call(translating: Translating) -> None:
    body = {"model": "claude-translated", "messages": ASK}
    for headers in ({}, {"authorization": "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/x, Signature=0"}):
        answer = httpx2.post(f"{translating.service.gate}/v1/chat/completions", json=body, headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_provider_key")
        row = translating.row()
        assert (row["outcome"], row["reason"]) == ("rejected", "missing_provider_key")
    assert translating.provider.seen == []


def test_a_client_cannot_say_where_to_or_with_which_credential(translating: Translating) -> None:
    translating.says(says(as_json(MESSAGE)))
    for name, value in (
        ("api_base", "http://127.0.0.1:9"), ("base_url", "http://127.0.0.1:9"), ("api_key", "x"),
        ("extra_headers", {"a": "b"}), ("custom_llm_provider", "openai"), ("mock_response", "hello"),
        ("fallbacks", ["gpt-4o"]), ("aws_bedrock_runtime_endpoint", "http://127.0.0.1:9"),
    ):  # fmt: skip
        with pytest.raises(openai.BadRequestError) as failed:
            translating.client.chat.completions.create(
                model="claude-translated", messages=ASK, extra_body={name: value}
            )
        assert failed.value.code == "unsupported_parameter"
        assert name in failed.value.message
        translating.row()
    assert translating.provider.seen == []


def test_a_parameter_that_the_provider_lacks_is_named(translating: Translating) -> None:
    with pytest.raises(openai.BadRequestError, match="logit_bias") as failed:
        translating.client.chat.completions.create(model="claude-translated", messages=ASK, logit_bias={"1": 1})
    assert failed.value.code == "unsupported_parameter"
    translating.row()


def test_another_format_than_openais_is_not_translated(translating: Translating) -> None:
    body = {"model": "claude-translated", "messages": ASK, "max_tokens": 9}
    headers = {"x-api-key": KEY}
    answer = httpx2.post(f"{translating.service.gate}/v1/messages", json=body, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (400, "error")
    assert "/anthropic/" in answer.json()["error"]["message"]
    assert translating.row()["reason"] == "not_translated"


def test_embeddings_as_openais_own_sdk_asks_for_them(translating: Translating) -> None:
    numbers = [0.5, -0.25, 1.0]
    replied = {"embedding": {"values": numbers}, "embeddings": [{"values": numbers}]}
    translating.says(says(as_json(replied | {"usageMetadata": {"promptTokenCount": 4}})))
    raw = translating.client.embeddings.with_raw_response.create(model="embedding-translated", input=["tides"])
    assert isinstance(raw.http_response.json()["data"][0]["embedding"], str)  # base64, which it asks for unseen
    assert raw.parse().data[0].embedding == numbers
    row = translating.row()
    assert (row["surface"], row["provider"], row["outcome"]) == ("openai.embeddings", "gemini", "ok")
    assert row["input_tokens"] > 0
    plain = translating.client.embeddings.create(model="embedding-translated", input=["tides"], encoding_format="float")
    assert plain.data[0].embedding == numbers
    translating.row()


def check_response_row(row: dict[str, object], *, stream: bool) -> None:
    assert (row["surface"], row["provider"], row["outcome"]) == ("openai.responses", "anthropic", "ok")
    assert (row["input_tokens"], row["cached_input_tokens"], row["output_tokens"]) == (30, 12, 3)
    assert (bool(row["stream"]), row["usage_source"]) == (stream, "reported")


def test_responses_are_translated_too(translating: Translating) -> None:
    translating.says(says(as_json(MESSAGE)))
    response = translating.client.responses.create(model="claude-translated", input="How are the tides?")
    assert response.output_text == "High."
    check_response_row(translating.row(), stream=False)


def test_a_stream_of_a_response(translating: Translating) -> None:
    translating.says(says(sse(*message_events())))
    with translating.client.responses.create(
        model="claude-translated", input="How are the tides?", stream=True
    ) as stream:
        events = list(stream)
    assert "".join(each.delta for each in events if each.type == "response.output_text.delta") == "High."
    assert events[-1].type == "response.completed"
    check_response_row(translating.row(), stream=True)


def test_a_client_that_leaves_ends_the_call_at_the_provider(translating: Translating) -> None:
    gone = threading.Event()

    async def silent(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await seen.gone()
        gone.set()

    translating.says(silent)
    with pytest.raises(openai.APITimeoutError):
        translating.client.with_options(timeout=1.0).chat.completions.create(model="claude-translated", messages=ASK)
    assert gone.wait(10)
    row = translating.row()
    assert (row["outcome"], row["reason"]) == ("aborted", "client_gone")


def test_a_client_that_leaves_a_stream_ends_it_at_the_provider(translating: Translating) -> None:
    gone = threading.Event()

    async def endless(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(stream_head())
        for each in message_events()[:3]:
            writer.write(chunk(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode()))
        await seen.gone()
        gone.set()

    translating.says(endless)
    with translating.client.chat.completions.create(model="claude-translated", messages=ASK, stream=True) as stream:
        for each in stream:
            if each.choices[0].delta.content:
                break
    assert gone.wait(10)
    row = translating.row()
    assert (row["outcome"], row["reason"]) == ("aborted", "client_gone")
    assert row["usage_source"] in ("counted", "inferred")


def test_vertex_with_an_account_of_the_operator(translating: Translating) -> None:
    async def google(seen: Seen, writer: asyncio.StreamWriter) -> None:
        token = {"access_token": "a-token-of-google", "expires_in": 3600, "token_type": "Bearer"}
        writer.write(as_json(token if seen.line.startswith(b"POST /token ") else GENERATED))

    translating.says(google)
    completion = translating.client.chat.completions.create(model="vertex-translated", messages=ASK)
    assert completion.choices[0].message.content == "High."
    seen = translating.provider.seen[-1]
    assert b"/projects/acme/locations/europe-west4/" in seen.line
    assert seen.header(b"authorization") == b"Bearer a-token-of-google"
    row = translating.row()
    assert (row["provider"], row["model"], row["input_tokens"], row["output_tokens"]) == (
        "vertex", "gemini-2.5-flash", 10, 8,
    )  # fmt: skip
    with pytest.raises(openai.PermissionDeniedError) as refused:
        translating.client.with_options(api_key="ya29.of-a-caller").chat.completions.create(
            model="vertex-translated", messages=ASK
        )
    assert refused.value.code == "credential_not_taken"
    translating.row()


def test_what_a_provider_has_beside_openais_parameters(translating: Translating) -> None:
    thought = {"type": "thinking", "thinking": "The moon.", "signature": "s"}
    translating.says(says(as_json(MESSAGE | {"content": [thought, *MESSAGE["content"]]})))
    completion = translating.client.chat.completions.create(
        model="claude-translated",
        messages=ASK,
        max_tokens=4000,
        extra_body={"thinking": {"type": "enabled", "budget_tokens": 1024}, "top_k": 5},
    )
    sent = json.loads(translating.seen.body)
    assert (sent["thinking"]["budget_tokens"], sent["top_k"], sent["max_tokens"]) == (1024, 5, 4000)
    assert completion.choices[0].message.reasoning_content == "The moon."
    translating.row()
