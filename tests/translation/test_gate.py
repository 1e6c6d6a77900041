"""What the gate tells the translator of a call; a scripted provider stands in the translator's place."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from proxy.app import build_gate
from proxy.config import load
from proxy.errors import ConfigError
from proxy.routing import Origin, Secret, Translator
from tests.gate.chat import USAGE, asking, event, events
from tests.loopback import Provider, RunningGate, Script, ask, chunk, parse, post, provider, reply, running, says
from tests.loopback import stream_head as head

KEY = "jg-" + "g" * 40
WORD = b"the-word-of-this-start"
TOML = """
[journal]
directory = "{folder}/journal"
[[provider]]
name = "bedrock"
credential = "file:{folder}/key"
zone = "SWE"
{more}
[[route]]
match = "direct"
provider = "openai"
[[route]]
match = "gpt-4o"
provider = "bedrock"
model = "bedrock/m"
via = "litellm"
[[team]]
name = "search"
[[team.key]]
id = "k1"
sha256 = "{digest}"
"""
REPLY = {"model": "m", "choices": [], "usage": USAGE}
OURS = f"authorization: Bearer {KEY}"


@dataclass
class Way:
    gate: RunningGate
    translator: Provider


@contextlib.contextmanager
def through(tmp_path: Path, script: Script, more: str = "") -> Iterator[Way]:
    file = tmp_path / "joulegate.toml"
    (tmp_path / "key").write_text("the-operators")
    file.write_text(TOML.format(folder=tmp_path, more=more, digest=hashlib.sha256(KEY.encode()).hexdigest()))
    config = load(file, environment={}).config
    with provider(script) as translator:
        known_as = Translator(origin=Origin.parse(translator.origin), secret=Secret(WORD))
        with running(config, known_as) as gate:
            yield Way(gate, translator)


def whole() -> Script:
    return says(reply(json.dumps(REPLY).encode()))


def body(**members: object) -> bytes:
    return json.dumps({"model": "gpt-4o", "messages": []} | members).encode()


def test_the_translator_hears_the_word_the_route_and_whose_credential_it_is(tmp_path: Path) -> None:
    with through(tmp_path, whole()) as way:
        own = ("x-mine: 1", "x-joulegate-route: 0", "x-joulegate-translator: guess", "user-agent: me", OURS)
        answer = parse(ask(way.gate.port, post("/v1/chat/completions?a=b", body(), *own)))
        (record,) = way.gate.closed(1)
    (seen,) = way.translator.seen
    assert seen.line == b"POST /v1/chat/completions HTTP/1.1"
    assert dict(seen.headers) == {
        b"host": f"127.0.0.1:{way.translator.port}".encode(),
        b"content-type": b"application/json",
        b"content-length": str(len(seen.body)).encode(),
        b"x-joulegate-translator": WORD,
        b"x-joulegate-route": b"1",
        b"x-joulegate-credential": b"operator",
    }
    assert json.loads(seen.body) == {"model": "bedrock/m", "messages": []}
    assert answer.status == 200
    opened = record.opened
    assert (opened.provider, opened.surface, opened.zone, opened.team) == ("bedrock", "openai.chat", "SWE", "search")
    assert (record.flags, record.usage_source) == (("translated",), "reported")
    assert opened.attributes["user_agent"] == "me"


@pytest.mark.parametrize("slot", ["authorization: Bearer sk-mine", "x-api-key: sk-mine", "api-key: sk-mine"])
def test_a_callers_own_key_goes_in_place_of_the_operators(tmp_path: Path, slot: str) -> None:
    with through(tmp_path, whole()) as way:
        ask(way.gate.port, post("/v1/chat/completions", body(), slot))
        way.gate.closed(1)
    (seen,) = way.translator.seen
    assert (seen.header(b"authorization") or b"").endswith(b"sk-mine")
    assert seen.header(b"x-joulegate-credential") is None


def test_an_encoded_request_is_sent_as_plain_json(tmp_path: Path) -> None:
    with through(tmp_path, whole()) as way:
        packed = gzip.compress(body())
        answer = parse(ask(way.gate.port, post("/v1/chat/completions", packed, OURS, "content-encoding: gzip")))
    (seen,) = way.translator.seen
    assert (answer.status, seen.header(b"content-encoding")) == (200, None)
    assert json.loads(seen.body)["model"] == "bedrock/m"


@pytest.mark.parametrize(
    ("path", "headers", "status", "code"),
    [
        ("/v1/chat/completions", (), 401, "missing_provider_key"),
        ("/v1/chat/completions", ("authorization: AWS4-HMAC-SHA256 Credential=x",), 401, "missing_provider_key"),
        ("/v1/messages", (OURS,), 400, "not_translated"),
        ("/v1/completions", (OURS,), 400, "not_translated"),
        ("/v1/responses/compact", (OURS,), 400, "not_translated"),
        ("/v1/moderations", (OURS,), 400, "not_translated"),
    ],
)
def test_what_is_refused_never_reaches_the_translator(
    tmp_path: Path, path: str, headers: tuple[str, ...], status: int, code: str
) -> None:
    with through(tmp_path, whole()) as way:
        answer = parse(ask(way.gate.port, post(path, body(input="x", prompt="x"), *headers)))
        (record,) = way.gate.closed(1)
    assert (answer.status, record.outcome, record.reason) == (status, "rejected", code)
    assert (way.translator.connections, record.flags) == (0, ())


def test_a_key_of_ours_where_the_operator_has_no_credential(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("unused")
    toml = TOML.replace('credential = "file:{folder}/key"\n', "")
    file = tmp_path / "joulegate.toml"
    file.write_text(toml.format(folder=tmp_path, more="", digest=hashlib.sha256(KEY.encode()).hexdigest()))
    config = load(file, environment={}).config
    with (
        provider(whole()) as translator,
        running(config, Translator(origin=Origin.parse(translator.origin), secret=Secret(WORD))) as gate,
    ):
        answer = parse(ask(gate.port, post("/v1/chat/completions", body(), OURS)))
    assert (answer.status, translator.connections) == (403, 0)


def test_usage_of_a_stream_is_asked_for_whoever_the_provider_is_and_taken_out_again(tmp_path: Path) -> None:
    stream = head() + b"".join(map(chunk, events(usage=True))) + chunk(b"")
    with through(tmp_path, says(stream)) as way:
        answer = parse(ask(way.gate.port, asking(OURS)))
        (record,) = way.gate.closed(1)
    assert json.loads(way.translator.seen[0].body)["stream_options"] == {"include_usage": True}
    assert answer.body == b"".join(events(usage=False))
    assert record.usage is not None
    assert (record.usage.input_tokens, record.usage_source) == (USAGE["prompt_tokens"], "reported")


def test_usage_is_not_asked_for_where_the_operator_says_never(tmp_path: Path) -> None:
    stream = head() + b"".join(map(chunk, events(usage=False))) + chunk(b"")
    with through(tmp_path, says(stream), 'inject_usage = "never"') as way:
        ask(way.gate.port, asking(OURS))
        (record,) = way.gate.closed(1)
    assert b"stream_options" not in way.translator.seen[0].body
    assert record.usage_source in ("counted", "inferred")


def test_a_failure_in_a_stream_is_the_rows_reason(tmp_path: Path) -> None:
    failure = event({"error": {"message": "busy", "type": "api_error", "param": None, "code": "provider_error"}})
    stream = head() + chunk(events(usage=True)[0]) + chunk(failure) + chunk(b"")
    with through(tmp_path, says(stream)) as way:
        ask(way.gate.port, asking(OURS))
        (record,) = way.gate.closed(1)
    assert (record.outcome, record.status, record.reason) == ("error", 200, "provider_error")


def test_a_gate_alone_says_what_it_lacks(tmp_path: Path) -> None:
    file = tmp_path / "joulegate.toml"
    (tmp_path / "key").write_text("the-operators")
    file.write_text(TOML.format(folder=tmp_path, more="", digest="0" * 64))
    with pytest.raises(ConfigError, match="use serve"):
        build_gate(load(file, environment={}).config)
