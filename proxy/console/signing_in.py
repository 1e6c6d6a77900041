"""The two pages of a console that has a token: to sign in with it, and to sign out. They work without JavaScript."""

from __future__ import annotations

import hmac
import math
from html import escape
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from proxy.console.access import SESSION_S, Access, Session
from proxy.console.guard import COOKIE, HEADERS, SESSION, caller_of

_BODY_BYTES = 8192
_WITH_A_FORM = {
    "content-security-policy": HEADERS["content-security-policy"].replace("form-action 'none'", "form-action 'self'"),
    "referrer-policy": "same-origin",  # or the browser would not say that the form was ours
}


class SigningIn:
    """The endpoints."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def routes(self) -> list[Route]:
        """Give what the console serves of it."""
        return [
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/logout", self.logout, methods=["GET", "POST"]),
        ]

    async def login(self, request: Request) -> Response:
        """Ask for a token, or take it and begin a session."""
        if not self._access.required:
            return RedirectResponse("/", status_code=303)
        if request.method != "POST":
            return _page("Sign in", _login_form(_next(request.query_params.get("next", "/"))))
        form = await _form(request)
        goal, address = _next(form.get("next", "/")), caller_of(request.scope)
        wait_s = self._access.wait_s(address)
        if wait_s > 0:
            words = f"Too many wrong tokens came from here. Try again in {math.ceil(wait_s)} s."
            return _page("Sign in", _login_form(goal, words), 429, {"retry-after": str(math.ceil(wait_s))})
        name = self._access.by_token(form.get("token", "").strip().encode())
        if name is None:
            self._access.failed(address)
            return _page("Sign in", _login_form(goal, "That is not a token of this console."), 401)
        reply = RedirectResponse(goal, status_code=303)
        secure = request.url.scheme == "https" or request.headers.get("x-forwarded-proto", "").lower() == "https"
        reply.set_cookie(
            COOKIE,
            self._access.begin(name),
            max_age=int(SESSION_S),
            httponly=True,
            samesite="strict",
            secure=secure,
        )
        return reply

    async def logout(self, request: Request) -> Response:
        """Ask, or end the session."""
        session: Session | None = request.scope.get(SESSION)
        if session is None:
            return RedirectResponse("/", status_code=303)
        expected = self._access.form_token(session)
        if request.method != "POST":
            return _page("Sign out", _logout_form(session.name, expected))
        given = (await _form(request)).get("form", "")
        if not hmac.compare_digest(expected.encode(), given.encode()):
            return _page("Sign out", _logout_form(session.name, expected), 403)
        self._access.end(session)
        reply = RedirectResponse("/login", status_code=303)
        reply.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return reply


def _next(goal: str) -> str:
    """Take a path of this console, and nothing that leads elsewhere."""
    inside = goal.startswith("/") and not goal.startswith(("//", "/\\")) and goal.isprintable() and goal.isascii()
    return goal if inside else "/"


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _BODY_BYTES:
            return {}
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=16)
    return {name: values[0] for name, values in fields.items()}


def _page(title: str, body: str, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} · Joulegate</title>
<link rel="icon" href="/static/mark.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/console.css">
</head>
<body>
<header><h1><img src="/static/mark.svg" alt="" width="22" height="22">Joulegate</h1></header>
<main><section aria-label="{title}"><h2>{title}</h2>{body}</section></main>
</body>
</html>
"""
    return HTMLResponse(page, status, _WITH_A_FORM | (headers or {}))


def _login_form(goal: str, words: str = "") -> str:
    wrong = f'<p class="health bad" role="alert">{escape(words)}</p>' if words else ""
    return (
        f'{wrong}<form method="post" action="/login"><input type="hidden" name="next" value="{escape(goal)}">'
        '<input name="username" value="joulegate" autocomplete="username" hidden>'  # password keepers ask for one
        '<p><label for="token">Token of this console</label></p>'
        '<p><input id="token" name="token" type="password" autocomplete="current-password" required autofocus></p>'
        '<p><button type="submit">Sign in</button></p></form>'
    )


def _logout_form(name: str, form_token: str) -> str:
    return (
        f"<p>You are signed in with the token <code>{escape(name)}</code>.</p>"
        f'<form method="post" action="/logout"><input type="hidden" name="form" value="{form_token}">'
        '<p><button type="submit">Sign out</button></p></form>'
    )
