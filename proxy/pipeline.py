"""The path a call takes: receive, authenticate, route, forward, pass through, write down.

The order is the one promise of this file: bytes go on untouched; what a call consumed is in the
journal before its client sees the end of the reply; every request becomes exactly one record.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any, NamedTuple

from proxy.call import Closed, Opened, Outcome
from proxy.config import GateSection
from proxy.counting import Counter
from proxy.errors import Refusal
from proxy.identity import new_id
from proxy.routing import Provider, Routes, Target
from proxy.sigv4 import SIGNATURE_HEADERS, sign
from proxy.sockets import EXTENSION, TurnMeter, relay
from proxy.teams import Admitted, Attribution, Headers, Teams
from proxy.tee import Meter, Sink
from proxy.upstream import ClientGone, Exchange, Upstream, UpstreamError
from proxy.watch import Watch
from proxy.wire.content import OUTPUT_LIMIT, decoder
from proxy.wire.registry import surface_for
from proxy.wire.surface import Asked, Surface
from proxy.wire.turns import model_in_query

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
EstimateHeaders = Callable[[Closed], Headers]
HandOver = Callable[[Headers], tuple[asyncio.Transport, bytes]]  # of a connection that switches protocols

HELD_REPLY_BYTES = 256 * 1024  # a plain reply's head waits for its usage: at most for this many bytes…
HELD_REPLY_S = 0.05  # …and this long, so that nothing is delayed that would have come earlier
WITHOUT_BODY = (204, 304)
log = logging.getLogger("joulegate")


@dataclass(slots=True, kw_only=True)
class Gate:
    """What a call needs on its way; one per worker process."""

    settings: GateSection
    teams: Teams
    routes: Routes
    upstream: Upstream
    journal: Sink
    count: Counter
    estimate_headers: EstimateHeaders | None = None
    prepare_estimate: Callable[[str, Provider], None] | None = None  # told the model of a reply that will have them
    draining: int = 0


@dataclass(slots=True, kw_only=True)
class Received:
    """A request as it came, and the facts that became known on its way: what its record will say."""

    id: str
    method: str
    path: bytes
    started_ns: int
    started_at_us: int
    surface: Surface
    attribution: Attribution = field(default_factory=Attribution)
    attributes: dict[str, str] = field(default_factory=dict)
    asked: Asked = field(default_factory=Asked)
    provider: Provider | None = None
    model_sent: str | None = None  # where it differs from the one asked for
    body: bytes = b""  # held, content-encoding taken off
    body_bytes: int | None = None
    sending: bytes | AsyncIterator[bytes] | None = None  # what goes upstream: the held body, or one that still comes
    attempt: int = 1
    operation_id: str = ""  # shared by the attempts of a request; the first one's id
    meter: Meter | None = None  # set: the call is on its way upstream, its record is the meter's to write
    answering: bool = False  # the client has the head of a reply
    client_left: bool = False
    hand_over: HandOver | None = None  # set: the client asks for a WebSocket and the server can give its connection
    draining: bool = False  # the client has left, its reply is read on
    waited_ns: int = 0  # for the rest of the request and for a connection: not time of ours

    def try_again(self) -> None:
        """Begin another attempt: a row of its own, tied to the ones before."""
        self.operation_id = self.operation_id or self.id
        self.id = new_id(time.time_ns())
        self.attempt += 1


class Outgoing(NamedTuple):
    """A request on its way to a provider that can be reached."""

    exchange: Exchange
    provider: Provider
    path: bytes
    headers: Headers
    body: bytes | AsyncIterator[bytes] | None
    asks_for_usage: bool  # in the client's place


async def carry(gate: Gate, scope: Scope, receive: Receive, send: Send) -> None:
    """Take one request to its provider and the reply back."""
    call = _begin(scope["method"], scope["raw_path"])
    try:
        admitted = gate.teams.admit(call.method, scope["headers"], scope["query_string"])
        call.attribution, call.attributes = admitted.attribution, admitted.attributes
        if admitted.websocket:
            call.hand_over = scope.get("extensions", {}).get(EXTENSION, {}).get("hand_over")
            call.surface = surface_for("WEBSOCKET", call.path.decode("latin-1"))
            call.asked = Asked(model=model_in_query(admitted.query), stream=True)
        target = gate.routes.by_path(call.path)
        if target is not None:
            call.provider = target.provider
        before_ns = time.perf_counter_ns()
        await _receive_body(gate, call, admitted, receive)
        call.waited_ns += time.perf_counter_ns() - before_ns
        targets = (target,) if target is not None else _choose(gate, call, admitted)
        outgoing = await _reach(gate, call, targets, admitted)
        await _forward(gate, call, outgoing, receive, send)
    except Refusal as refusal:
        await _fail(gate, call, "rejected", refusal.status, refusal.code, refusal.message, send)
    except UpstreamError as error:
        await _fail(gate, call, "error", error.status, error.code, str(error), send)
    except ClientGone:
        _end(gate, call, "aborted", "client_gone_before_sending")
    except asyncio.CancelledError:
        message = "The gate was shut down before the reply had ended; try again."
        await _fail(gate, call, "interrupted", 503, "gate_shut_down", message, send)
        raise
    except Exception as error:
        _report(call.id, error)
        await _fail(gate, call, "error", 500, "gate_failed", "The gate failed; its log says more.", send)


def record_unreadable(gate: Gate, status: int, code: str) -> str:
    """Write down a request that could not be read as HTTP and was turned away with ``status``; gives its id."""
    call = _begin("", b"")
    _end(gate, call, "rejected", code, status=status)
    return call.id


def _begin(method: str, path: bytes) -> Received:
    now_ns = time.time_ns()
    return Received(
        id=new_id(now_ns),
        method=method,
        path=path,
        started_ns=time.perf_counter_ns(),
        started_at_us=now_ns // 1000,
        surface=surface_for(method, path.decode("latin-1")),
    )


async def _receive_body(gate: Gate, call: Received, admitted: Admitted, receive: Receive) -> None:
    """Hold the body where it must be read first; else, or beyond the limit, leave it as a stream."""
    length: int | None = None
    encoding = b""
    json = has_body = False
    for name, value in admitted.headers:
        if name == b"content-length":
            length = int(value) if value.isdigit() else None
            has_body = length != 0
        elif name == b"content-encoding":
            encoding = encoding + b", " + value if encoding else value
        elif name == b"content-type":
            json = b"json" in value.lower()
    has_body = has_body or admitted.chunked
    call.body_bytes = length if has_body else 0
    if not has_body:
        return
    if not (call.surface.metered or (json and call.provider is None)):
        call.sending = _stream(call, b"", receive)
        return
    limit = gate.settings.hold_body_bytes
    pieces: list[bytes] = []
    size = 0
    more = True
    while more and max(size, length or 0) <= limit:
        piece, more = await _next(call, receive)
        pieces.append(piece)
        size += len(piece)
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if max(size, length or 0) > limit and call.provider is None:
        message = (
            f"The body is larger than {limit} bytes, too large to read its model from; "
            "send it to /{provider}/v1/…, where it is passed on as it comes."
        )
        raise Refusal(413, "request_too_large", message)
    if more:
        call.sending = _stream(call, body, receive)
        return
    call.sending, call.body_bytes = body, size
    call.body, undecoded = _decoded(body, encoding) if encoding else (body, None)
    call.asked = call.surface.asked(call.body, call.path.decode("latin-1"))
    if undecoded is not None and call.asked.problem is not None:
        call.asked = Asked(problem=undecoded)


async def _next(call: Received, receive: Receive) -> tuple[bytes, bool]:
    message = await receive()
    if message["type"] == "http.disconnect":
        call.client_left = True
        raise ClientGone("The client left while its request was still coming.")
    return message.get("body", b""), message.get("more_body", False)


async def _stream(call: Received, head: bytes, receive: Receive) -> AsyncIterator[bytes]:
    more = True
    yield head
    while more:
        piece, more = await _next(call, receive)
        yield piece


def _decoded(body: bytes, encoding: bytes) -> tuple[bytes, str | None]:
    """Take the content-encoding off a copy of the body, so that it can be read; else the body itself, and why."""
    plain = decoder(encoding)
    if plain is None:
        return body, "its content-encoding is not known here"
    decoded = plain.feed(body)
    if plain.swollen:
        return body, f"with its content-encoding taken off it is larger than {OUTPUT_LIMIT} bytes"
    if plain.broken or not decoded:
        return body, "its content-encoding does not hold"
    return decoded, None


def _choose(gate: Gate, call: Received, admitted: Admitted) -> tuple[Target, ...]:
    """Choose the provider where the path did not."""
    if call.body and call.asked.problem is not None:
        raise Refusal(400, "invalid_request", f"The request's body cannot be read: {call.asked.problem}.")
    if call.surface.metered and call.asked.model is None:
        raise Refusal(400, "missing_model", "The request names no model: set `model` in its body.")
    team = admitted.attribution.team
    return gate.routes.by_model(call.path, call.asked.model, admitted.headers, team=team)


async def _reach(gate: Gate, call: Received, targets: tuple[Target, ...], admitted: Admitted) -> Outgoing:
    """Connect to the first target that can be reached: to those before it nothing was sent, so another may be tried."""
    for left, target in zip(reversed(range(len(targets))), targets, strict=True):
        call.provider, call.model_sent = target.provider, target.model
        ours = _is_for_ours(target.provider, admitted)
        headers, body = admitted.headers, call.sending
        asking = call.asked.stream and not call.asked.wants_usage and target.provider.asks_for_usage
        if call.body and call.asked.problem is None:
            prepared = call.surface.prepare(call.body, model=target.model, ask_for_usage=asking)
            if prepared is not call.body:
                body, headers = prepared, [pair for pair in headers if pair[0] != b"content-encoding"]
        if ours:
            headers = _with_credential(call, target, headers, admitted.query, body)
        origin = target.provider.require_origin()
        path = target.path + b"?" + admitted.query if admitted.query else target.path
        before_ns = time.perf_counter_ns()
        try:
            exchange = await gate.upstream.open(origin)
        except UpstreamError as error:
            if not left:
                raise
            _end(gate, call, "error", error.code)
            call.try_again()
        else:
            return Outgoing(exchange, target.provider, path, headers, body, asking)
        finally:
            call.waited_ns += time.perf_counter_ns() - before_ns
    raise AssertionError("there is always a target")


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


def _with_credential(
    call: Received, target: Target, headers: Headers, query: bytes, body: bytes | AsyncIterator[bytes] | None
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
    return headers + sign(method, target.path, query, headers, body or b"", host=host, credential=provider.aws, at=now)


async def _forward(gate: Gate, call: Received, outgoing: Outgoing, receive: Receive, send: Send) -> None:
    exchange, provider = outgoing.exchange, outgoing.provider
    call.meter = meter = Meter(
        _opened(call),
        surface=call.surface,
        asked=call.asked,
        body=call.body,
        started_ns=call.started_ns,
        asked_for_usage=outgoing.asks_for_usage,
        sink=gate.journal,
        count=gate.count,
    )
    meter.sent()
    method, switch = call.method.encode("ascii"), call.hand_over is not None
    exchange.send(method, outgoing.path, outgoing.headers, outgoing.body, upgrade=switch)
    call.body, call.sending = b"", None  # a reply may take minutes: its request need not stay in memory
    meter.overhead_ns = time.perf_counter_ns() - call.started_ns - call.waited_ns
    watch = Watch(exchange, partial(_client_gone, gate, call, provider, meter))
    watch.start(receive)
    if gate.prepare_estimate is not None and call.asked.model is not None and not call.asked.stream:
        gate.prepare_estimate(call.asked.model, provider)
    try:
        await exchange.head()
        if exchange.switched and call.hand_over is not None:
            watch.stop()
            await _converse(gate, call, exchange, meter, call.hand_over)
        else:
            await _pass_through(gate, call, exchange, meter, send)
    finally:
        watch.stop()
        exchange.abort()
        gate.draining -= call.draining


def _client_gone(gate: Gate, call: Received, provider: Provider, meter: Meter) -> float | None:
    """Note that the client has left; says for how long its reply is read on, so that its usage is still heard."""
    call.client_left = meter.client_gone = True
    if not provider.drains or gate.draining >= gate.settings.drain_calls:
        return None
    gate.draining += 1
    call.draining = True
    return gate.settings.drain_s


async def _converse(gate: Gate, call: Received, exchange: Exchange, meter: Meter, hand_over: HandOver) -> None:
    """Join the client's connection with the provider's, which has agreed to speak WebSocket."""
    extensions = b", ".join(value for name, value in exchange.headers if name == b"sec-websocket-extensions")
    turns = TurnMeter(_opened(call), extensions=extensions, sink=gate.journal)
    meter.replied(exchange.status, exchange.headers)
    headers = [*exchange.headers, (b"x-joulegate-call-id", call.id.encode())]
    call.answering = True
    outcome, reason = await relay(hand_over(headers), exchange.take_over(), turns)
    meter.finish(outcome, reason or ("usage.on_turns" if turns.turns else None), flags=turns.flags)


async def _pass_through(gate: Gate, call: Received, exchange: Exchange, meter: Meter, send: Send) -> None:
    meter.replied(exchange.status, exchange.headers)
    headers = exchange.headers
    if meter.strips or exchange.status in WITHOUT_BODY:  # the length would promise what does not come
        headers = [pair for pair in headers if pair[0] != b"content-length"]
    headers = [*headers, (b"x-joulegate-call-id", call.id.encode())]
    shown, ended = b"", False
    if gate.estimate_headers is not None and call.surface.metered and not call.asked.stream:
        shown, ended = await _hold(exchange, meter)
        if meter.closed is not None:
            headers += _estimates(gate.estimate_headers, meter.closed)
    call.answering = True
    await send({"type": "http.response.start", "status": exchange.status, "headers": headers})
    while not ended:
        if shown:
            await send({"type": "http.response.body", "body": shown, "more_body": True})
        shown, ended = await _next_piece(exchange, meter)
    exchange.release()
    await send({"type": "http.response.body", "body": shown + meter.last(), "more_body": False})


async def _next_piece(exchange: Exchange, meter: Meter) -> tuple[bytes, bool]:
    """Read on: what the client is to see next, and whether that is the end. The call is written down before it."""
    piece = await exchange.read()
    shown = meter.feed(piece) if piece else b""
    ended = exchange.ended
    if ended or meter.complete:
        meter.finish(_outcome(exchange.status))
    return shown, ended


async def _hold(exchange: Exchange, meter: Meter) -> tuple[bytes, bool]:
    """Hold a plain reply until its usage is known, within the bounds; gives what was read and whether that is all."""
    pieces: list[bytes] = []
    size, ended = 0, False
    deadline = time.perf_counter_ns() + int(HELD_REPLY_S * 1e9)
    while size < HELD_REPLY_BYTES and meter.closed is None:
        left_s = (deadline - time.perf_counter_ns()) / 1e9
        if not await exchange.readable(left_s):
            break
        try:
            shown, ended = await _next_piece(exchange, meter)
        except UpstreamError:
            break  # it is raised again when the client has what came before
        pieces.append(shown)
        size += len(shown)
    return b"".join(pieces), ended


def _estimates(estimate: EstimateHeaders, closed: Closed) -> Headers:
    try:
        return estimate(closed)
    except Exception as error:  # what a call cost is no reason for it to fail
        _report(closed.opened.id, error)
        return []


def _report(call_id: str, error: Exception) -> None:
    """Log a fault of ours: where and what, without the exception's message, which may hold words of a prompt."""
    where = "".join(traceback.format_tb(error.__traceback__))
    log.error("call %s: %s in the gate\n%s", call_id, type(error).__name__, where)


async def _fail(gate: Gate, call: Received, outcome: Outcome, status: int, code: str, message: str, send: Send) -> None:
    """Write down why a call came to no good end, and tell its client if it has no reply yet."""
    if call.client_left:
        _end(gate, call, "aborted", "client_gone")
    elif call.answering:
        # Returning without the end of the body makes the server cut the connection, as the provider did.
        _end(gate, call, outcome, code)
    else:
        _end(gate, call, outcome, code, status=status)
        await _answer(call, status, code, message, send)


def _end(gate: Gate, call: Received, outcome: Outcome, reason: str, *, status: int | None = None) -> None:
    """Write down how a call ended, whether it came to be sent or not."""
    if call.meter is not None:
        call.meter.finish(outcome, reason, status=status)
    else:
        _record_unsent(gate, call, outcome, reason, status=status)


async def _answer(call: Received, status: int, code: str, message: str, send: Send) -> None:
    """Answer ourselves, in the shape the client's SDK understands."""
    body = call.surface.error(status, code, message)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-joulegate-call-id", call.id.encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _outcome(status: int) -> Outcome:
    return "ok" if status < 400 else "error"


def _opened(call: Received) -> Opened:
    who = call.attribution
    return Opened(
        id=call.id,
        operation_id=call.operation_id or call.id,
        attempt=call.attempt,
        started_at_us=call.started_at_us,
        team=who.team,
        project=who.project,
        user=who.user or call.asked.user,
        key_id=who.key_id,
        tags=who.tags,
        provider=call.provider.name if call.provider is not None else None,
        surface=call.surface.name,
        model_requested=call.model_sent or call.asked.model,
        stream=call.asked.stream,
        request_bytes=call.body_bytes,
        zone=call.provider.zone if call.provider is not None else None,
        attributes=call.attributes | call.asked.attributes if call.asked.attributes else call.attributes,
    )


def _record_unsent(gate: Gate, call: Received, outcome: Outcome, reason: str, *, status: int | None) -> None:
    """Write down a request of which nothing went upstream."""
    latency_us = (time.perf_counter_ns() - call.started_ns) // 1000
    gate.journal.append(
        Closed(
            opened=_opened(call),
            ended_at_us=call.started_at_us + latency_us,
            outcome=outcome,
            status=status,
            model=None,
            provider_request_id=None,
            usage=None,
            usage_source="absent",
            flags=(),
            reason=reason,
            latency_us=latency_us,
            time_to_first_token_us=None,
            overhead_us=None,
            response_bytes=0,
            service_tier=None,
        )
    )
