from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from proxy.wire.registry import SURFACES, surface_for
from proxy.wire.reply import DOCUMENT_LIMIT
from proxy.wire.surface import Asked

CONVERSE, INVOKE = SURFACES["bedrock.converse"], SURFACES["bedrock.invoke"]
HEADERS = [
    (b"x-amzn-bedrock-input-token-count", b"13"),
    (b"x-amzn-bedrock-output-token-count", b"7"),
    (b"x-amzn-bedrock-cache-read-input-token-count", b"100"),
    (b"x-amzn-bedrock-cache-write-input-token-count", b"0"),
    (b"x-amzn-bedrock-service-tier", b"priority"),
]
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/1arbu5hu2sjr"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/model/amazon.nova-pro-v1:0/converse", "bedrock.converse"),
        ("/bedrock/model/amazon.nova-micro-v1%3A0/converse-stream", "bedrock.converse"),
        ("/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aprovisioned-model%2Fabc/invoke", "bedrock.invoke"),
        (f"/model/{PROFILE}/invoke", "bedrock.invoke"),
        ("/model/amazon.titan-text-express-v1/invoke-with-response-stream", "bedrock.invoke"),
        ("/model/us.anthropic.claude-sonnet-4-6/count-tokens", "bedrock.count_tokens"),
        ("/model/amazon.nova-sonic-v1:0/invoke-with-bidirectional-stream", "other"),
        ("/async-invoke", "other"),
        ("/agents/A1/agentAliases/T1/sessions/s1/text", "other"),
        ("/retrieveAndGenerateStream", "other"),
        ("/knowledgebases/K1/retrieve", "other"),
        ("/guardrail/g1/version/1/apply", "bedrock.apply_guardrail"),
        ("/guardrail-checks/invoke", "other"),
    ],
)
def test_which_requests_speak_it(path: str, name: str) -> None:
    assert surface_for("POST", path).name == name


def test_a_guardrail_alone_bills_units_and_no_tokens() -> None:
    surface = SURFACES["bedrock.apply_guardrail"]
    assert not surface.metered  # a reply without units is no reason to count tokens
    usage = {"topicPolicyUnits": 2, "contentPolicyUnits": 0, "wordPolicyUnits": 3, "contentPolicyImageUnits": -1}
    body = json.dumps({"action": "NONE", "assessments": [{"usage": {"topicPolicyUnits": 9}}], "usage": usage}).encode()
    for blanks in (b"", b" " * DOCUMENT_LIMIT):
        reader = surface.reader()
        reader.feed(body[:1] + blanks)
        reader.feed(body[1:])
        reading = reader.close()
        assert reading.usage is not None
        assert reading.usage.units == {"guardrail_topic_units": 2}
        assert reading.usage.input_tokens is None
        assert reading.finished
    reader = surface.reader()
    reader.feed(b'{"message":"no"}')
    assert reader.close().usage is None


def test_counting_tokens_is_free() -> None:
    assert not SURFACES["bedrock.count_tokens"].metered


@pytest.mark.parametrize(
    ("path", "model", "stream"),
    [
        ("/model/amazon.nova-lite-v1%3A0/converse-stream", "amazon.nova-lite-v1:0", True),
        ("/bedrock/model/us.m-4-6/converse?x=/model/y/converse-stream", "us.m-4-6", False),
        (f"/model/{quote(PROFILE, safe='')}/invoke", PROFILE, False),
        (f"/model/{PROFILE}/invoke-with-response-stream/", PROFILE, True),
        ("/converse", None, False),
    ],
)
def test_the_path_names_the_model(path: str, model: str | None, stream: bool) -> None:
    for surface in (CONVERSE, INVOKE):
        assert surface.asked(b"{}", path) == Asked(model=model, stream=stream)


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        ({"inferenceConfig": {"maxTokens": 100}}, 100),
        ({"inferenceConfig": {"max_new_tokens": 10}}, 10),
        ({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 64}, 64),
        ({"textGenerationConfig": {"maxTokenCount": 200}}, 200),
        ({"max_gen_len": 7}, 7),
        ({"max_tokens_to_sample": 8}, 8),
        ({"maxTokens": 9}, 9),
        ({"inferenceConfig": {"maxTokens": "many"}}, None),
        ({"inferenceConfig": 5, "max_gen_len": True}, None),
    ],
)
def test_output_limit(body: object, limit: int | None) -> None:
    assert INVOKE.asked(json.dumps(body).encode(), "/model/m/invoke").output_limit == limit


def test_whom_a_request_is_for() -> None:
    body = b'{"anthropic_version":"bedrock-2023-05-31","metadata":{"user_id":"u-1"}}'
    assert INVOKE.asked(body, "/model/m/invoke").user == "u-1"


def test_a_compaction_is_a_line_of_its_own() -> None:
    iterations = [
        {"type": "compaction", "input_tokens": 99_000, "output_tokens": 195},
        {"type": "message", "input_tokens": 162, "output_tokens": 9},
    ]
    usage = {"input_tokens": 162, "output_tokens": 9, "iterations": iterations}
    reader = INVOKE.reader(HEADERS)
    reader.feed(json.dumps({"type": "message", "content": [], "usage": usage}).encode())
    (line,) = reader.close().lines
    assert (line.kind, line.usage.input_tokens, line.usage.output_tokens) == ("compaction", 99_000, 195)


def test_what_is_wrong_with_a_body_is_said_and_the_model_still_known() -> None:
    asked = CONVERSE.asked(b"[1]", "/model/m/converse")
    assert (asked.model, asked.problem) == ("m", "the body is not a JSON object")


def test_a_signed_body_is_never_changed() -> None:
    body = b'{ "model": "m", "messages": [] }'
    for surface in (CONVERSE, INVOKE):
        assert surface.prepare(body, model="other", ask_for_usage=True) is body


def test_prompt_text() -> None:
    body = {
        "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
        "messages": [
            {"role": "user", "content": [{"text": "Hi"}, {"image": {"source": {"bytes": "AAAA"}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "t", "content": [{"text": "12"}]}}]},
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "clock"}}]},
    }
    text = CONVERSE.prompt_text(json.dumps(body).encode())
    assert text == 'Be brief.\nHi\n12\n[{"toolSpec":{"name":"clock"}}]'
    for prompt in (
        {"system": "a", "messages": [{"role": "user", "content": "b"}]},
        {"messages": [{"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]},
        {"prompt": "a\nb"},
        {"inputText": "a\nb"},
    ):
        assert INVOKE.prompt_text(json.dumps(prompt).encode()) == "a\nb"
    assert CONVERSE.prompt_text(b"\xff") == INVOKE.prompt_text(b"[]") == ""


@pytest.mark.parametrize(
    "body",
    [
        b'{"outputs":[{"text":"Yes."}]}',
        b'{"content":[{"text":"Yes."}],"usage":{"input_tokens":13,"cache_read_input_tokens":100,"output_tokens":7}}',
        b"\x89PNG not JSON at all",
        b"",
    ],
)
def test_the_head_says_what_an_invocation_cost(body: bytes) -> None:
    reader = INVOKE.reader(HEADERS)
    reader.feed(body)
    reading = reader.close()
    usage = reading.usage
    assert usage is not None
    assert (usage.input_tokens, usage.cached_input_tokens, usage.cache_write_tokens, usage.output_tokens) == (
        113, 100, 0, 7,
    )  # fmt: skip
    assert (reading.service_tier, reading.flags) == ("priority", ())


def test_a_head_that_counts_nonsense_is_flagged() -> None:
    reader = INVOKE.reader([(b"x-amzn-bedrock-input-token-count", b"-3"), (b"x-amzn-bedrock-output-token-count", b"7")])
    reading = reader.close()
    assert reading.usage is not None
    assert (reading.usage.input_tokens, reading.usage.output_tokens) == (None, 7)
    assert reading.flags == ("usage.inputTokenCount.not_a_count",)


@pytest.mark.parametrize(
    ("headers", "body", "error"),
    [
        ([(b"x-amzn-errortype", b"ThrottlingException:http://internal")], b'{"message":""}', "ThrottlingException"),
        ([], b'{"__type":"com.amazon.coral.service#AccessDeniedException","message":"no"}', "AccessDeniedException"),
        ([], b'{"message":"no"}', None),
    ],
)
def test_an_error_is_named(headers: list[tuple[bytes, bytes]], body: bytes, error: str | None) -> None:
    for surface in (CONVERSE, INVOKE):
        reader = surface.reader(headers, 429)
        reader.feed(body)
        assert reader.close().error == error


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "ValidationException"),
        (401, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (418, "ValidationException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
def test_errors_of_ours(status: int, kind: str) -> None:
    for name in ("bedrock.converse", "bedrock.invoke", "bedrock.count_tokens", "bedrock.apply_guardrail"):
        assert json.loads(SURFACES[name].error(status, "some_code", "why")) == {"__type": kind, "message": "why"}
