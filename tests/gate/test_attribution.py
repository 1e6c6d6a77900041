"""Whose call it is, which provider gets it, and with whose credential."""

from __future__ import annotations

import json

import pytest

from proxy.call import Opened
from proxy.teams import digest, issue_key
from tests.loopback import ask, parse, post, provider, reply, says

OK = reply(b"{}")
KEY = issue_key()
TEAMS = f'''
[[team]]
name = "search"
[[team.key]]
id = "k1"
sha256 = "{digest(KEY.encode())}"
project = "index"
'''
CREDENTIAL = "sk-provider-credential"
GOOD = b'{"model":"gpt-4o"}'


def who(opened: Opened) -> tuple[object, ...]:
    return opened.team, opened.project, opened.user, opened.key_id, opened.tags


@pytest.fixture(autouse=True)
def _credential(monkeypatch):
    monkeypatch.setenv("PROVIDER_KEY", CREDENTIAL)


HEADERS = [
    "x-joulegate-team: ops",
    "X-Joulegate-Project: p 1",
    "x-joulegate-user: Zoë",
    "x-joulegate-tags: a=1, b = 2,c",
]


def test_headers_say_whose_a_call_is(through):
    with through(says(OK)) as way:
        ask(way.gate.port, post("/v1/chat/completions", GOOD, *HEADERS[:2], HEADERS[3]))
        ask(way.gate.port, post("/v1/chat/completions", b'{"model":"gpt-4o","user":"from the body"}', HEADERS[0]))
        first, second = way.gate.closed(2)
        assert who(first.opened) == ("ops", "p 1", None, None, {"a": "1", "b": "2", "c": ""})
        assert who(second.opened) == ("ops", None, "from the body", None, {})
        assert not [name for seen in way.provider.seen for name, _ in seen.headers if b"joulegate" in name]


SLOTS = {
    "authorization": f"Authorization: Bearer {KEY}",
    "lower case": f"authorization: bearer {KEY}",
    "bare": f"authorization: {KEY}",
    "x-api-key": f"x-api-key: {KEY}",
    "api-key": f"api-key: {KEY}",
    "x-goog-api-key": f"x-goog-api-key: {KEY}",
    "query": "",
    "x-joulegate-key": f"x-joulegate-key: {KEY}",
}


@pytest.mark.parametrize("credential_in", ["authorization", "x-api-key", "api-key", "x-goog-api-key"])
def test_a_key_of_ours_in_any_slot_decides_and_gives_way_to_the_providers_credential(through, credential_in):
    lines = ['credential = "env:PROVIDER_KEY"', f'credential_in = "{credential_in}"']
    with through(says(OK), *lines, toml=TEAMS, keys="required") as way:
        for slot, header in SLOTS.items():
            path = "/openai/v1/chat/completions?a=1&a=%20"
            if slot == "query":
                path = path.replace("&", f"&key={KEY}&")
            headers = [*HEADERS, *([header] if header else [])]
            assert parse(ask(way.gate.port, post(path, GOOD, *headers))).status == 200
            seen = way.provider.seen[-1]
            credential = f"Bearer {CREDENTIAL}" if credential_in == "authorization" else CREDENTIAL
            given = [pair for pair in seen.headers if b"key" in pair[0] or pair[0] == b"authorization"]
            assert given == [(credential_in.encode(), credential.encode())]
            assert seen.line == b"POST /v1/chat/completions?a=1&a=%20 HTTP/1.1"
            assert KEY.encode() not in seen.head
        for call in way.gate.closed(len(SLOTS)):
            assert who(call.opened)[:2] == ("search", "index")
            assert call.opened.key_id == "k1"
            assert call.opened.tags == {"a": "1", "b": "2", "c": ""}


def test_a_key_of_ours_beside_the_providers_own(through):
    with through(says(OK), 'credential = "env:PROVIDER_KEY"', toml=TEAMS, keys="required") as way:
        headers = [f"x-joulegate-key: {KEY}", "authorization: Bearer sk-own"]
        assert parse(ask(way.gate.port, post("/v1/chat/completions", GOOD, *headers))).status == 200
        assert way.provider.seen[0].header(b"authorization") == b"Bearer sk-own"
        assert way.gate.closed(1)[0].opened.team == "search"


def test_without_a_key_of_ours_the_clients_own_passes_through(through):
    with through(says(OK)) as way:
        for header in ("authorization: Bearer sk-own", "x-api-key: sk-own", "api-key: own", "x-goog-api-key: AIza"):
            ask(way.gate.port, post("/v1/chat/completions", GOOD, header))
            name, _, value = header.partition(": ")
            assert way.provider.seen[-1].header(name.encode()) == value.encode()
        ask(way.gate.port, post("/openai/v1/x?key=AIza&b=%2F", GOOD))
        assert way.provider.seen[-1].line == b"POST /v1/x?key=AIza&b=%2F HTTP/1.1"


def test_a_configured_credential_is_not_for_clients_without_a_key_of_ours(through):
    with through(says(OK), 'credential = "env:PROVIDER_KEY"') as way:
        ask(way.gate.port, post("/v1/chat/completions", GOOD))
        assert way.provider.seen[0].header(b"authorization") is None


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([], "missing_api_key"),
        (["authorization: Bearer sk-own"], "missing_api_key"),
        (["x-joulegate-team: search"], "missing_api_key"),
        (["authorization: Bearer jg-unknown"], "invalid_api_key"),
        ([f"authorization: Bearer {KEY}x"], "invalid_api_key"),
        (["x-joulegate-key: nothing"], "invalid_api_key"),
        (["x-joulegate-key: "], "invalid_api_key"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/v1/files", "/nobody/x"])
def test_without_a_good_key_nothing_goes_on(through, path, headers, code):
    with through(says(OK), toml=TEAMS, keys="required") as way:
        answer = parse(ask(way.gate.port, post(path, GOOD, *headers)))
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["code"], error["type"]) == (401, code, "authentication_error")
        [call] = way.gate.closed(1)
        assert (call.outcome, call.reason, call.status) == ("rejected", code, 401)
        assert who(call.opened) == (None, None, None, None, {})
        assert call.opened.id.encode() == answer.header("x-joulegate-call-id")
        assert way.provider.seen == []


def test_a_wrong_key_is_refused_also_where_none_is_needed(through):
    with through(says(OK), toml=TEAMS) as way:
        assert parse(ask(way.gate.port, post("/v1/chat/completions", GOOD, "api-key: jg-old"))).status == 401
        assert way.provider.seen == []


def test_a_key_of_ours_for_a_provider_without_a_credential(through):
    with through(says(OK), toml=TEAMS) as way:
        answer = parse(ask(way.gate.port, post("/v1/chat/completions", GOOD, SLOTS["authorization"])))
        error = json.loads(answer.body)["error"]
        assert (answer.status, error["code"]) == (403, "provider_without_credential")
        assert "[[provider]]" in error["message"]
        assert way.provider.seen == []
        [call] = way.gate.closed(1)
        assert (call.outcome, call.opened.team, call.opened.provider) == ("rejected", "search", "openai")


def test_routes_of_the_configuration_win_over_the_shipped_ones_in_their_order(through):
    with provider(says(reply(b'{"other":1}'))) as other:
        toml = f'[[provider]]\nname = "other"\norigin = "{other.origin}"\nmodels = ["mine-*"]\n'
        toml += '[[route]]\nmatch = "gpt-4o-mini"\nprovider = "openai"\n'
        toml += '[[route]]\nmatch = "gpt-*"\nprovider = "other"\n'
        toml += '[[route]]\nmatch = "openai/special"\nprovider = "other"\n'
        with through(says(OK), toml=toml) as way:
            asked = {
                "gpt-4o-mini": "openai",
                "gpt-4o": "other",
                "o3": "openai",
                "mine-7b": "other",
                "openai/gpt-4o": "openai",
                "other/gpt-4o": "other",
                "other/deep/name": "other",
                "openai/special": "other",
            }
            for model in asked:
                assert (
                    parse(
                        ask(way.gate.port, post("/v1/chat/completions", json.dumps({"model": model}).encode()))
                    ).status
                    == 200
                )
            calls = way.gate.closed(len(asked))
            assert [call.opened.provider for call in calls] == list(asked.values())
            sent = {json.loads(seen.body)["model"] for seen in other.seen}
            assert sent == {"gpt-4o", "mine-7b", "deep/name", "openai/special"}


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/gpt-4o", "/v1/files?limit=2"])
def test_a_request_without_a_body_goes_to_openai(through, path):
    with through(says(OK)) as way:
        raw = f"GET {path} HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n".encode()
        assert parse(ask(way.gate.port, raw)).status == 200
        assert way.provider.seen[0].line == f"GET {path} HTTP/1.1".encode()
        [call] = way.gate.closed(1)
        assert call.opened.surface == ("other" if "files" in path else "openai.models")
        assert (call.outcome, call.usage_source, call.opened.model_requested) == ("ok", "absent", None)
