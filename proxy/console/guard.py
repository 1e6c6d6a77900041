"""What stands around every reply of the console: security headers, who asks, and whether a page of ours made them.

A page anywhere on the Web can point a name of its own at 127.0.0.1 (DNS rebinding) and then read a
console on loopback as if it were its own site. Its requests carry that name in ``Host``, so on
loopback only loopback's own names are answered, unless a token is needed anyway.

A page elsewhere can also send a request that the browser adds our cookie to, or that needs none on loopback
(CSRF). So what changes something needs a token in ``Authorization``, which no browser adds by itself, or must
come from a page of this console, as the browser says, and be JSON where it is for the API, which no form sends.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Collection
from urllib.parse import urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from proxy.console.access import Access

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

COOKIE = "joulegate_session"
ACTOR, SESSION = "joulegate.actor", "joulegate.session"  # keys of the scope: who asks, as the log of changes says it
OPEN = ("/healthz", "/login")
FOR_PROGRAMS = ("/api/", "/metrics", "/live")  # these get an answer of 401, others are sent to sign in
_SAFE = ("GET", "HEAD", "OPTIONS")
_HOST = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::\d+)?")  # an address in brackets, or a name; then a port


def caller_of(scope: Scope) -> str:
    """Give the address that a request came from."""
    client = scope.get("client")
    return client[0] if client else "unknown"


def actor_of(scope: Scope) -> str:
    """Say who asks, for the log of changes."""
    actor: str = scope[ACTOR]
    return actor


class Guard:
    """Wraps the console; ``names`` are further host names it answers to on loopback (behind a proxy)."""

    def __init__(self, app: ASGIApp, *, access: Access, names: Collection[str] = ()) -> None:
        self._app = app
        self._access = access
        self._names = frozenset(name.lower() for name in names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse: a strange name with 421, who has no token with 401, what another site sends with 403."""
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

        answer = self._refusal(scope, Headers(scope=scope)) or self._app
        await answer(scope, receive, send_guarded)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Say why a request is not answered; ``None``: it is, and the scope says by whom it is."""
        server, path = scope.get("server"), scope["path"]
        on_loopback = server is not None and _loopback(server[0])
        if not self._access.required and on_loopback and not self._known(headers.get("host", "")):
            return PlainTextResponse("This console answers to localhost and 127.0.0.1 only.\n", status_code=421)
        if path in OPEN or path.startswith("/static/"):
            scope[ACTOR] = "console"
            return None if scope["method"] in _SAFE or _same_origin(headers) is not False else _from_elsewhere()
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if self._access.required and scheme.lower() == "bearer":
            refusal = self._by_token(scope, token.strip())
            has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
            return refusal or (_no_json(scope, headers) if has_body else None)
        by_cookie = self._access.required  # which a browser adds to what any page of this site sends
        if by_cookie:
            session = self._access.session(_cookie(headers))
            if session is None:
                return _unknown(scope)
            scope[SESSION], scope[ACTOR] = session, f"token:{session.name}"
        else:
            scope[ACTOR] = "console"
        if scope["method"] in _SAFE:
            return None
        if (same := _same_origin(headers)) is False or (by_cookie and same is None):
            return _from_elsewhere()
        return _no_json(scope, headers)

    def _by_token(self, scope: Scope, token: str) -> Response | None:
        address = caller_of(scope)
        wait_s = self._access.wait_s(address)
        if wait_s > 0:
            words = "too many wrong tokens came from this address"
            return _error(429, words, {"retry-after": str(math.ceil(wait_s))})
        name = self._access.by_token(token.encode())
        if name is None:
            self._access.failed(address)
            return _error(401, "that is not a token of this console", {"www-authenticate": "Bearer"})
        scope[ACTOR] = f"token:{name}"
        return None

    def _known(self, host: str) -> bool:
        found = _HOST.fullmatch(host)
        name = "" if found is None else (found[1] or found[2]).lower()
        return _loopback(name) or name in self._names


def _no_json(scope: Scope, headers: Headers) -> Response | None:
    """Refuse what a form could send to the API."""
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if scope["method"] in _SAFE or not scope["path"].startswith("/api/") or kind == "application/json":
        return None
    return _error(415, "send it as JSON: content-type: application/json")


def _same_origin(headers: Headers) -> bool | None:
    """Tell whether a browser says that a page of this console sent a request; ``None``: nobody says anything."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is None:
        return None if site is None else True
    if origin == "null":  # of a page that tells nobody where it is: ours too, by its referrer policy
        return site is not None
    try:
        return urlsplit(origin).netloc.lower() == headers.get("host", "").lower() != ""
    except ValueError:  # it is no address
        return False


def _cookie(headers: Headers) -> str:
    for header in headers.getlist("cookie"):
        for pair in header.split(";"):
            name, _, value = pair.strip().partition("=")
            if name == COOKIE:
                return value
    return ""


def _unknown(scope: Scope) -> Response:
    path = scope["path"]
    if scope["method"] in _SAFE and not path.startswith(FOR_PROGRAMS):
        query = scope["query_string"].decode("latin-1")
        goal = f"{path}?{query}" if query else path
        return RedirectResponse(f"/login?{urlencode({'next': goal})}", status_code=303)
    words = "this console needs a token: authorization: Bearer …, or sign in at /login"
    return _error(401, words, {"www-authenticate": "Bearer"})


def _from_elsewhere() -> Response:
    return _error(403, "this came from a page of another site, or from nobody knows where: send a token instead")


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    return JSONResponse({"error": {"message": message}}, status_code=status, headers=headers)


def _loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
