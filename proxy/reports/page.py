"""A page of figures as one HTML file: nothing in it is fetched from anywhere, every name in it is text."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from html import escape
from importlib import resources

from estimator import facts_version

SOURCES = (
    '<p class="soft">Every model, price and grid with its source and the day it was checked: the page Facts of the '
    "console, or <code>joulegate facts show</code>. One call, step by step: that call's page.</p>"
)


@cache
def _style() -> str:
    return "\n" + resources.files("proxy.reports").joinpath("page.css").read_text()


def content_security_policy() -> str:
    """Give what a browser may do with a page: nothing but to draw it in its own style."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def page(heading: str, covers: str, title: str, body: str, made_at: datetime) -> str:
    """Write a page; ``body`` is HTML, the rest is text. ``covers`` says what the figures are of."""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_style()}</style>
</head>
<body>
<header>
<h1>{escape(heading)}</h1>
<p class="soft">{escape(covers)}</p>
</header>
<main>
{body}
</main>
<footer>Made by Joulegate at {made_at.astimezone(UTC):%Y-%m-%d %H:%M} UTC from its ledger; facts {facts_version()}.
Estimates are estimates: cite them with their range.</footer>
</body>
</html>
"""


def listed(texts: Iterable[str]) -> str:
    """Write a list of texts."""
    return f"<ul>{''.join(f'<li>{escape(each)}</li>' for each in texts)}</ul>"


def figure(chart: str) -> str:
    """Put a chart onto a page; where that is narrow, it can be pushed along."""
    return f'<figure tabindex="0">{chart}</figure>'
