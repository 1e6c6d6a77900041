"""Budgets as a page: what is used and left of each, and where its window ends at the pace so far."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from html import escape
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.datastructures import QueryParams

from proxy.budgets.units import ESTIMATED
from proxy.console.budget_evidence import shares_of
from proxy.console.evidence import legend, mark
from proxy.console.marks import head, name, note, share
from proxy.ledger.budget_states import BudgetShown, State, states
from proxy.ledger.evidence import Evidence
from proxy.reports.figures import amount, count, percent

_SHOWN = 500
_TITLES = ("Budget", "Used", "Limit", "Left", "At this pace", "Window", "State")
_MINOR = _TITLES[3:6]
_CLASS = ' class="minor"'
_STATES: dict[State | None, str] = {"ok": "within it", "near": "nearly used up", "used_up": "used up", None: "–"}
_UNITS = {"usd": "USD", "kwh": "kWh", "gco2e": "g CO₂e", "liters": "L", "concurrent_requests": "requests at once"}


def page_body(connection: Connection, query: QueryParams, now: datetime, evidence: Evidence) -> str:
    """Draw the page: the fullest first; ``query`` names the budget that a form has just made, changed or removed."""
    found = sorted(states(connection, now), key=lambda each: (-(each.used_ratio or 0.0), each.name))
    done = _done(query, {each.name for each in found})
    if not found:
        return f"{done}{_NONE}"
    titles = head(*_TITLES, minor=_MINOR)
    shares = shares_of(connection, found[:_SHOWN], evidence, now)
    rows = "".join(_row(each, shares.get(each.name, {})) for each in found[:_SHOWN])
    more = f"<p>{count(len(found) - _SHOWN)} more: <code>joulegate budgets list</code></p>" if found[_SHOWN:] else ""
    return (
        f"{done}"
        '<p class="soft">What is used is what the ledger has; calls on their way are held back from a hard budget'
        ' beside it. For programs: <a href="/api/budgets">/api/budgets</a>.</p>'
        f'{_MAKE}<div class="scroll" tabindex="0" role="region" aria-label="Budgets"><table class="budgets cards">'
        f"{titles}<tbody>{rows}</tbody></table></div>{more}{legend() if shares else ''}"
    )


def _done(query: QueryParams, there: set[str]) -> str:
    """Say what a form has done, as far as it is so: an address can be written by anybody."""
    for key, words in (("added", "is there"), ("changed", "is changed"), ("removed", "is out of use")):
        budget = query.get(key)
        if budget is not None and (budget in there) == (key != "removed"):
            return (
                f'<p class="done" role="status">Budget {name(budget)} {words};'
                " gates of all machines go by that within seconds.</p>"
            )
    return ""


_MAKE = '<p class="act"><a class="button" href="/budgets/add">Make a budget</a></p>'
_NONE = (
    '<section class="empty"><h2>No budgets</h2><p>Make one; gates go by it within seconds.</p>'
    f"{_MAKE}<p>Or by command:</p>"
    "<pre tabindex='0'><code>joulegate budgets add search-month --team search --unit usd --limit 500 --window month"
    " --mode hard</code></pre><p>In dollars, kilowatt-hours, grams, liters, tokens or requests. A soft one refuses"
    " nothing. They can stand in the configuration, too: <code>[[budget]]</code>.</p></section>"
)


def _row(each: BudgetShown, shares: Mapping[str, float]) -> str:
    scope = (("team", each.team), ("project", each.project), ("user", each.user), ("key", each.key))
    whose = [(kind, who) for kind, who in scope if who is not None]
    explore = escape(f"/explore?{urlencode([('where', f'{kind}={who}') for kind, who in whose])}")
    said = ", ".join(f"{kind} {who}" for kind, who in whose)
    used = "" if each.used is None else f"{mark(shares)}{amount_of(each.used, each)}{share(each.used_ratio or 0.0)}"
    unknown = f"{count(each.unknown_calls)} calls unknown" if each.unknown_calls else ""
    state = _STATES[each.state]
    full = "" if each.used_ratio is None else percent(each.used_ratio)
    cells = (
        (used or "–") + note(unknown),
        amount_of(each.limit, each) + note("refuses" if each.mode == "hard" else "tells"),
        amount_of(each.left, each),
        amount_of(each.forecast, each, guessed=True),
        _window(each),
        f'<span class="state {each.state or "none"}">{state}</span>{note(full)}',
    )
    head_cell = f'<a href="{explore}">{name(each.name)}</a>{note(said)}{_ways(each)}'
    drawn = (
        f'<td data-title="{title}"{_CLASS if title in _MINOR else ""}><div>{content}</div></td>'
        for title, content in zip(_TITLES[1:], cells, strict=True)
    )
    return f'<tr><th scope="row">{head_cell}</th>{"".join(drawn)}</tr>'


def _ways(each: BudgetShown) -> str:
    """Lead to the forms; what a file says is changed there."""
    if each.managed_by == "configuration":
        return note(f"set in {each.file or 'the configuration'}")
    query, of = escape(urlencode({"name": each.name})), escape(each.name)
    return (
        f'<span class="note ways"><a href="/budgets/change?{query}" aria-label="Change {of}">change</a>'
        f' <a href="/budgets/remove?{query}" aria-label="Remove {of}">remove</a></span>'
    )


def amount_of(value: Decimal | None, each: BudgetShown, *, guessed: bool = False) -> str:
    """Write an amount; of what is estimated or guessed with few digits, the limit itself excepted."""
    if value is None:
        return "–"
    number = amount(value, estimated=guessed or (each.unit in ESTIMATED and value != each.limit))
    return escape(f"{number} {_UNITS.get(each.unit, each.unit)}")


def _window(each: BudgetShown) -> str:
    if each.window is None:
        return "–"
    ends = "" if each.window_ends is None else f"to {each.window_ends:%Y-%m-%d %H:%M} UTC"
    return escape(each.window) + note(ends)
