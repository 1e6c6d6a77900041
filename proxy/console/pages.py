"""The first page, in pieces that are drawn again while it is open. Every text from outside goes through ``escape``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from urllib.parse import urlencode

from proxy.console.evidence import mark, standing
from proxy.console.frame import charts, frame
from proxy.console.health import Health
from proxy.console.marks import whisker
from proxy.console.pulse import Pulse
from proxy.console.sums import MEASURES, banded, ends, lacking, title, written
from proxy.console.tables import groups, last_calls, tokens
from proxy.console.today import Sums
from proxy.ledger.read import Totals
from proxy.ledger.tables import CallRow
from proxy.reports.figures import count, digits, dollars, share

CALLS_SHOWN = 50

_STATUS = {
    "ok": "Metering",
    "incomplete": "Metering, but not all calls",
    "late": "Metering, but late",
    "keys_outdated": "Metering, but keys are not as they were last changed",
    "budgets_unkept": "Metering, but a budget is not kept by this machine",
    "standing_still": "Recording stands still; calls wait in the journal",
    "standing_by": "Standing by: another recorder works on this journal",
    "unwritable": "The journal cannot be written; calls wait in memory",
}
_BAD = ("unwritable", "standing_still", "keys_outdated", "budgets_unkept", "incomplete")


def page(
    *,
    sums: Sums | None,
    health: Health,
    calls: Sequence[CallRow],
    after: int,
    pulse: Pulse,
    gate_url: str,
    signed_in: bool,
) -> str:
    """Draw the whole page; ``after`` is the number of the last call on it, where the live part goes on."""
    never = not calls and (sums is None or sums.total.calls == 0)
    body = _empty(gate_url) if never else f"<section>{last_calls(calls)}</section>"
    query = urlencode({"after": after} | ({"tz": sums.period.zone.key} if sums else {}))
    return frame(
        "Live",
        f'<section id="pulse" aria-label="Now">{pulse.section()}</section><figure id="rates" hidden></figure>'
        f'<section id="today" aria-label="Today">{today_section(sums)}</section>{body}',
        place="/",
        signed_in=signed_in,
        aside=f'<div id="health">{health_line(health)}</div>',
        live=f"/live?{query}",
        head=charts("console.js"),
    )


def health_line(health: Health) -> str:
    """Say in a line whether the figures can be trusted; what is missing or wrong gets a line of its own."""
    facts = []
    if health.ledger_lag_seconds >= 1:
        facts.append(f"ledger {digits(health.ledger_lag_seconds, 2)} s behind")
    if waiting := health.journal_records["waiting"]:
        facts.append(f"{count(waiting)} {'call waits' if waiting == 1 else 'calls wait'}")
    if health.streams_open:
        facts.append(f"{count(health.streams_open)} {'stream' if health.streams_open == 1 else 'streams'} open")
    state = "bad" if health.status in _BAD else health.status
    lines = [(state, " · ".join([_STATUS[health.status], *facts]))]
    if missing := health.missing_calls:
        are = "call is" if missing == 1 else "calls are"
        lines.append(("bad", f"{count(missing)} {are} missing from the ledger, or there without tokens"))
    if health.problem:
        lines.append(("bad", health.problem))
    dot = '<span class="dot" aria-hidden="true"></span>'
    return "".join(f'<p class="health {state}">{dot}{escape(text)}</p>' for state, text in lines)


def today_section(sums: Sums | None) -> str:
    """Draw today's figures, and their split by team and by model."""
    if sums is None:
        return "<h2>Today</h2><p>The ledger cannot be read at the moment; calls are kept and will be there.</p>"
    total, evidence = sums.total, sums.evidence
    shares = evidence.shares(total)
    heading = f"<h2>Today <small>{escape(sums.period.title())}</small></h2>"
    if total.calls == 0:
        return f"{heading}<p>No calls yet.</p>"
    return (
        f"{heading}{_headlines(total, shares)}{standing(shares)}"
        f'<div class="split">{groups("team", sums.by_team, evidence)}{groups("model", sums.by_model, evidence)}</div>'
    )


def _headlines(total: Totals, shares: Mapping[str, float]) -> str:
    def tile(name: str, value: str, below: str, extra: str = "", sign: str = "") -> str:
        return f'<div><dt>{name}{sign}</dt><dd>{escape(value)}</dd>{extra}<dd class="note">{escape(below)}</dd></div>'

    def estimated(of: str) -> str:
        measure = MEASURES[of]
        left_out = lacking(getattr(total, measure.unknown or ""), total.calls, "not estimated")
        drawn = whisker(*ends(total, measure.column)) if (of_band := banded(total, measure)) else ""
        sign = mark(shares) if getattr(total, measure.column) is not None else ""
        return tile(title(of), written(total, measure), ", ".join(filter(None, (of_band, left_out))), drawn, sign)

    unpriced = lacking(total.unpriced_calls, total.calls, "without a price")
    return "".join(
        (
            '<dl class="headlines">',
            tile("Calls", count(total.calls), _sources(total)),
            tile("Tokens", count(tokens(total.input_tokens, total.output_tokens)), _in_out(total)),
            tile(title("dollars"), dollars(total.cost_usd), unpriced),
            *map(estimated, ("compute", "energy", "carbon", "water")),
            "</dl>",
        )
    )


def _empty(gate_url: str) -> str:
    code = f'from openai import OpenAI\nclient = OpenAI(base_url="{gate_url}/v1")'
    return (
        '<section class="empty"><h2>Send the first call</h2><p>Point an OpenAI SDK at the gate; nothing else changes. '
        f"The call appears here within a second.</p><pre tabindex='0'><code>{escape(code)}</code></pre></section>"
    )


def _sources(total: Totals) -> str:
    unsure = total.counted_calls + total.inferred_calls
    parts = [
        f"{share(number, total.calls)} {words}"
        for number, words in ((unsure, "counted by us"), (total.absent_calls, "without tokens"))
        if number
    ]
    return ", ".join(parts) or "all with tokens reported"


def _in_out(total: Totals) -> str:
    return f"{count(total.input_tokens)} in, {count(total.output_tokens)} out"
