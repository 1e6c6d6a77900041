from __future__ import annotations

from datetime import UTC, datetime

import pytest

from proxy.sigv4 import AwsCredential, sign

AT = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
CREDENTIAL = AwsCredential(
    access_key_id="AKIDEXAMPLE",
    secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    region="us-east-1",
    service="iam",
)


def test_the_worked_example_of_aws() -> None:
    # AWS General Reference, "Signature Version 4 signing process", the request to list IAM's users.
    headers = sign(
        b"GET", b"/", b"Action=ListUsers&Version=2010-05-08",
        [(b"content-type", b"application/x-www-form-urlencoded; charset=utf-8")], b"",
        host=b"iam.amazonaws.com", credential=CREDENTIAL, at=AT,
    )  # fmt: skip
    assert headers == [
        (b"x-amz-date", b"20150830T123600Z"),
        (
            b"authorization",
            b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, "
            b"SignedHeaders=content-type;host;x-amz-date, "
            b"Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7",
        ),
    ]


def test_no_secret_shows() -> None:
    assert "wJalr" not in repr(CREDENTIAL)
    assert "AKID" not in repr(CREDENTIAL)


@pytest.mark.heavy
@pytest.mark.parametrize("path", ["/model/anthropic.claude-v2%3A1/converse", "/model/arn%3Aaws%3Abedrock%2Fx/invoke"])
@pytest.mark.parametrize("query", ["", "b=2&a=1&a=0&empty"])
@pytest.mark.parametrize("token", [None, "session/token=="])
def test_botocore_signs_the_same(path: str, query: str, token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    import botocore.auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    body = b'{"messages":[]}'
    request = AWSRequest("POST", f"https://bedrock-runtime.eu-north-1.amazonaws.com{path}?{query}", data=body)
    request.headers["content-type"] = "application/json"
    request.headers["x-amz-target"] = "a   b"
    credentials = Credentials("AKIDEXAMPLE", "secret+/=", token)
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda remove_tzinfo=True: AT.replace(tzinfo=None))
    botocore.auth.SigV4Auth(credentials, "bedrock", "eu-north-1").add_auth(request)
    ours = sign(
        b"POST", path.encode(), query.encode(),
        [(b"content-type", b"application/json"), (b"x-amz-target", b"a   b"), (b"user-agent", b"x")], body,
        host=b"bedrock-runtime.eu-north-1.amazonaws.com",
        credential=AwsCredential(
            access_key_id="AKIDEXAMPLE", secret_access_key="secret+/=", session_token=token, region="eu-north-1"
        ),
        at=AT,
    )  # fmt: skip
    assert dict(ours)[b"authorization"].decode() == request.headers["Authorization"]
