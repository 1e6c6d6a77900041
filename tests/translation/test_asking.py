"""What of a request goes to the SDK, and with whose credential."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.config import load
from proxy.errors import ConfigError, Refusal
from proxy.translation.asking import read, ways
from proxy.translation.surroundings import close_off

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def body(**members: object) -> bytes:
    return json.dumps({"model": "m"} | members).encode()


def test_a_request_keeps_what_is_listed_and_openais_books_are_left_out() -> None:
    asked = read("chat", body(messages=[], temperature=0, stop=None, metadata={"a": "b"}, store=True, user="ada"))
    assert asked == {"messages": [], "temperature": 0, "user": "ada"}


@pytest.mark.parametrize("name", ["api_base", "api_key", "base_url", "timeout", "mock_response", "litellm_metadata"])
@pytest.mark.parametrize("kind", ["chat", "embeddings", "responses"])
def test_what_says_where_a_call_goes_is_refused(kind: str, name: str) -> None:
    with pytest.raises(Refusal, match=name) as refused:
        read(kind, body(**{name: "x"}))
    assert (refused.value.status, refused.value.code) == (400, "unsupported_parameter")


@pytest.mark.parametrize("broken", [b"", b"[]", b"{", b"\xff", b'{"a":'])
def test_what_is_no_request_is_refused(broken: bytes) -> None:
    with pytest.raises(Refusal) as refused:
        read("chat", broken)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "http://169.254.169.254/latest"}},
        {"type": "image_url", "image_url": "HTTPS://inside.example/a.png"},
        {"type": "file", "file": {"file_id": " https://inside.example/a.pdf"}},
        {"type": "whatever", "deep": [{"deeper": "x http://inside.example"}]},
    ],
)
@pytest.mark.parametrize("member", ["content", "output"])
def test_nothing_is_fetched_for_a_client(part: dict[str, object], member: str) -> None:
    for name, kind in (("messages", "chat"), ("input", "responses")):
        with pytest.raises(Refusal) as refused:
            read(kind, body(**{name: [{"role": "user", member: [part]}]}))
        assert refused.value.code == "url_not_fetched"


def test_a_url_in_what_is_written_is_text() -> None:
    text = {"type": "text", "text": "see https://example.com"}
    messages = [
        {"role": "user", "content": [text, IMAGE]},
        {"role": "user", "content": "https://example.com"},
        {"role": "assistant", "tool_calls": [{"function": {"arguments": '{"url":"https://example.com"}'}}]},
    ]
    assert read("chat", body(messages=messages))["messages"] == messages


def configured(tmp_path: Path, *lines: str, model: str = "bedrock/m") -> dict[int, object]:
    (tmp_path / "c").write_text("one")
    (tmp_path / "s").write_text("two")
    file = tmp_path / "joulegate.toml"
    route = ["[[route]]", 'match = "x"', 'provider = "bedrock"', f'model = "{model}"', 'via = "litellm"']
    direct = ["[[route]]", 'match = "y"', 'provider = "openai"']
    file.write_text("\n".join([*direct, *route, "[[provider]]", 'name = "bedrock"', *lines]))
    return ways(load(file, environment={}).config)


def test_a_signing_credential_and_its_region_go_to_aws(tmp_path: Path) -> None:
    where = f"file:{tmp_path}"
    (way,) = configured(
        tmp_path, 'region = "aws:eu-north-1"', 'credential_in = "sigv4"', f'credential = "{where}/c"',
        f'secret_access_key = "{where}/s"', f'session_token = "{where}/s"',
    ).values()  # fmt: skip
    said = way.parameters(None)
    assert said == {
        "model": "bedrock/m", "num_retries": 0, "max_retries": 0, "aws_region_name": "eu-north-1",
        "aws_access_key_id": "one", "aws_secret_access_key": "two", "aws_session_token": "two",
    }  # fmt: skip
    callers = way.parameters("their-own")
    assert "aws_access_key_id" not in callers
    assert callers["api_key"] == "their-own"
    assert "two" not in repr(way)
    assert way.secrets(None) == {"one", "two"}
    assert way.secrets("their-own") == {"their-own"}


def test_another_providers_call_has_no_region_of_aws(tmp_path: Path) -> None:
    ((number, way),) = configured(tmp_path, 'region = "aws:eu-north-1"', model="anthropic/m").items()
    assert number == 1  # its number among all routes
    assert "aws_region_name" not in way.parameters("k")
    with pytest.raises(Refusal) as refused:
        way.parameters(None)
    assert refused.value.code == "provider_without_credential"


def test_vertex_takes_an_account_of_the_operator_and_nobodys_key(tmp_path: Path) -> None:
    (way,) = configured(tmp_path, f'credential = "file:{tmp_path}/c"', model="vertex_ai/gemini").values()
    assert way.parameters(None)["vertex_credentials"] == "one"
    with pytest.raises(Refusal) as refused:
        way.parameters("their-own")
    assert refused.value.status == 403


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (['via = "litellm"'], "set model"),
        (['via = "litellm"', 'model = "m"', 'fallback = ["openai"]'], "fallback"),
        (['model = "m"', "options = { a = 1 }"], "options"),
        (['via = "other"', 'model = "m"'], "allowed are litellm"),
        *(
            (['via = "litellm"', 'model = "m"', f'options = {{ {name} = "x" }}'], f"options.{name} looks like a secret")
            for name in ("api_key", "aws_secret_access_key", "aws_access_key_id", "vertex_credentials", "extra_headers")
        ),
    ],
)
def test_a_route_that_cannot_be_translated(tmp_path: Path, lines: list[str], message: str) -> None:
    file = tmp_path / "joulegate.toml"
    file.write_text("\n".join(["[[route]]", 'match = "x"', 'provider = "bedrock"', *lines]))
    with pytest.raises(ConfigError, match=message):
        load(file, environment={})


def test_of_its_surroundings_the_sdk_sees_what_is_listed() -> None:
    environment = {
        "PATH": "/bin",
        "https_proxy": "http://proxy",
        "AWS_PROFILE": "prod",
        "OPENAI_API_KEY": "k",
        "HOME": "/h",
    }
    close_off(environment)
    assert environment["PATH"] == "/bin"
    assert environment["https_proxy"] == "http://proxy"
    assert environment["LITELLM_LOCAL_MODEL_COST_MAP"] == "True"
    assert not {"AWS_PROFILE", "OPENAI_API_KEY", "HOME"} & environment.keys()
