"""Requests to AWS are signed with the operator's credential, for callers with a key of ours."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest

from proxy.config import load
from proxy.errors import ConfigError
from proxy.sigv4 import AwsCredential, sign
from tests.loopback import ask, gate, parse, post, provider, reply, says

KEY = "jg-" + "k" * 40
BODY = b'{"messages":[{"role":"user","content":[{"text":"hi"}]}]}'
PATH = "/bedrock/model/us.anthropic.claude-sonnet-4-6%3A0/converse"


def toml(tmp_path: Path, port: int) -> str:
    for name, value in (("id", "AKIDEXAMPLE"), ("secret", "wJalr-secret"), ("token", "session-token")):
        (tmp_path / name).write_text(value)
    return f"""
        [[provider]]
        name = "bedrock"
        origin = "http://127.0.0.1:{port}"
        region = "aws:eu-north-1"
        credential_in = "sigv4"
        credential = "file:{tmp_path / "id"}"
        secret_access_key = "file:{tmp_path / "secret"}"
        session_token = "file:{tmp_path / "token"}"
        [[team]]
        name = "search"
        [[team.key]]
        id = "k1"
        sha256 = "{hashlib.sha256(KEY.encode()).hexdigest()}"
    """


@pytest.mark.parametrize("body", [BODY, b""])
def test_a_request_is_signed_as_it_goes_upstream(tmp_path: Path, body: bytes) -> None:
    with provider(says(reply(b"{}"))) as aws, gate(tmp_path, toml(tmp_path, aws.port)) as running:
        old = ("x-amz-date: 20200101T000000Z", "x-amz-security-token: of-the-client", "x-amz-meta: kept")
        answer = parse(ask(running.port, post(PATH + "?b=2&a=1", body, f"authorization: Bearer {KEY}", *old)))
        (record,) = running.closed(1)
    assert answer.status == 200
    assert record.opened.team == "search"
    (seen,) = aws.seen
    at = datetime.strptime((seen.header(b"x-amz-date") or b"").decode(), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    expected = sign(
        b"POST", PATH.removeprefix("/bedrock").encode(), b"b=2&a=1",
        [(b"content-type", b"application/json"), (b"x-amz-meta", b"kept")], body,
        host=f"127.0.0.1:{aws.port}".encode(), at=at,
        credential=AwsCredential(
            access_key_id="AKIDEXAMPLE",
            secret_access_key="wJalr-secret",
            session_token="session-token",
            region="eu-north-1",
        ),
    )  # fmt: skip
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60
    names = [name for name, _ in seen.headers]
    assert all(names.count(name) == 1 for name, _ in expected)
    assert {name: seen.header(name) for name, _ in expected} == dict(expected)
    assert KEY.encode() not in seen.head


def test_a_client_s_own_signature_passes_untouched(tmp_path: Path) -> None:
    mine = ("authorization: AWS4-HMAC-SHA256 Credential=AKIDMINE/x", "x-amz-date: 20200101T000000Z")
    with provider(says(reply(b"{}"))) as aws, gate(tmp_path, toml(tmp_path, aws.port)) as running:
        assert parse(ask(running.port, post(PATH, BODY, *mine))).status == 200
    (seen,) = aws.seen
    assert seen.header(b"authorization") == b"AWS4-HMAC-SHA256 Credential=AKIDMINE/x"
    assert seen.header(b"x-amz-date") == b"20200101T000000Z"
    assert seen.line == f"POST {PATH.removeprefix('/bedrock')} HTTP/1.1".encode()


@pytest.mark.parametrize(
    ("left_out", "says_what"),
    [("secret_access_key", "secret_access_key"), ("region", "region = "), ("credential_in", 'credential_in = "sigv4"')],
)
def test_what_is_missing_for_a_signature_is_named(tmp_path: Path, left_out: str, says_what: str) -> None:
    lines = [line for line in toml(tmp_path, 1).splitlines() if not line.strip().startswith(f"{left_out} =")]
    file = tmp_path / "joulegate.toml"
    file.write_text("\n".join(lines))
    with pytest.raises(ConfigError, match=says_what):
        load(file, environment={})
