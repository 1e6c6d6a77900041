"""Reaching a provider: which ones to try, the connection, and what goes over it, credential included."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

from proxy.errors import Refusal
from proxy.gate import Gate, Received, end
from proxy.routing import Provider, Target
from proxy.sigv4 import SIGNATURE_HEADERS, sign
from proxy.teams import Admitted, Headers
from proxy.translated import to_translator
from proxy.upstream import Exchange, UpstreamError

_OBJECT = re.compile(rb"\s*\{")
_UTF8_STEP = 64 * 1024  # bytes decoded at once: a large body need not be in memory twice


class Outgoing(NamedTuple):
    """A request on its way to a provider that can be reached."""

    exchange: Exchange
    provider: Provider
    path: bytes
    headers: Headers
    body: bytes | AsyncIterator[bytes] | None
    asks_for_usage: bool  # in the client's place


def choose(gate: Gate, call: Received, admitted: Admitted) -> tuple[Target, ...]:
    """Choose the provider where the path did not."""
    if call.body:
        problem = call.asked.problem or _not_utf8(call.body)
        if problem is not None:
            raise Refusal(400, "invalid_request", f"The request's body cannot be read: {problem}.")
    if call.surface.metered and call.asked.model is None:
        raise Refusal(400, "missing_model", "The request names no model: set `model` in its body.")
    team = admitted.attribution.team
    return gate.routes.by_model(call.path, call.asked.model, admitted.headers, team=team)


async def reach(gate: Gate, call: Received, targets: tuple[Target, ...], admitted: Admitted) -> Outgoing:
    """Connect to the first target that can be reached: to those before it nothing was sent, so another may be tried."""
    for target in targets:
        call.provider, call.model_sent = target.provider, target.model
        ours = _is_for_ours(target.provider, admitted)
        headers, body = admitted.headers, call.sending
        asking = call.asked.stream and not call.asked.wants_usage and target.provider.asks_for_usage
        if call.body and call.asked.problem is None:
            prepared = call.surface.prepare(call.body, model=target.model, ask_for_usage=asking)
            if prepared is not call.body or target.provider.translation is not None:
                body, headers = prepared, [pair for pair in headers if pair[0] != b"content-encoding"]
        origin = target.provider.require_origin()
        path = target.path
        if target.model is not None and call.asked.model is not None and body is call.sending:
            path = _renamed(path, call.asked.model, target.model)
        if target.provider.translation is not None:
            path, headers = to_translator(call, target.provider.name, target.provider.translation, admitted, ours=ours)
        else:
            if ours:
                headers = _with_credential(call, target, path, headers, admitted.query, body)
            path = path + b"?" + admitted.query if admitted.query else path
        before_ns = time.perf_counter_ns()
        try:
            exchange = await gate.upstream.open(origin)
        except UpstreamError as error:
            if target is targets[-1]:
                raise
            end(gate, call, "error", error.code)
            call.try_again()
        else:
            return Outgoing(exchange, target.provider, path, headers, body, asking)
        finally:
            call.waited_ns += time.perf_counter_ns() - before_ns
    raise AssertionError("there is always a target")


def _not_utf8(body: bytes) -> str | None:
    """Say where a JSON object is not in UTF-8, which makes it malformed (RFC 8259 §8.1); readers skip such strings."""
    if body.isascii() or _OBJECT.match(body) is None:
        return None
    at, view = 0, memoryview(body)
    while at < len(body):
        try:
            at += codecs.utf_8_decode(view[at : at + _UTF8_STEP], "strict", at + _UTF8_STEP >= len(body))[1]
        except UnicodeDecodeError as error:
            return f"malformed JSON at byte {at + error.start}: not UTF-8"
    return None


def _is_for_ours(provider: Provider, admitted: Admitted) -> bool:
    """Tell whether the operator's credential goes upstream: for callers with a key of ours, never for whoever comes."""
    if admitted.own_credential and not admitted.our_key_used:
        return False
    if provider.credential is None and admitted.our_key_used and not admitted.own_credential:
        message = (
            f"This gate has no credential for provider {provider.name}: the operator sets "
            f'credential = "env:…" in [[provider]] name = "{provider.name}".'
        )
        raise Refusal(403, "provider_without_credential", message)
    return provider.credential is not None and admitted.attribution.key_id is not None


def _renamed(path: bytes, asked: str, model: str) -> bytes:
    """Put a model's name in the place of the one asked for, where a format names it in the path and not in the body."""
    for name in (quote(asked, safe=""), asked):
        *_, found = (None, *re.finditer(rb"/" + re.escape(name.encode()) + rb"(?=[/:%]|$)", path))
        if found is not None:  # the last one: what comes before are versions, projects and the like
            return path[: found.start() + 1] + quote(model, safe="").encode() + path[found.end() :]
    return path


def _with_credential(
    call: Received,
    target: Target,
    path: bytes,
    headers: Headers,
    query: bytes,
    body: bytes | AsyncIterator[bytes] | None,
) -> Headers:
    """Put the operator's credential, or a signature with it, among the headers that go upstream."""
    provider = target.provider
    if provider.credential is None:
        return headers
    if provider.aws is None:
        value = provider.credential.reveal()
        if provider.credential_in == b"authorization":
            value = b"Bearer " + value
        return [*headers, (provider.credential_in, value)]
    if not isinstance(body, bytes | None):
        message = "A request that is signed for AWS must be known whole, and this one is too large to hold."
        raise Refusal(413, "request_too_large", message)
    headers = [pair for pair in headers if pair[0] not in SIGNATURE_HEADERS]
    host, now = provider.require_origin().authority, datetime.now(UTC)
    method = call.method.encode("ascii")
    return headers + sign(method, path, query, headers, body or b"", host=host, credential=provider.aws, at=now)
