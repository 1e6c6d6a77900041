"""AWS Signature Version 4: the headers that prove a request to AWS, as a pure function.

The path is signed as it is on the wire, each of its bytes encoded once more: all services but S3 do so. A body is
signed by its hash, so it must be known whole. Source: AWS IAM User Guide, "Create a signed AWS API request".
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

Headers = list[tuple[bytes, bytes]]

# What an earlier signature left behind; a request has one signature only.
SIGNATURE_HEADERS = frozenset((b"authorization", b"x-amz-date", b"x-amz-security-token", b"x-amz-content-sha256"))
_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsCredential:
    """An access key and the scope it signs for; its secrets never show."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    region: str
    service: str = "bedrock"

    def __repr__(self) -> str:
        return f"AwsCredential(region={self.region!r}, service={self.service!r})"


def sign(
    method: bytes, path: bytes, query: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes,
    *, host: bytes, credential: AwsCredential, at: datetime,
) -> Headers:  # fmt: skip
    """Give the headers to add to a request: its time, its session and the signature.

    ``headers`` are the request's own; ``content-type`` and those of AWS are signed with the host. ``at`` is UTC.
    """
    moment = at.strftime("%Y%m%dT%H%M%SZ")
    added: Headers = [(b"x-amz-date", moment.encode())]
    if credential.session_token is not None:
        added.append((b"x-amz-security-token", credential.session_token.encode()))
    signed: dict[str, list[str]] = {"host": [host.decode("latin-1")]}
    for name, value in (*headers, *added):
        if name == b"content-type" or name.startswith(b"x-amz-"):
            signed.setdefault(name.decode("latin-1"), []).append(" ".join(value.decode("latin-1").split()))
    names = ";".join(sorted(signed))
    canonical = "\n".join(
        (
            method.decode("ascii"),
            quote(path.decode("latin-1"), safe="/-_.~", encoding="latin-1"),
            _canonical_query(query),
            *(f"{name}:{','.join(signed[name])}" for name in sorted(signed)),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        )
    )
    scope = f"{moment[:8]}/{credential.region}/{credential.service}/aws4_request"
    to_sign = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(canonical.encode("latin-1")).hexdigest()))
    key = f"AWS4{credential.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, to_sign.encode(), "sha256").hex()
    proof = f"{_ALGORITHM} Credential={credential.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return [*added, (b"authorization", proof.encode())]


def _canonical_query(query: bytes) -> str:
    pairs = [pair.partition("=")[::2] for pair in query.decode("latin-1").split("&") if pair]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))
