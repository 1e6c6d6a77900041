"""What stands around every reply of the console: security headers, and a check of the name it was called by.

A page anywhere on the Web can point a name of its own at 127.0.0.1 (DNS rebinding) and then read a
console on loopback as if it were its own site. Its requests carry that name in ``Host``, so on
loopback only loopback's own names are answered.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

_HOST = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::\d+)?")  # an address in brackets, or a name; then a port


class Guard:
    """Wraps the console; ``names`` are further host names it answers to on loopback (behind a proxy)."""

    def __init__(self, app: ASGIApp, *, names: Collection[str] = ()) -> None:
        self._app = app
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse a strange name with 421."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        server = scope.get("server")
        if server is not None and _loopback(server[0]) and not self._known(Headers(scope=scope).get("host", "")):
            refusal = PlainTextResponse("This console answers to localhost and 127.0.0.1 only.\n", status_code=421)
            await refusal(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _known(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        name = "" if found is None else (found[1] or found[2]).lower()
        return _loopback(name) or name in self._names


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
