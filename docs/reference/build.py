"""Writes providers.md beside it: which provider is reached how, and where each wire format states what is counted.

    python docs/reference/build.py

It joins the shipped providers, the ways of the wire formats, the places their readers take counts from, and what is
said of both in proxy/wire/stated.toml. A test holds the page against it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

from proxy.config import load
from proxy.sections import ProviderSection
from proxy.wire import turns
from proxy.wire.canon import RESPONSES, Places
from proxy.wire.canon import Path as Place
from proxy.wire.registry import SURFACES, WAYS

PAGE = Path(__file__).parent / "providers.md"
BUCKETS = {  # the ledger's column: the field of Places, which counts lie beside it
    "input_tokens": ("input_tokens", "beside_input"),
    "cached_input_tokens": ("cached", None),
    "cache_write_tokens": ("cache_write", None),
    "audio_input_tokens": ("audio_input", None),
    "image_input_tokens": ("image_input", None),
    "output_tokens": ("output_tokens", "beside_output"),
    "reasoning_tokens": ("reasoning", None),
    "audio_output_tokens": ("audio_output", None),
    "image_output_tokens": ("image_output", None),
}
SOCKETS = {
    "openai.realtime": turns.REALTIME,
    "openai.responses_socket": RESPONSES,
    "gemini.live": turns.LIVE,
}  # their readers read turns, not replies
ASKING = {"always": "unasked", "on_request": "if asked"}
HEAD = """\
# Providers and what they count

Written by `python docs/reference/build.py` from `proxy/data/providers.toml`, the readers in `proxy/wire` and
`proxy/wire/stated.toml`; change those, not this page. [How to add a provider](../how-to/add-a-provider.md),
[a wire format](../how-to/add-a-wire-format.md).

## Providers

`/{provider}/…` goes to its origin, `/v1/…` to the base there. An origin that is missing is yours to set. The format of
a call is told by its method and path, whatever the provider; the dialect is that of the provider's own API. Where a
stream states usage only if asked, [the gate asks](http.md#the-one-thing-that-is-changed).

| provider | origin | dialect | base | stream usage | in its own way |
| --- | --- | --- | --- | --- | --- |
"""
FORMATS = """
## Wire formats

Each count of ours, where it is taken from on the wire (of several places the first that states one; where `+` stands,
disjoint counts are added up), and what to know of it. Input holds the cached, written, audio and image tokens, output
the reasoning, audio and image tokens; what else is billed stands in the ledger's `units`. What nobody stated is NULL. A
stated total is a check: what does not add up is flagged `usage.total_mismatch`. A count that is negative, absurd or no
number is NULL and flagged; of one that is named twice the last holds, flagged `usage.duplicate_member`. The column
`surface` of a call says which format it spoke.

"""
FREE = """
## Free of charge, or not read

Calls of these formats become rows without usage.

| format | requests |
| --- | --- |
"""


def page() -> str:
    """Give the whole page."""
    stated = tomllib.loads(resources.files("proxy.wire").joinpath("stated.toml").read_text(encoding="utf-8"))
    providers = load(None, environment={}).config.provider
    shown = {name: dict(columns(each)) for each in stated["format"] for name in each["surfaces"]}
    free = [name for name in SURFACES if name not in shown and name != "other"]
    return "".join(
        [
            HEAD,
            *(_provider(row, stated["provider"].get(row.name, "")) for row in providers),
            FORMATS,
            *(f"* [{each['title']}](#{_anchor(each['title'])})\n" for each in stated["format"]),
            *(_format(each, shown) for each in stated["format"]),
            FREE,
            *(f"| `{name}` | {_ways([name])} |\n" for name in sorted(free)),
        ]
    )


def places(surface: str) -> Places | None:
    """Give where a format's reader takes its counts from; None: it reads none."""
    return SOCKETS.get(surface) or getattr(SURFACES[surface].reader(), "places", None)


def columns(each: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the ledger's columns that a format fills, and where from."""
    of = places(each["surfaces"][0]) if each.get("counts", True) else None
    own = each.get("paths", {})
    for column, (field, beside) in BUCKETS.items() if of is not None else ():
        read: tuple[Place, ...] = getattr(of, field)
        if column in own:
            yield column, _any_of(own[column])
        elif read:
            others: tuple[tuple[Place, ...], ...] = getattr(of, beside) if beside else ()
            yield column, " + ".join(_any_of(map(".".join, paths), among=bool(others)) for paths in (read, *others))
    units: dict[str, str] = {}
    for unit, place in of.units if of is not None else ():
        where = _any_of(own[unit] if unit in own else [".".join(place)])
        units[unit] = f"{units[unit]} or {where}" if unit in units else where
    for unit, said in each.get("units", {}).items():
        units[unit] = f"{units[unit]} or {said}" if unit in units else said
    yield from ((f"units.{unit}", where) for unit, where in units.items())


def _format(each: dict[str, Any], shown: dict[str, dict[str, str]]) -> str:
    names = ", ".join(f"`{name}`" for name in each["surfaces"])
    lines = [f"\n### {each['title']}\n\n{names}: {_ways(each['surfaces'])}\n\n"]
    lines.append(f"* Plain: {each['plain']}\n")
    if "stream" in each:
        lines.append(f"* Streamed: {each['stream']}\n")
    lines += [f"* {_sentence(note)}\n" for note in each.get("notes", ())]
    caveats, same = each.get("caveats", {}), shown[each["like"]] if "like" in each else {}
    rows = [(column, where) for column, where in columns(each) if column in caveats or same.get(column) != where]
    if same:
        lines.append(f"* Counts: {'but for these ' if rows else ''}as in `{each['like']}`\n")
    if rows:
        lines.append("\n| ours | on the wire | what to know |\n| --- | --- | --- |\n")
        lines += [f"| `{column}` | {where} | {caveats.get(column, '')} |\n" for column, where in rows]
    return "".join(lines)


def _sentence(note: str) -> str:
    """Begin a note with a capital letter, unless it begins with a name from the wire."""
    word = note.partition(" ")[0]
    return note[0].upper() + note[1:] if word.isalpha() else note


def _anchor(title: str) -> str:
    """Give the name of a heading in an address, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def _provider(row: ProviderSection, remark: str) -> str:
    origin = f"`{row.origin}`" if row.origin is not None else "yours"
    base = f"`{row.base or '/'}`"
    return f"| `{row.name}` | {origin} | {row.dialect} | {base} | {ASKING[row.stream_usage]} | {remark} |\n"


def _ways(surfaces: Iterable[str]) -> str:
    """Give the requests that speak some formats; ``*`` is any one segment of the path."""
    wanted = set(surfaces)
    endings: dict[str, list[str]] = {}
    for way in WAYS:
        if way.surface.name in wanted:
            endings.setdefault(way.method, []).append(f"`…/{way.ending}`")
    return "; ".join(f"{method} {', '.join(dict.fromkeys(found))}" for method, found in endings.items())


def _any_of(where: Iterable[str], *, among: bool = False) -> str:
    """Give places of which the first that states a count is taken; ``among`` others that are added to it."""
    named = [f"`{each}`" for each in where]
    return f"({' or '.join(named)})" if among and len(named) > 1 else " or ".join(named)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
