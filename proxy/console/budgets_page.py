"""Budgets as a page: what is used and left of each, and where its window ends at the pace so far."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from html import escape
from urllib.parse import urlencode

from sqlalchemy import Connection

from proxy.budgets.units import ESTIMATED
from proxy.console.budget_evidence import shares_of
from proxy.console.evidence import legend, mark
from proxy.console.marks import cell, head, name, note, share
from proxy.ledger.budget_states import BudgetShown, State, states
from proxy.ledger.evidence import Evidence
from proxy.reports.figures import amount, count, percent

_SHOWN = 500
_STATES: dict[State | None, str] = {"ok": "within it", "near": "nearly used up", "used_up": "used up", None: "–"}
_UNITS = {"usd": "USD", "kwh": "kWh", "gco2e": "g CO₂e", "liters": "L", "concurrent_requests": "requests at once"}


def page_body(connection: Connection, now: datetime, evidence: Evidence) -> str:
    """Draw the page: the fullest first."""
    found = sorted(states(connection, now), key=lambda each: (-(each.used_ratio or 0.0), each.name))
    if not found:
        return _NONE
    titles = head(
        "Budget", "Used", "Limit", "Left", "At this pace", "Window", "State", minor=("Left", "At this pace", "Window")
    )
    shares = shares_of(connection, found[:_SHOWN], evidence, now)
    rows = "".join(_row(each, shares.get(each.name, {})) for each in found[:_SHOWN])
    more = f"<p>{count(len(found) - _SHOWN)} more: <code>joulegate budgets list</code></p>" if found[_SHOWN:] else ""
    return (
        '<p class="soft">What is used is what the ledger has; calls on their way are held back from a hard budget'
        ' beside it. For programs: <a href="/api/budgets">/api/budgets</a>.</p>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Budgets"><table class="budgets">{titles}'
        f"<tbody>{rows}</tbody></table></div>{more}{legend() if shares else ''}"
    )


_NONE = (
    '<section class="empty"><h2>No budgets</h2><p>Make one; gates go by it within seconds:</p>'
    "<pre tabindex='0'><code>joulegate budgets add search-month --team search --unit usd --limit 500 --window month"
    " --mode hard</code></pre><p>In dollars, kilowatt-hours, grams, liters, tokens or requests. A soft one refuses"
    " nothing. They can stand in the configuration, too: <code>[[budget]]</code>.</p></section>"
)


def _row(each: BudgetShown, shares: Mapping[str, float]) -> str:
    scope = (("team", each.team), ("project", each.project), ("user", each.user), ("key", each.key))
    whose = [(kind, who) for kind, who in scope if who is not None]
    explore = escape(f"/explore?{urlencode([('where', f'{kind}={who}') for kind, who in whose])}")
    said = ", ".join(f"{kind} {who}" for kind, who in whose)
    used = "" if each.used is None else f"{mark(shares)}{_amount(each.used, each)}{share(each.used_ratio or 0.0)}"
    unknown = f"{count(each.unknown_calls)} calls unknown" if each.unknown_calls else ""
    state = _STATES[each.state]
    full = "" if each.used_ratio is None else percent(each.used_ratio)
    cells = (
        cell((used or "–") + note(unknown)),
        cell(_amount(each.limit, each) + note(_mode(each))),
        cell(_amount(each.left, each), minor=True),
        cell(_amount(each.forecast, each), minor=True),
        cell(_window(each), minor=True),
        cell(f'<span class="state {each.state or "none"}">{state}</span>{note(full)}'),
    )
    return f'<tr><th scope="row"><a href="{explore}">{name(each.name)}</a>{note(said)}</th>{"".join(cells)}</tr>'


def _mode(each: BudgetShown) -> str:
    mode = "refuses" if each.mode == "hard" else "warns"
    return f"{mode}, in the configuration" if each.managed_by == "configuration" else mode


def _amount(value: Decimal | None, each: BudgetShown) -> str:
    """Write an amount; of what is an estimate with few digits, the limit itself excepted."""
    if value is None:
        return "–"
    number = amount(value, estimated=each.unit in ESTIMATED and value != each.limit)
    return escape(f"{number} {_UNITS.get(each.unit, each.unit)}")


def _window(each: BudgetShown) -> str:
    if each.window is None:
        return "–"
    ends = "" if each.window_ends is None else f"to {each.window_ends:%Y-%m-%d %H:%M} UTC"
    return escape(each.window) + note(ends)
