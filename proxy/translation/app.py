"""The translator as an ASGI application: OpenAI's format in and out, for the gates of this start and nobody else."""

from __future__ import annotations

import asyncio
import hmac
import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from proxy.errors import Refusal
from proxy.translated import CREDENTIAL, OPERATORS, PATHS, ROUTE, SECRET
from proxy.translation.asking import Kind, Parameters, Way, read
from proxy.wire.openai import error as error_body

if TYPE_CHECKING:
    from proxy.translation.sdk import Answer, Failure

KINDS: Final[dict[str, Kind]] = {
    "openai.chat": "chat",
    "openai.embeddings": "embeddings",
    "openai.responses": "responses",
}
MESSAGE_CHARACTERS: Final = 4000
log = logging.getLogger("joulegate")

Ask = Callable[[Kind, Parameters], Awaitable["Answer"]]
Explain = Callable[[Exception], "Failure | None"]


def build_translator(ways: Mapping[int, Way], *, secret: bytes, ask: Ask, explain: Explain) -> Starlette:
    """Build the application for the routes of a configuration; ``ask`` and ``explain`` are the SDK's."""
    return Starlette(
        routes=[
            Route(
                "/v1" + path.decode(),
                Translate(KINDS[surface], ways, secret=secret, ask=ask, explain=explain),
                methods=["POST"],
            )
            for surface, path in PATHS.items()
        ]
    )


class Translate:
    """One of OpenAI's formats."""

    def __init__(self, kind: Kind, ways: Mapping[int, Way], *, secret: bytes, ask: Ask, explain: Explain) -> None:
        self._kind: Kind = kind
        self._ways = ways
        self._secret = secret
        self._ask = ask
        self._explain = explain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as long as the gate wants to hear it."""
        request = Request(scope, receive)
        reply = Reply(self._kind, send)
        try:
            way, callers_key = self._admit(request)
            parameters = read(self._kind, await request.body()) | way.parameters(callers_key)
        except Refusal as refusal:
            await reply.fail(refusal.status, refusal.code, refusal.message)
            return
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(self._answer(parameters, reply, way.secrets(callers_key)))
            leaving = tasks.create_task(_when_gone(receive, answering))
            answering.add_done_callback(lambda _: leaving.cancel())

    def _admit(self, request: Request) -> tuple[Way, str | None]:
        """Give the way of a call, and the caller's key unless it goes with the operator's credential."""
        said = {name: request.headers.get(name.decode(), "") for name in (SECRET, ROUTE, CREDENTIAL)}
        if not hmac.compare_digest(said[SECRET].encode(), self._secret):
            raise Refusal(403, "not_a_gate", "The translator serves only the gates it was started with.")
        way = self._ways[int(said[ROUTE])]
        if said[CREDENTIAL].encode() == OPERATORS:
            return way, None
        scheme, _, token = request.headers["authorization"].partition(" ")
        return way, token.strip() if scheme.lower() == "bearer" else request.headers["authorization"]

    async def _answer(self, parameters: Parameters, reply: Reply, secrets: frozenset[str]) -> None:
        try:
            answer = await self._ask(self._kind, parameters)
            if answer.events is None:
                await reply.whole(200, answer.document, answer.headers)
                return
            async with aclosing(answer.events) as events:
                async for event in events:
                    await reply.event(event, answer.headers)
            await reply.end()
        except Exception as error:
            failed = self._explain(error)
            if failed is None:  # without its message, which may hold words of a prompt
                where = "".join(traceback.format_tb(error.__traceback__))
                log.error("translator: %s\n%s", type(error).__name__, where)
                await reply.fail(500, "translation_failed", "The call could not be translated; the log says more.")
                return
            message = failed.message[:MESSAGE_CHARACTERS]
            for secret in secrets:  # an address in it may carry the provider's key
                message = message.replace(secret, "…")
            await reply.fail(failed.status, failed.code, message, failed.headers)


class Reply:
    """What goes back to the gate."""

    def __init__(self, kind: Kind, send: Send) -> None:
        self._kind = kind
        self._send = send
        self._began = False

    async def whole(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """Send a JSON document."""
        length = str(len(body))
        await self._start(status, {"content-type": "application/json", "content-length": length, **headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})

    async def event(self, event: bytes, headers: Mapping[str, str]) -> None:
        """Send an event; the head goes with the first one, so that what fails before it has a status of its own."""
        if not self._began:
            await self._start(200, {"content-type": "text/event-stream; charset=utf-8", **headers})
        await self._send({"type": "http.response.body", "body": event, "more_body": True})

    async def end(self, last: bytes = b"") -> None:
        """End a stream, with its last event."""
        await self._send({"type": "http.response.body", "body": last, "more_body": False})

    async def fail(self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        """Say what went wrong: as the reply, or as the last event of one that has begun."""
        if not self._began:
            await self.whole(status, error_body(status, code, message), headers or {})
            return
        if self._kind == "responses":
            said = msgspec.json.encode({"type": "error", "code": code, "message": message, "param": None})
            last = b"event: error\ndata: %b\n\n" % said
        else:
            last = b"data: %b\n\n" % error_body(status, code, message)
        await self.end(last)  # at once: a client that has seen it leaves

    async def _start(self, status: int, headers: Mapping[str, str]) -> None:
        self._began = True
        encoded = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": status, "headers": encoded})


async def _when_gone(receive: Receive, answering: asyncio.Task[None]) -> None:
    """Cancel a call whose gate has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    answering.cancel()
