"""The first page, in pieces that are drawn again while it is open. Every text from outside goes through ``escape``."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from urllib.parse import urlencode

from proxy.console.frame import frame
from proxy.console.health import Health
from proxy.console.marks import whisker
from proxy.console.pulse import Pulse, pulse_section
from proxy.console.tables import groups, lacking, last_calls, tokens
from proxy.console.today import Sums
from proxy.ledger.read import Totals
from proxy.ledger.tables import CallRow
from proxy.reports.figures import band, count, digits, dollars, quantity, share

CALLS_SHOWN = 50

_STATUS = {
    "ok": "Metering",
    "incomplete": "Metering, but not all calls",
    "late": "Metering, but late",
    "keys_outdated": "Metering, but keys are not as they were last changed",
    "standing_still": "Recording stands still; calls wait in the journal",
    "standing_by": "Standing by: another recorder works on this journal",
    "unwritable": "The journal cannot be written; calls wait in memory",
}


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
        f'<section id="pulse" aria-label="Now">{pulse_section(pulse)}</section>'
        f'<section id="today" aria-label="Today">{today_section(sums)}</section>{body}',
        place="/",
        signed_in=signed_in,
        aside=f'<div id="health">{health_line(health)}</div>',
        live=f"/live?{query}",
        script='<script src="/static/console.js" defer></script>\n',
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
    state = "bad" if health.status in ("unwritable", "standing_still", "keys_outdated", "incomplete") else health.status
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
    total = sums.total
    heading = f"<h2>Today <small>{escape(sums.period.title())}</small></h2>"
    if total.calls == 0:
        return f"{heading}<p>No calls yet.</p>"
    return (
        f"{heading}{_headlines(total)}"
        f'<div class="split">{groups("team", sums.by_team)}{groups("model", sums.by_model)}</div>'
    )


def _headlines(total: Totals) -> str:
    def figure(name: str, value: str, below: str, extra: str = "") -> str:
        return f'<div><dt>{name}</dt><dd>{escape(value)}</dd>{extra}<dd class="note">{escape(below)}</dd></div>'

    joules = (total.joules_low, total.joules, total.joules_high)
    grams = (total.grams_co2e_low, total.grams_co2e, total.grams_co2e_high)
    return "".join(
        (
            '<dl class="headlines">',
            figure("Calls", count(total.calls), _sources(total)),
            figure("Tokens", count(tokens(total.input_tokens, total.output_tokens)), _in_out(total)),
            figure("Dollars", dollars(total.cost_usd), lacking(total.unpriced_calls, total.calls, "without a price")),
            figure(
                "Compute",
                quantity(total.flops, "FLOP"),
                lacking(total.energy_unknown_calls, total.calls, "not estimated"),
            ),
            figure(
                "Energy",
                quantity(total.joules, "J"),
                _band_note(joules, "J", lacking(total.energy_unknown_calls, total.calls, "not estimated")),
                whisker(*joules),
            ),
            figure(
                "CO₂e",
                quantity(total.grams_co2e, "g"),
                _band_note(grams, "g", lacking(total.carbon_unknown_calls, total.calls, "not estimated")),
                whisker(*grams),
            ),
            figure(
                "Water",
                quantity(total.liters, "L"),
                lacking(total.water_unknown_calls, total.calls, "not estimated"),
            ),
            "</dl>",
        )
    )


def _empty(gate_url: str) -> str:
    code = f'from openai import OpenAI\nclient = OpenAI(base_url="{gate_url}/v1")'
    return (
        '<section class="empty"><h2>Send the first call</h2><p>Point an OpenAI SDK at the gate; nothing else changes. '
        f"The call appears here within a second.</p><pre><code>{escape(code)}</code></pre></section>"
    )


def _band_note(figures: tuple[float | None, float | None, float | None], unit: str, left_out: str) -> str:
    low, centre, high = figures
    if centre is None:
        return left_out
    return band(low, high, unit) + (f", {left_out}" if left_out else "")


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
