"""What all pages of the console have in common: head, navigation, foot. They are whole without JavaScript."""

from __future__ import annotations

from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse

from proxy.console.forms import WITH_A_FORM
from proxy.console.guard import SESSION

# In the order of the navigation. A page of its own adds its place here.
PLACES = (
    ("/", "Live"),
    ("/explore", "Explore"),
    ("/teams", "Teams"),
    ("/budgets", "Budgets"),
    ("/reports", "Reports"),
    ("/calculator", "Calculator"),
    ("/health", "Health"),
    ("/facts", "Facts"),
)


def frame(
    title: str, body: str, *, place: str, signed_in: bool, aside: str = "", live: str | None = None, head: str = ""
) -> str:
    """Draw a page; ``body``, ``aside`` (beside the title) and ``head`` are HTML, ``title`` is text.

    ``place`` is the path of the navigation that it belongs to, ``live`` the path of its events.
    """
    events = "" if live is None else f' data-live="{escape(live)}"'
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)} · Joulegate</title>
<link rel="icon" href="/static/mark.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/console.css">
{head}</head>
<body{events}>
<a class="skip" href="#main">Skip to the figures</a>
<header>
{heading(place)}
</header>
<main id="main" tabindex="-1">
<div class="lead"><h1>{escape(title)}</h1>{aside}</div>
{body}
</main>
<footer>
<p>Dollars are list prices or your own. Joules, grams and liters are estimates; the range under each is what it may
really be.</p>
<nav aria-label="For programs"><a href="/metrics">metrics</a><a href="/api/calls">calls</a>
<a href="/api/totals?by=team,model">totals</a><a href="/api/openapi.json">API</a>{_SIGN_OUT if signed_in else ""}</nav>
</footer>
</body>
</html>
"""


def heading(place: str) -> str:
    """Draw what stands at the head of every page: whose it is, and the way to the others."""
    here = "".join(f'<a href="{path}"{_CURRENT if path == place else ""}>{name}</a>' for path, name in PLACES)
    return (
        '<a class="brand" href="/"><img src="/static/mark.svg" alt="" width="22" height="22">Joulegate</a>\n'
        f'<nav class="places" aria-label="Pages">{here}</nav>'
    )


_CURRENT = ' aria-current="page"'
_SIGN_OUT = '<a href="/logout">sign out</a>'


def answer(
    request: Request, title: str, body: str, *, place: str, aside: str = "", status: int = 200, head: str = ""
) -> HTMLResponse:
    """Answer with a page that is still; ``head`` is HTML."""
    page = frame(title, body, place=place, signed_in=SESSION in request.scope, aside=aside, head=head)
    return HTMLResponse(page, status, WITH_A_FORM)


def script(name: str) -> str:
    """Name one of our scripts in a page's head."""
    return f'<script src="/static/{name}" defer></script>\n'


def charts(name: str) -> str:
    """Name one of our scripts that makes charts, with what it stands on; no script holds up the page."""
    return (
        f'<link rel="stylesheet" href="/static/vendor/uplot.css">\n{script("vendor/uplot.js")}'
        f'<script src="/static/{name}" type="module"></script>\n'
    )


def sorry(words: str, way_out: str = "") -> str:
    """Say what is wrong, and what to do; ``way_out`` is HTML."""
    return f'<section class="empty" role="alert"><p>{escape(_begun(words))}</p><p>{way_out}</p></section>'


def wants_page(request: Request) -> bool:
    """Tell a browser that opens an address from a program, and from a page of ours that asks."""
    return "text/html" in request.headers.get("accept", "")


def _begun(words: str) -> str:
    """Begin a sentence, unless with the name of a setting, ``show='x'``: that is found by its letters."""
    return words if "=" in words.partition(" ")[0] else words[:1].upper() + words[1:]
