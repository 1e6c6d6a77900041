from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.wire.openai import asked, error, prepare, prompt_text
from proxy.wire.registry import SURFACES, surface_for
from proxy.wire.surface import Asked

ASKING = b'"stream_options":{"include_usage":true}'


def test_what_a_request_asks_for() -> None:
    body = b'{"model":"gpt-5","stream":true,"stream_options":{"include_usage":true},"max_tokens":10,"n":3,"user":"u"}'
    assert asked(body) == Asked(model="gpt-5", stream=True, wants_usage=True, output_limit=30, user="u")
    assert asked(b"{}") == Asked()
    assert asked(
        b'{"stream":"true","stream_options":{"include_usage":1},"max_tokens":"9","safety_identifier":"s"}'
    ) == Asked(user="s", attributes={"safety_identifier": "s"})


def test_what_a_body_says_about_its_caller_is_bounded() -> None:
    many = {f"k{number}": "v" * 1000 for number in range(40)} | {"odd": 5}
    said = asked(json.dumps({"user": "u", "safety_identifier": "s", "prompt_cache_key": 7, "metadata": many}).encode())
    assert said.user == "u"
    assert said.attributes["safety_identifier"] == "s"
    assert said.attributes["metadata.k0"] == "v" * 128
    assert len(said.attributes) == 17


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        ({"max_completion_tokens": 7}, 7),
        ({"max_tokens": 9, "max_completion_tokens": 7}, 7),
        ({"max_output_tokens": 5, "n": 0}, 5),
        ({"max_tokens": True}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 4, "n": 2, "best_of": 5}, 20),
    ],
)
def test_output_limit(limits: dict[str, object], limit: int | None) -> None:
    assert asked(json.dumps(limits).encode()).output_limit == limit


def test_several_prompts_have_the_limit_each() -> None:
    surface = SURFACES["openai.completions"]
    assert surface.asked(b'{"prompt":["a","b"],"max_tokens":5,"n":2}').output_limit == 20
    assert surface.asked(b'{"prompt":[[1,2],[3]],"max_tokens":5}').output_limit == 10
    assert surface.asked(b'{"prompt":[1,2],"max_tokens":5}').output_limit == 5
    assert surface.asked(b'{"prompt":"a","max_tokens":5}').output_limit == 5
    assert surface.asked(b'{"prompt":["a","b"]}').output_limit is None


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b"", "the body is empty"),
        (b"  \n", "the body is empty"),
        (b'{"model":"m",}', "malformed JSON at byte 13: trailing comma in object"),
        (b'{"model":', "malformed JSON: it ends early, at byte 9"),
        (b"hello", "malformed JSON at byte 0: invalid character"),
        (b"[1]", "the body is not a JSON object"),
        (b'"x"', "the body is not a JSON object"),
        (b'{"model":5}', "model is not a string"),
        # How deep is too deep is the interpreter's to say: some 1,000 levels in CPython 3.11, a full stack in 3.14.
        (b'{"a":' + b"[" * 4_000_000, "the body is nested too deeply"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(body: bytes, problem: str) -> None:
    assert asked(body).problem == problem


def test_what_some_servers_take_is_no_problem() -> None:
    assert asked(b'{"model":"m","temperature":NaN}') == Asked(model="m")
    assert asked(b'{"model":"m","user":"\xff"}') == Asked(model="m", user="\ufffd")
    assert asked(b'{"model":"m","user":"\\ud800"}') == Asked(model="m", user="?")
    assert asked(b'\xef\xbb\xbf{"model":"m"}') == Asked(model="m")


@given(st.binary(max_size=60))
def test_no_body_raises(body: bytes) -> None:
    for surface in SURFACES.values():
        for some in (body, b'{"model":' + body, b'{"model":"m","stream_options":' + body + b"}"):
            surface.asked(some)
            surface.prompt_text(some)
            surface.prepare(some, model="x", ask_for_usage=True)


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{"model":"m","stream":true}', b'{"model":"m","stream":true,' + ASKING + b"}"),
        (b'{"stream":true\n}\n', b'{"stream":true\n,' + ASKING + b"}\n"),
        (b"{}", b"{" + ASKING + b"}"),
        (b'{"stream_options":null,"a":1}', b'{"stream_options":{"include_usage":true},"a":1}'),
        (b'{"stream_options":{}}', b'{"stream_options":{"include_usage":true}}'),
        (b'{"stream_options": { } }', b'{"stream_options": { "include_usage":true} }'),
        (b'{"stream_options":{"x":[1]},"a":{}}', b'{"stream_options":{"x":[1],"include_usage":true},"a":{}}'),
        (b'{"stream_options":{"include_usage" : false }}', b'{"stream_options":{"include_usage" : true }}'),
        (b'{"stream_options":{"include_usage":null,"y":1}}', b'{"stream_options":{"include_usage":true,"y":1}}'),
        (b'{"stream_options":"x"}', b'{"stream_options":"x"}'),
        (b'{"stream_options":[{}]}', b'{"stream_options":[{}]}'),
        (
            b'{"a":"\\"stream_options\\":null","b":{"stream_options":null}}',
            b'{"a":"\\"stream_options\\":null","b":{"stream_options":null},' + ASKING + b"}",
        ),
        (b"not json", b"not json"),
        (b'["model"]', b'["model"]'),
        (b'{"t":NaN}', b'{"t":NaN,' + ASKING + b"}"),
    ],
)
def test_asking_for_usage(body: bytes, sent: bytes) -> None:
    assert prepare(body, model=None, ask_for_usage=True) == sent


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        (b'{ "model" : "a/b" , "x":"a/b"}', b'{ "model" : "b\xc3\xbc" , "x":"a/b"}'),
        (b'{"messages":[{"model":"a/b","content":"\\"model\\":\\"a/b\\""}],"model":"a/b"}', None),
        (b'{"model":null}', b'{"model":"b\xc3\xbc"}'),
        (b'{"x":1}', b'{"x":1}'),
        (b'{"model":"first","model":"last"}', b'{"model":"first","model":"b\xc3\xbc"}'),
    ],
)
def test_replacing_the_model(body: bytes, sent: bytes | None) -> None:
    if sent is None:
        sent = body[:-6] + '"bü"}'.encode()
    assert prepare(body, model="bü", ask_for_usage=False) == sent


def test_nothing_to_change_is_the_body_itself() -> None:
    body = b'{"model":"m"}'
    for surface in SURFACES.values():
        assert surface.prepare(body, model=None, ask_for_usage=False) is body
    for name in ("openai.responses", "openai.embeddings", "openai.models", "other"):
        assert SURFACES[name].prepare(body, model=None, ask_for_usage=True) is body
        assert SURFACES[name].stripper() is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=10,
)
OPTIONS = st.none() | st.fixed_dictionaries(
    {}, optional={"include_usage": st.booleans() | st.none(), "include_obfuscation": st.booleans()}
)
REQUESTS = st.fixed_dictionaries(
    {"messages": JSON},
    optional={
        "model": st.text(max_size=8),
        "stream_options": OPTIONS,
        "tools": JSON,
        "usage": JSON,
        "zusätzlich": JSON,
    },
)


@given(REQUESTS, st.sampled_from([None, 1, 4]), st.booleans(), st.none() | st.text(min_size=1, max_size=8))
def test_a_prepared_request_differs_in_nothing_else(
    request: dict[str, object], indent: int | None, ascii_only: bool, model: str | None
) -> None:
    body = json.dumps(request, indent=indent, ensure_ascii=ascii_only).encode()
    sent = prepare(body, model=model, ask_for_usage=True)
    wanted = dict(request)
    options = request.get("stream_options")
    wanted["stream_options"] = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    if model is not None and "model" in request:
        wanted["model"] = model
    tree = json.loads(sent)
    assert tree == wanted
    assert list(tree) == [*request, *([] if "stream_options" in request else ["stream_options"])]
    # Every byte of the body is still there, in its order, but for the values that were replaced.
    prepared_again = prepare(sent, model=model, ask_for_usage=True)
    assert prepared_again == sent
    if "stream_options" not in request and (model is None or "model" not in request):
        assert sent.replace(b"," + ASKING, b"", 1) == body


def test_an_error_has_openais_shape() -> None:
    for status, kind in (
        (400, "invalid_request_error"),
        (401, "authentication_error"),
        (404, "not_found_error"),
        (429, "rate_limit_error"),
        (502, "api_error"),
        (418, "invalid_request_error"),
    ):
        told = json.loads(error(status, "some_code", 'say "what" to do'))
        assert told == {"error": {"message": 'say "what" to do', "type": kind, "param": None, "code": "some_code"}}


def test_prompt_text_has_what_was_said_and_no_images() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is it?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
                ],
            },
            {
                "role": "assistant",
                "tool_calls": [{"id": "call_1", "function": {"name": "look", "arguments": '{"at":1}'}}],
            },
        ],
        "tools": [{"type": "function", "function": {"name": "look", "description": "Looks."}}],
        "model": "gpt-5",
    }
    text = prompt_text(json.dumps(body).encode())
    for said in ("Be brief.", "What is it?", '{"at":1}', "Looks."):
        assert said in text
    assert "base64" not in text
    assert "gpt-5" not in text
    assert prompt_text(b'{"input":["a","b"],"instructions":"c"}') == "a\nb\nc"
    assert prompt_text(b'{"prompt":[1,2]}') == ""
    assert prompt_text(b"\xff") == ""


@pytest.mark.parametrize(
    ("path", "body", "noted"),
    [
        ("/v1/projects/p/locations/l/publishers/google/models/gemini-2.5-pro:generateContent",
         {"contents": [], "labels": {"team": "search", "odd": 5}}, {"labels.team": "search"}),
        ("/model/amazon.nova-pro-v1%3A0/converse",
         {"messages": [], "requestMetadata": {"cost-centre": "42"}}, {"metadata.cost-centre": "42"}),
        ("/v1/responses", {"model": "gpt-5", "metadata": {"job": "nightly"}}, {"metadata.job": "nightly"}),
    ],
)  # fmt: skip
def test_what_a_request_carries_for_a_bill_is_noted(path: str, body: object, noted: dict[str, str]) -> None:
    assert surface_for("POST", path).asked(json.dumps(body).encode(), path).attributes == noted
