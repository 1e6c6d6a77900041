"""What a key of ours may be used for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from proxy.config import load
from proxy.errors import ConfigError
from proxy.teams import digest, issue_key
from tests.loopback import ask, parse, post, reply, says

OK = reply(b"{}")
KEY = issue_key()
OPENAI = post("/v1/chat/completions", b'{"model":"gpt-4o"}', f"authorization: Bearer {KEY}")
CREDENTIAL = 'credential = "env:PROVIDER_KEY"'


@pytest.fixture(autouse=True)
def _credential(monkeypatch):
    monkeypatch.setenv("PROVIDER_KEY", "sk-provider-credential")


def scoped(*lines: str) -> str:
    head = f'[[team]]\nname = "search"\n[[team.key]]\nid = "k1"\nsha256 = "{digest(KEY.encode())}"\n'
    return "\n".join((head, *lines, ""))


def moment(days: float) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


def asked(path: str, body: bytes = b'{"model":"gpt-4o"}') -> bytes:
    return post(path, body, f"authorization: Bearer {KEY}")


def socket(path: str) -> bytes:
    head = f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nauthorization: Bearer {KEY}"
    return f"{head}\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()


REFUSED = {
    "over": (f"expires = {moment(-0.01)}", OPENAI, 401, "expired_api_key"),
    "elsewhere": ('networks = ["10.0.0.0/8", "2001:db8::/32"]', OPENAI, 403, "address_not_allowed"),
    "another provider": ('providers = ["anthropic"]', OPENAI, 403, "provider_not_allowed"),
    "its path": ('providers = ["anthropic"]', asked("/openai/v1/chat/completions"), 403, "provider_not_allowed"),
    "another model": ('models = ["gpt-4o-*", "o3"]', OPENAI, 403, "model_not_allowed"),
    "its path too": ('models = ["o3"]', asked("/openai/v1/chat/completions"), 403, "model_not_allowed"),
    "its deployment": (
        'models = ["gpt-4o"]',
        asked("/openai/deployments/gpt-5-pro/chat/completions"),
        403,
        "model_not_allowed",
    ),
    "its address": (
        'models = ["claude-haiku-*"]',
        asked("/openai/v1/models/claude-opus-4:rawPredict", b'{"model":"claude-haiku-4"}'),
        403,
        "model_not_allowed",
    ),
    "what answers in its place": (
        'models = ["gpt-4o"]',
        asked("/v1/chat/completions", b'{"model":"gpt-4o","models":["gpt-4o","o3"]}'),
        403,
        "model_not_allowed",
    ),
    "a connection": ('models = ["gpt-*"]', socket("/v1/realtime?model=o3"), 403, "model_not_allowed"),
    "one of two": ('models = ["gpt-*"]', socket("/v1/realtime?model=gpt-realtime&model=o3"), 403, "model_not_allowed"),
    "no model on a connection": ('models = ["gpt-*"]', socket("/v1/realtime"), 403, "model_not_allowed"),
    "models in messages": ('models = ["gpt-*"]', socket("/v1/responses?model=gpt-5"), 403, "model_not_allowed"),
    "no model": ('models = ["gpt-*"]', asked("/openai/v1/batches", b'{"input_file_id":"f"}'), 403, "model_not_allowed"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_beyond_its_scope_a_key_is_refused_and_the_refusal_is_its_teams(through, case):
    lines, request, status, code = REFUSED[case]
    with through(says(OK), CREDENTIAL, toml=scoped(lines)) as way:
        answer = parse(ask(way.gate.port, request))
        assert answer.status == status
        error = msgspec.json.decode(answer.body)["error"]
        assert error["code"] == code
        assert KEY not in error["message"]
        assert way.provider.seen == []
        (call,) = way.gate.closed(1)
        assert (call.outcome, call.reason, call.opened.team, call.opened.key_id) == ("rejected", code, "search", "k1")


ALLOWED = {
    "not over": (f"expires = {moment(1)}", OPENAI),
    "here": ('networks = ["10.0.0.0/8", "127.0.0.0/8", "::1/128"]', OPENAI),
    "its provider": ('providers = ["anthropic", "openai"]', OPENAI),
    "its model": ('models = ["gpt-4*"]', OPENAI),
    "its model, the provider named": (
        'models = ["gpt-4o"]',
        asked("/v1/chat/completions", b'{"model":"openai/gpt-4o"}'),
    ),
    "its deployment and its model": (
        'models = ["gpt-4o*"]',
        asked("/openai/deployments/gpt-4o-prod/chat/completions"),
    ),
    "what answers in its place": (
        'models = ["gpt-4o*"]',
        asked("/v1/chat/completions", b'{"model":"gpt-4o","models":["gpt-4o-mini",1,null]}'),
    ),
    "a deployment, and no model": (
        'models = ["gpt-4o-prod"]',
        asked("/openai/deployments/gpt-4o-prod/chat/completions", b"{}"),
    ),
    "a connection": ('models = ["gpt-realtime*"]', socket("/v1/realtime?model=gpt-realtime")),
    "looking up": (
        'models = ["gpt-4*"]',
        f"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {KEY}\r\n\r\n".encode(),
    ),
}


@pytest.mark.parametrize("case", ALLOWED)
def test_within_its_scope_a_key_does_what_any_other_does(through, case):
    lines, request = ALLOWED[case]
    with through(says(OK), CREDENTIAL, toml=scoped(lines)) as way:
        assert parse(ask(way.gate.port, request)).status == 200
        assert way.gate.closed(1)[0].opened.key_id == "k1"


def test_a_fallback_that_the_key_may_not_use_is_not_tried(through):
    lines = scoped('providers = ["nowhere", "anthropic"]')
    routes = """
[[provider]]
name = "nowhere"
origin = "http://127.0.0.1:1"
surface = "openai"
credential = "env:PROVIDER_KEY"
[[route]]
match = "gpt-*"
provider = "nowhere"
fallback = ["openai"]
"""
    with through(says(OK), CREDENTIAL, toml=lines + routes) as way:
        assert parse(ask(way.gate.port, OPENAI)).status == 502
        assert way.provider.seen == []


@pytest.mark.parametrize(
    ("line", "says_so"),
    [
        ("expires = 2027-01-31T00:00:00", "expires"),  # of which zone?
        ('networks = ["10.0.0.1/8"]', "has host bits set; write 10.0.0.0/8"),
        ('providers = ["opnai"]', "key `k1` names provider `opnai`; known are"),
        ('models = "gpt-4o"', "Expected `array`"),
    ],
)
def test_a_scope_that_cannot_be_is_a_clear_error(tmp_path, line, says_so):
    path = tmp_path / "joulegate.toml"
    path.write_text(scoped(line))
    with pytest.raises(ConfigError, match=says_so):
        load(path)
