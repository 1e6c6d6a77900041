"""The two pages of a console that has a token: to sign in with it, and to sign out. They work without JavaScript."""

from __future__ import annotations

import math
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from proxy.console.access import SESSION_S, Access, Session
from proxy.console.forms import WITH_A_FORM, fields_of, genuine, token_field
from proxy.console.guard import COOKIE, SESSION, caller_of


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
        form = await fields_of(request)
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
        token = token_field(self._access, request)
        if request.method != "POST":
            return _page("Sign out", _logout_form(session.name, token))
        if not genuine(self._access, request, await fields_of(request)):
            return _page("Sign out", _logout_form(session.name, token), 403)
        self._access.end(session)
        reply = RedirectResponse("/login", status_code=303)
        reply.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return reply


def _next(goal: str) -> str:
    """Take a path of this console, and nothing that leads elsewhere."""
    inside = goal.startswith("/") and not goal.startswith(("//", "/\\")) and goal.isprintable() and goal.isascii()
    return goal if inside else "/"


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
    return HTMLResponse(page, status, WITH_A_FORM | (headers or {}))


def _login_form(goal: str, words: str = "") -> str:
    wrong = f'<p class="health bad" role="alert">{escape(words)}</p>' if words else ""
    return (
        f'{wrong}<form method="post" action="/login"><input type="hidden" name="next" value="{escape(goal)}">'
        '<input name="username" value="joulegate" autocomplete="username" hidden>'  # password keepers ask for one
        '<p><label for="token">Token of this console</label></p>'
        '<p><input id="token" name="token" type="password" autocomplete="current-password" required autofocus></p>'
        '<p><button type="submit">Sign in</button></p></form>'
    )


def _logout_form(name: str, token: str) -> str:
    return (
        f"<p>You are signed in with the token <code>{escape(name)}</code>.</p>"
        f'<form method="post" action="/logout">{token}'
        '<p><button type="submit">Sign out</button></p></form>'
    )
