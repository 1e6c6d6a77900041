from __future__ import annotations

import hashlib

import pytest

from proxy.errors import Refusal
from proxy.sections import KeySection, TeamSection
from proxy.teams import Attribution, Teams, digest, issue_key

KEY = b"jg-key"


def teams(*, keys_required: bool = False, **key: str) -> Teams:
    section = KeySection(id="k1", sha256=digest(KEY), **key)
    return Teams([TeamSection(name="search", key=(section,))], keys_required=keys_required)


def admit(*headers: tuple[bytes, bytes], query: bytes = b"", **key: str):
    return teams(**key).admit("POST", headers, query)


def test_keys_are_long_random_and_kept_as_their_sha256():
    made = {issue_key() for _ in range(100)}
    assert len(made) == 100
    assert all(key.startswith("jg-") and len(key) == 46 and key.isascii() for key in made)
    assert digest(KEY) == hashlib.sha256(KEY).hexdigest()
    assert KEY.decode() not in repr(teams().__dict__)


def test_nobody_said_anything():
    admitted = admit((b"accept", b"*/*"))
    assert admitted.attribution == Attribution()
    assert admitted.headers == [(b"accept", b"*/*")]
    assert (admitted.our_key_used, admitted.own_credential, bool(admitted.body)) == (False, False, False)


def test_the_key_decides_and_the_headers_fill_in():
    said = [(b"x-joulegate-" + name, name) for name in (b"team", b"project", b"user")]
    said += [(b"x-joulegate-tags", b"a=1"), (b"x-joulegate-key", KEY)]
    assert admit(*said).attribution == Attribution(
        team="search", project="project", user="user", key_id="k1", tags={"a": "1"}
    )
    assert admit(*said, project="p", user="u").attribution == Attribution(
        team="search", project="p", user="u", key_id="k1", tags={"a": "1"}
    )


@pytest.mark.parametrize(
    ("query", "left", "used", "own"),
    [
        (b"key=jg-key", b"", True, False),
        (b"a=1&key=jg-key&b=%20", b"a=1&b=%20", True, False),
        (b"key=jg%2Dkey&a", b"a", True, False),
        (b"a=1&key=AIza", b"a=1&key=AIza", False, True),
        (b"monkey=jg-key", b"monkey=jg-key", False, False),
        (b"a=key=jg-key", b"a=key=jg-key", False, False),
    ],
)
def test_a_key_in_the_query(query, left, used, own):
    admitted = admit(query=query)
    assert (admitted.query, admitted.our_key_used, admitted.own_credential) == (left, used, own)
    assert admitted.attribution.team == ("search" if used else None)


@pytest.mark.parametrize(
    ("value", "tags"),
    [
        (b"a=1,b=2", {"a": "1", "b": "2"}),
        (b" a = 1 ,, =x,c", {"a": "1", "c": ""}),
        (b"a=1,a=2", {"a": "2"}),
        (b"a=b=c", {"a": "b=c"}),
        ("größe=ü".encode(), {"größe": "ü"}),
        (b",".join(b"t%d=1" % i for i in range(40)), {f"t{i}": "1" for i in range(16)}),
        (b"a" * 100 + b"=" + b"b" * 100, {"a" * 64: "b" * 64}),
    ],
)
def test_tags(value, tags):
    assert admit((b"x-joulegate-tags", value)).attribution.tags == tags


@pytest.mark.parametrize(
    ("value", "name"),
    [(b"", None), (b"  ", None), (b" ops ", "ops"), (b"\x00a\x1f", "a"), (b"\xff", "\ufffd"), (b"x" * 99, "x" * 64)],
)
def test_names_are_printable_and_bounded(value, name):
    assert admit((b"x-joulegate-team", value)).attribution.team == name


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
def test_where_keys_are_required_every_method_but_a_preflight_needs_one(method):
    with pytest.raises(Refusal, match="needs a Joulegate key") as refused:
        teams(keys_required=True).admit(method, [(b"authorization", b"Bearer sk-x")], b"")
    assert (refused.value.status, refused.value.code) == (401, "missing_api_key")
    assert teams(keys_required=True).admit("OPTIONS", [], b"").attribution == Attribution()
    assert teams(keys_required=True).admit(method, [(b"api-key", KEY)], b"").attribution.team == "search"


def test_a_refusal_does_not_repeat_the_key():
    with pytest.raises(Refusal) as refused:
        admit((b"authorization", b"Bearer jg-wrong"))
    assert "wrong" not in refused.value.message
    assert refused.value.code == "invalid_api_key"


def test_what_the_headers_say_about_the_caller_is_noted_and_goes_on():
    headers = [
        (b"user-agent", b"OpenAI/Python 3.54.0"),
        (b"openai-project", b"proj_1"),
        (b"x-stainless-retry-count", b"2"),
        (b"idempotency-key", b"stainless-retry-1"),
        (b"authorization", b"Bearer sk-secret"),
    ]
    admitted = admit(*headers)
    assert admitted.headers == headers
    assert admitted.attributes == {
        "user_agent": "OpenAI/Python 3.54.0",
        "openai_project": "proj_1",
        "retry_count": "2",
        "idempotency_key": "stainless-retry-1",
        "provider_key": hashlib.sha256(b"sk-secret").hexdigest()[:16],
    }
    assert admitted.attribution.project == "proj_1"
    assert admit(*headers, (b"x-joulegate-project", b"mine")).attribution.project == "mine"
    assert admit(*headers, (b"x-joulegate-key", KEY), project="theirs").attribution.project == "theirs"


def test_a_first_try_is_not_worth_a_note_and_a_long_name_is_cut():
    noted = admit((b"x-stainless-retry-count", b"0"), (b"user-agent", b"a\x00b\n" + b"c" * 1000)).attributes
    assert noted == {"user_agent": "ab" + "c" * 126}


def test_a_signature_of_aws_is_told_by_its_access_key_and_its_attempts_are_counted():
    def signed(attempt: int, signature: bytes) -> dict[str, str]:
        scope = b"AKIDEXAMPLE/20260115/us-east-1/bedrock/aws4_request"
        headers = [
            (
                b"authorization",
                b"AWS4-HMAC-SHA256 Credential=%s, SignedHeaders=host, Signature=%s" % (scope, signature),
            ),
            (b"amz-sdk-invocation-id", b"a57de91a-2b8e-402a-981b-e115b6ebef2f"),
            (b"amz-sdk-request", b"ttl=20260115T120000Z; attempt=%d; max=3" % attempt),
        ]
        admitted = admit(*headers)
        assert admitted.headers == headers
        assert admitted.own_credential
        return admitted.attributes

    first = {
        "idempotency_key": "a57de91a-2b8e-402a-981b-e115b6ebef2f",
        "provider_key": hashlib.sha256(b"AKIDEXAMPLE").hexdigest()[:16],
    }
    assert signed(1, b"0a") == first
    assert signed(2, b"0b") == first | {"retry_count": "1"}


@pytest.mark.parametrize(
    ("offered", "goes_on", "ours"),
    [
        (
            b"realtime, openai-insecure-api-key.jg-key, openai-beta.realtime-v1",
            b"realtime, openai-beta.realtime-v1",
            True,
        ),
        (b"openai-insecure-api-key.jg-key", None, True),
        (b"realtime,openai-insecure-api-key.sk-1", b"realtime,openai-insecure-api-key.sk-1", False),
        (b"realtime, jg-key", b"realtime, jg-key", None),
    ],
)
def test_a_key_among_the_subprotocols(offered, goes_on, ours):
    admitted = admit((b"sec-websocket-protocol", offered))
    assert admitted.headers == ([] if goes_on is None else [(b"sec-websocket-protocol", goes_on)])
    assert (admitted.our_key_used, admitted.own_credential) == (ours is True, ours is False)
