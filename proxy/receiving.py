"""Receiving a request: held where its body must be read first, else, or beyond the limit, left as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

from proxy.client import Client, ClientGone
from proxy.errors import Refusal
from proxy.gate import Gate, Received
from proxy.teams import Admitted
from proxy.wire.content import OUTPUT_LIMIT, decoder
from proxy.wire.surface import Asked


async def receive_body(gate: Gate, call: Received, admitted: Admitted, client: Client) -> None:
    """Hold the body where it must be read first; else, or beyond the limit, leave it as a stream."""
    ahead = admitted.body
    call.body_bytes = ahead.length if ahead else 0
    if not ahead:
        return
    if not (call.surface.metered or (ahead.json and call.provider is None)):
        call.sending = _stream(call, b"", client)
        call.asked = Asked(model=model_in_path(call))
        return
    length = ahead.length or 0
    limit = gate.settings.hold_body_bytes
    pieces: list[bytes] = []
    size = 0
    more = True
    while more and max(size, length) <= limit:
        piece, more = await client.receive()
        pieces.append(piece)
        size += len(piece)
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if max(size, length) > limit and call.provider is None:
        message = (
            f"The body is larger than {limit} bytes, too large to read its model from; "
            "send it to /{provider}/v1/…, where it is passed on as it comes."
        )
        raise Refusal(413, "request_too_large", message)
    if more:
        call.sending = _stream(call, body, client)
        call.asked = Asked(model=model_in_path(call))
        return
    call.sending, call.body_bytes = body, size
    call.body, undecoded = _decoded(body, ahead.encoding) if ahead.encoding else (body, None)
    call.asked = call.surface.asked(call.body, call.path.decode("latin-1"))
    if undecoded is not None and call.asked.problem is not None:
        call.asked = Asked(problem=undecoded)


def model_in_path(call: Received) -> str | None:
    """Give the model that a request's path names, whatever its body says."""
    return call.surface.asked(b"{}", call.path.decode("latin-1")).model


async def _stream(call: Received, head: bytes, client: Client) -> AsyncIterator[bytes]:
    more = True
    yield head
    while more:
        try:
            piece, more = await client.receive()
        except ClientGone:
            call.client_left = True
            raise
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
