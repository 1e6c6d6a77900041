"""The path a call takes: receive, authenticate, route, forward, pass through, write down.

The order is the one promise of this file: bytes go on untouched; what a call consumed is in the
journal before its client sees the end of the reply; every request becomes exactly one record.
"""

from __future__ import annotations

import asyncio
import logging
import time
import traceback
from functools import partial

from proxy.call import Closed, Outcome
from proxy.client import Client, ClientGone, HandOver
from proxy.errors import Refusal
from proxy.gate import EstimateHeaders, Gate, Received, end
from proxy.reaching import Outgoing, choose
from proxy.receiving import model_in_path, receive_body
from proxy.routing import Provider
from proxy.sockets import TurnMeter, relay
from proxy.teams import Headers
from proxy.tee import Meter
from proxy.upstream import Exchange, UpstreamError
from proxy.watch import Watch
from proxy.wire.registry import surface_for
from proxy.wire.surface import Asked
from proxy.wire.turns import model_asked

HELD_REPLY_BYTES = 256 * 1024  # a plain reply's head waits for its usage: at most for this many bytes…
HELD_REPLY_S = 0.05  # …and this long: the only delay there is, and only where the reply carries estimates
log = logging.getLogger("joulegate")


async def carry(gate: Gate, client: Client) -> None:
    """Take one request to its provider and the reply back."""
    call = Received.begin(client.method, client.path)
    try:
        admitted = gate.teams.admit(call.method, client.headers, client.query)
        call.attribution, call.attributes = admitted.attribution, admitted.attributes
        if admitted.scope is not None:
            admitted.scope.require_here_and_now(client.address)
        if admitted.websocket:
            call.hand_over = client.hand_over
            call.surface = surface_for("WEBSOCKET", call.path.decode("latin-1"))
            call.asked = Asked(model=model_asked(call.surface, admitted.query), stream=True)
        target = gate.routes.by_path(call.path)
        if target is not None:
            call.provider = target.provider
        before_ns = time.perf_counter_ns()
        await receive_body(gate, call, admitted, client)
        call.waited_ns += time.perf_counter_ns() - before_ns
        targets = (target,) if target is not None else choose(gate, call, admitted)
        if admitted.scope is not None:
            method = "WEBSOCKET" if admitted.websocket else call.method
            models = (call.asked.model, model_in_path(call), *call.asked.others)
            targets = admitted.scope.within(method, targets, models)
        outgoing = await gate.reach(gate, call, targets, admitted)
        await _forward(gate, call, outgoing, client)
    except Refusal as refusal:
        if refusal.retry_after_s is not None:
            call.notices = [*(call.notices or ()), (b"retry-after", b"%d" % refusal.retry_after_s)]
        await _fail(gate, call, "rejected", refusal.status, refusal.code, refusal.message, client)
    except UpstreamError as error:
        await _fail(gate, call, "error", error.status, error.code, str(error), client)
    except ClientGone:
        _end_without_client(gate, call, client, "client_gone_before_sending")
    except asyncio.CancelledError:
        message = "The gate was shut down before the reply had ended; try again."
        await _fail(gate, call, "interrupted", 503, "gate_shut_down", message, client)
        raise
    except Exception as error:
        _report(call.id, error)
        await _fail(gate, call, "error", 500, "gate_failed", "The gate failed; its log says more.", client)


def record_unreadable(gate: Gate, status: int, code: str, method: str, path: str) -> str:
    """Write down a request that could not be read as HTTP and was turned away with ``status``; gives its id."""
    call = Received.begin(method, path.encode("latin-1"))
    end(gate, call, "rejected", code, status=status)
    return call.id


async def _forward(gate: Gate, call: Received, outgoing: Outgoing, client: Client) -> None:
    exchange, provider = outgoing.exchange, outgoing.provider
    call.meter = meter = Meter(
        call.opened(),
        surface=call.surface,
        asked=call.asked,
        body=call.body,
        started_ns=call.started_ns,
        asked_for_usage=outgoing.asks_for_usage,
        sink=gate.journal,
        count=gate.count,
        flags=("translated",) if provider.translation is not None else (),
    )
    meter.sent()
    method, switch = call.method.encode("ascii"), call.hand_over is not None
    exchange.send(method, outgoing.path, outgoing.headers, outgoing.body, upgrade=switch)
    call.body, call.sending = b"", None  # a reply may take minutes: its request need not stay in memory
    meter.overhead_ns = time.perf_counter_ns() - call.started_ns - call.waited_ns
    watch = Watch(client, exchange, partial(_client_gone, gate, call, provider, meter))
    watch.start()
    if gate.prepare_estimate is not None and call.asked.model is not None and not call.asked.stream:
        gate.prepare_estimate(call.asked.model, provider)
    try:
        await exchange.head()
        if exchange.switched and call.hand_over is not None:
            watch.stop()
            await _converse(gate, call, exchange, meter, call.hand_over)
        else:
            await _pass_through(gate, call, exchange, meter, client)
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
    turns = TurnMeter(call.opened(), extensions=extensions, sink=gate.journal)
    meter.replied(exchange.status, exchange.headers)
    headers = [*exchange.headers, (b"x-joulegate-call-id", call.id.encode())]
    call.answering = True
    outcome, reason = await relay(hand_over(headers), exchange.take_over(), turns)
    meter.finish(outcome, reason or ("usage.on_turns" if turns.turns else None), flags=turns.flags)


async def _pass_through(gate: Gate, call: Received, exchange: Exchange, meter: Meter, client: Client) -> None:
    meter.replied(exchange.status, exchange.headers)
    headers = exchange.headers
    if meter.strips:  # the length would promise what does not come
        headers = [pair for pair in headers if pair[0] != b"content-length"]
    headers = [*headers, (b"x-joulegate-call-id", call.id.encode())]
    if call.notices is not None:
        headers += call.notices
    shown, ended = b"", False
    if gate.estimate_headers is not None and call.surface.metered and not call.asked.stream:
        shown, ended = await _hold(exchange, meter)
        if meter.closed is not None:
            headers += _estimates(gate.estimate_headers, meter.closed)
    call.answering = True
    if ended:
        exchange.release()
        await client.reply(exchange.status, headers, shown + meter.last())
        return
    await client.start(exchange.status, headers, shown)
    try:
        shown, ended = await _next_piece(exchange, meter)
        while not ended:
            if shown:
                await client.write(shown)
            shown, ended = await _next_piece(exchange, meter)
    except UpstreamError:
        await client.write(meter.last())  # of an event that the provider cut short, what came of it
        raise
    exchange.release()
    await client.end(shown + meter.last())


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


def _end_without_client(gate: Gate, call: Received, client: Client, reason: str) -> None:
    """Write down a call whose client has left, or whose request the server has refused in the middle of its body."""
    if client.refused is None:
        end(gate, call, "aborted", reason)
    else:
        status, code = client.refused
        end(gate, call, "rejected", code, status=None if call.answering else status)


async def _fail(
    gate: Gate, call: Received, outcome: Outcome, status: int, code: str, message: str, client: Client
) -> None:
    """Write down why a call came to no good end, and tell its client if it has no reply yet."""
    if call.client_left:
        _end_without_client(gate, call, client, "client_gone")
    elif call.answering:
        # Returning without the end of the body makes the server cut the connection, as the provider did.
        end(gate, call, outcome, code)
    else:
        end(gate, call, outcome, code, status=status)
        await _answer(call, status, code, message, client)


async def _answer(call: Received, status: int, code: str, message: str, client: Client) -> None:
    """Answer ourselves, in the shape the client's SDK understands."""
    body = call.surface.error(status, code, message)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"x-joulegate-call-id", call.id.encode()),
        *(call.notices or ()),
    ]
    await client.reply(status, headers, body)


def _outcome(status: int) -> Outcome:
    return "ok" if status < 400 else "error"
