"""The calculator's two forms: served by the console, and one HTML file that needs no server and asks nobody."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib import resources

from estimator import Intensity
from proxy.calculator.asked import Asked
from proxy.calculator.own import Own
from proxy.calculator.page import mark, page
from proxy.calculator.tables import tables

SCRIPTS = ("model.js", "words.js", "calculator.js")


def served(
    asked: Asked,
    *,
    heading: str = "",
    audit: bool = False,
    own: Own | None = None,
    hours: Sequence[Intensity] = (),
) -> str:
    """Draw the page whose style and scripts the console serves beside it, under the console's ``heading`` (HTML).

    ``hours`` are what grids emit just now, as far as that is known; they are offered, not taken.
    """
    head = (
        '<link rel="icon" href="/static/mark.svg" type="image/svg+xml">\n'
        '<link rel="stylesheet" href="/static/console.css">\n'
        '<link rel="stylesheet" href="/calculator/static/calculator.css">'
    )
    scripts = "".join(f'\n<script src="/calculator/static/{name}" defer></script>' for name in SCRIPTS)
    return page(
        asked,
        mode="served",
        head=head,
        heading=heading,
        scripts=_facts(own) + scripts,
        audit=audit,
        own=own,
        hours=hours,
    )


def one_file(asked: Asked, own: Own | None = None) -> str:
    """Draw the page as one file: style, scripts and facts are in it, and its own policy allows nothing else.

    A configuration's prices, names and machines are then in the file too, for whoever has it to read.
    """
    style = _read("console/static/console.css") + _read("calculator/static/calculator.css")
    script = "".join(_read(f"calculator/static/{name}") for name in SCRIPTS)
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    head = (
        f'<meta http-equiv="content-security-policy" content="{policy}">\n'
        '<link rel="icon" href="data:,">\n'
        f"<style>{style}</style>"
    )
    brand = f'<span class="brand">{mark()}Joulegate</span>'
    return page(
        asked, mode="file", head=head, heading=brand, scripts=f"{_facts(own)}\n<script>{script}</script>", own=own
    )


@lru_cache(maxsize=4)
def _facts(own: Own | None) -> str:
    # A block of data, which no policy runs; "<" is written so that nothing in it can end the block.
    return f'<script type="application/json" id="facts">{tables(own).decode().replace("<", chr(92) + "u003c")}</script>'


@cache
def _read(path: str) -> str:
    return resources.files("proxy").joinpath(path).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
