"""Who calls: a key of ours decides; without one, the client's own headers say.

One pass over the request's headers does all there is to do with them: takes out ours and the
hop-by-hop ones, finds a key of ours wherever an SDK may put it, and puts the provider's configured
credential in its place. Keys of ours are looked up by their SHA-256, so neither the tables nor the
time a look-up takes says anything about a key: those of the configuration in memory, others in the roster.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from proxy.errors import Refusal
from proxy.roster import Roster, RosterError
from proxy.scope import Scope
from proxy.sections import KeySection, TeamSection

Headers = list[tuple[bytes, bytes]]

KEY_PREFIX = b"jg-"
KEY_SLOTS = frozenset((b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key", b"sec-websocket-protocol"))
KEY_SUBPROTOCOL = b"openai-insecure-api-key."  # a browser's WebSocket can carry a key nowhere else
TAGS_AT_MOST = 16
NAME_CHARACTERS_AT_MOST = 64
KEYS_KEPT = 4096  # of the roster, in the memory of each gate

# RFC 9110 §7.6.1: these speak of one connection only. `expect` is answered here, `host` is the provider's own.
HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade")
)
_NOT_FORWARDED = HOP_BY_HOP | {b"proxy-authorization", b"proxy-authenticate", b"expect", b"host"}
_OURS = b"x-joulegate-"
# Headers that go upstream and are noted as well, with what they are called on a call's row.
_ATTRIBUTES = {
    b"user-agent": "user_agent",
    b"openai-organization": "openai_organization",
    b"openai-project": "openai_project",
    b"x-stainless-retry-count": "retry_count",
    b"idempotency-key": "idempotency_key",
    b"amz-sdk-invocation-id": "idempotency_key",  # AWS's: the same for every attempt
    b"x-title": "app",
    b"x-openrouter-title": "app",
}
_AWS_ATTEMPT = re.compile(rb"\battempt=([1-9]\d?)\b")  # from 1
_AWS_SIGNER = re.compile(rb"AWS4-HMAC-SHA256 .*?\bCredential=([^/,\s]{1,128})/")  # no access key's id is longer
_BODY = frozenset((b"content-length", b"content-type", b"content-encoding"))
_LOOKED_AT = _NOT_FORWARDED | KEY_SLOTS | _BODY | {*_ATTRIBUTES, b"amz-sdk-request"}
ATTRIBUTE_CHARACTERS_AT_MOST = 128
FINGERPRINT_CHARACTERS = 16  # of a provider key's SHA-256: enough to tell keys apart, and a key is too random to guess


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Whose call it is; ``None`` where nobody said."""

    team: str | None = None
    project: str | None = None
    user: str | None = None
    key_id: str | None = None
    tags: dict[str, str] = field(default_factory=dict)


NOBODY = Attribution()


@dataclass(slots=True)
class BodyAhead:
    """What a request's head says of the body that follows it."""

    length: int | None = None  # in bytes
    chunked: bool = False  # a body comes whose length the head does not say
    json: bool = False
    encoding: bytes = b""  # all of them, separated by commas

    def take(self, name: bytes, value: bytes) -> None:
        """Take a header that speaks of the body."""
        if name == b"content-length":
            self.length = int(value) if value.isdigit() else None
        elif name == b"content-encoding":
            self.encoding = self.encoding + b", " + value if self.encoding else value
        else:
            self.json = b"json" in value.lower()

    def __bool__(self) -> bool:
        """Whether there is one."""
        return self.chunked or bool(self.length)


@dataclass(slots=True, kw_only=True)
class Admitted:
    """A request that may go on: whose it is and the headers that go upstream, credential still open."""

    attribution: Attribution
    scope: Scope | None  # of the key of ours, where it has one
    attributes: dict[str, str]  # what else the headers say about who calls and how
    headers: Headers
    query: bytes
    our_key_used: bool  # the provider's slot held a key of ours: a configured credential must take its place
    own_credential: bool  # the client brought the provider's key
    websocket: bool  # the client asks for another protocol on its connection
    body: BodyAhead


class _Key(NamedTuple):
    attribution: Attribution
    scope: Scope | None

    @classmethod
    def of(cls, team: str, key: KeySection) -> _Key:
        return cls(Attribution(team=team, project=key.project, user=key.user, key_id=key.id), Scope.of(key))


class Teams:
    """The keys that are good here: those of the configuration, then those of the roster."""

    def __init__(self, teams: Iterable[TeamSection], *, keys_required: bool, roster: Roster | None = None) -> None:
        self._keys_required = keys_required
        self._by_digest: dict[str, _Key] = {key.sha256: _Key.of(team.name, key) for team in teams for key in team.key}
        self._roster = roster
        # What is not there is not kept: who tries keys out pushes nobody's out.
        self._listed = lru_cache(maxsize=KEYS_KEPT)(self._look_up)
        self.look()

    def look(self) -> bool:
        """Take a new roster into use where there is one, about once a second; tells whether. Never raises."""
        if self._roster is None or not self._roster.look():
            return False
        self._listed.cache_clear()
        return True

    def admit(self, method: str, headers: Iterable[tuple[bytes, bytes]], query: bytes) -> Admitted:
        """Attribute a request and clean its headers; raises :class:`Refusal` 401 for a missing or wrong key."""
        kept: Headers = []
        said: dict[bytes, bytes] = {}
        attributes: dict[str, str] = {}
        named_by_connection: frozenset[bytes] = frozenset()
        our_key: bytes | None = None
        our_key_used = own_credential = websocket = False
        scope: Scope | None = None
        body = BodyAhead()
        for name, value in headers:
            if name not in _LOOKED_AT:
                if name.startswith(_OURS):
                    said[name[len(_OURS) :]] = value
                else:
                    kept.append((name, value))
                continue
            if name in _NOT_FORWARDED:
                body.chunked |= name == b"transfer-encoding"
                websocket |= name == b"upgrade" and value.lower() == b"websocket"
                if name == b"connection":
                    named_by_connection |= {token.strip().lower() for token in value.split(b",")}
                continue
            if name in _BODY:
                body.take(name, value)
            elif name in KEY_SLOTS:
                key, rest = _key_in(name, value)
                if key is not None and key.startswith(KEY_PREFIX):
                    our_key, our_key_used = key, True
                    if not rest:
                        continue
                    value = rest
                elif key is not None:
                    own_credential = True
                    attributes["provider_key"] = digest(key)[:FINGERPRINT_CHARACTERS]
            elif name in _ATTRIBUTES:
                _note(attributes, _ATTRIBUTES[name], value)
            elif name == b"amz-sdk-request" and (attempt := _AWS_ATTEMPT.search(value)) is not None:
                _note(attributes, "retry_count", b"%d" % (int(attempt[1]) - 1))
            kept.append((name, value))
        if named_by_connection:
            kept = [pair for pair in kept if pair[0] not in named_by_connection]
        if b"key=" in query:
            query, key_in_query, other_key = _take_key_from_query(query)
            if key_in_query is not None:
                our_key, our_key_used = key_in_query, True
            own_credential |= other_key
        our_key = said.pop(b"key", our_key)
        if our_key is not None:
            key_of_ours = self._by_key(our_key)
            attribution, scope = _filled_in(key_of_ours.attribution, said), key_of_ours.scope
        elif self._keys_required and method != "OPTIONS":  # a browser's preflight cannot carry a key
            raise Refusal(401, "missing_api_key", "This gate needs a Joulegate key (jg-…) as the API key.")
        else:
            attribution = _as_said(said)
        if attribution.project is None and (project := attributes.get("openai_project")) is not None:
            attribution = replace(attribution, project=project)
        return Admitted(
            attribution=attribution,
            scope=scope,
            attributes=attributes,
            headers=kept,
            query=query,
            our_key_used=our_key_used,
            own_credential=own_credential,
            websocket=websocket,
            body=body,
        )

    def _by_key(self, key: bytes) -> _Key:
        sha256 = digest(key)
        return self._by_digest.get(sha256) or self._listed(sha256)

    def _look_up(self, sha256: str) -> _Key:
        """Find a key of the roster; raises :class:`Refusal` where it is not there, or nobody can say."""
        try:
            found = self._roster.find(sha256) if self._roster is not None else None
        except RosterError:
            message = "Joulegate keys cannot be looked up at the moment; try again."
            raise Refusal(503, "keys_unavailable", message) from None
        if found is None:
            raise Refusal(401, "invalid_api_key", "This Joulegate key is not known here; ask for a new one.")
        return _Key.of(found.team, found.key)


def digest(key: bytes) -> str:
    """SHA-256 of a key, hexadecimal: what is kept of it."""
    return hashlib.sha256(key).hexdigest()


def issue_key() -> str:
    """Make a new key: ``jg-`` and 256 random bits, so no guessing and no slow hash is needed."""
    return KEY_PREFIX.decode() + secrets.token_urlsafe(32)


def _filled_in(owner: Attribution, said: dict[bytes, bytes]) -> Attribution:
    """Let the headers fill in what the key leaves open: it decides over them, and always the team."""
    if not said:
        return owner
    return Attribution(
        team=owner.team,
        project=owner.project or _text(said.get(b"project")),
        user=owner.user or _text(said.get(b"user")),
        key_id=owner.key_id,
        tags=_tags(said.get(b"tags")),
    )


def _as_said(said: dict[bytes, bytes]) -> Attribution:
    if not said:
        return NOBODY
    return Attribution(
        team=_text(said.get(b"team")),
        project=_text(said.get(b"project")),
        user=_text(said.get(b"user")),
        tags=_tags(said.get(b"tags")),
    )


def _key_in(slot: bytes, value: bytes) -> tuple[bytes | None, bytes]:
    """Give the key that a header carries, if it does, and what the header says beside it."""
    if slot == b"authorization":
        return _bearer(value), b""
    if slot != b"sec-websocket-protocol":
        return value, b""
    key, kept = None, []
    for part in value.split(b","):
        offered = part.strip()
        if offered.startswith(KEY_SUBPROTOCOL):
            key = offered[len(KEY_SUBPROTOCOL) :]
        else:
            kept.append(part)
    return key, b",".join(kept).strip()


def _note(attributes: dict[str, str], name: str, value: bytes) -> None:
    text = "".join(c for c in value.decode("utf-8", "replace") if c.isprintable())[:ATTRIBUTE_CHARACTERS_AT_MOST]
    if text and (name, text) != ("retry_count", "0"):
        attributes[name] = text


def _bearer(value: bytes) -> bytes:
    scheme, _, token = value.partition(b" ")
    if scheme.lower() == b"bearer":
        return token.strip()
    signer = _AWS_SIGNER.match(value)  # a signature is another one for every request, its access key id is not
    return signer[1] if signer is not None else value


def _text(value: bytes | None) -> str | None:
    """Give a header's value as a printable name of bounded length; None where nothing usable was said."""
    if not value:
        return None
    name = "".join(c for c in value.decode("utf-8", "replace").strip() if c.isprintable())
    return name[:NAME_CHARACTERS_AT_MOST] or None


def _tags(value: bytes | None) -> dict[str, str]:
    tags: dict[str, str] = {}
    for pair in (value or b"").split(b",")[:TAGS_AT_MOST]:
        name, _, what = pair.partition(b"=")
        tag = _text(name)
        if tag is not None:
            tags[tag] = _text(what) or ""
    return tags


def _take_key_from_query(query: bytes) -> tuple[bytes, bytes | None, bool]:
    """Take ``key=jg-…`` out of a query, every other byte kept; also say whether another key is there."""
    kept, ours, other = [], None, False
    for part in query.split(b"&"):
        if part.startswith(b"key="):
            key = unquote_to_bytes(part[4:])
            if key.startswith(KEY_PREFIX):
                ours = key
                continue
            other = True
        kept.append(part)
    return b"&".join(kept), ours, other
