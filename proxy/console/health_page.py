"""How the metering is doing, in sentences, with what to do about it."""

from __future__ import annotations

from html import escape

from proxy.console.health import Health, Status
from proxy.console.pages import health_line
from proxy.reports.figures import count, digits

TO_DO: dict[Status, str] = {
    "ok": "Every call that was made through the gate is in the ledger, or will be within seconds. Nothing to do.",
    "incomplete": "Everything works now, but since the start calls went missing, or the ledger was deleted or replaced."
    " Look at the reasons above and in the log; what is set aside in the journal's folder can be sent in. It says so"
    " until the next restart.",
    "keys_outdated": "Gates go on with the keys and the budgets they had. Make the journal's folder writable, or take"
    " the key out of one of the two places that name it: the configuration or the directory.",
    "budgets_unkept": "Calls through this machine are not held to the budgets that the reasons above name, not to hard"
    " ones either; what they use is counted in the reports. Give such a budget a time zone that this machine knows, or"
    " take others out of use where there is no room; where calls of budgets that are gone are still on their way, it"
    " ends by itself.",
    "late": "More than a minute lies between a call and its row. Nothing is lost: calls wait in the journal. Look"
    " whether the database is slow, or the machine short of time.",
    "standing_by": "Another process records what is in this journal directory, so this one does not. Stop one of the"
    " two if that is not meant.",
    "standing_still": "Calls go on and wait in the journal on disk, as long as that has room. Bring the database back;"
    " recording goes on by itself.",
    "unwritable": "Calls go on and wait in the gate's memory, which is small. Make room on the journal's disk, or"
    " make it writable, now: what does not fit is lost.",
}
RECORDS = {
    "opened": "calls began",
    "closed": "calls ended",
    "recorded": "calls are in the ledger",
    "waiting": "calls wait in a gate's memory, now",
    "lost": "calls could not be written down when they ended",
    "poison": "records are damaged or were refused by the database; a copy is set aside",
    "torn": "records were cut short when a gate was killed; their calls are there as interrupted",
    "unestimated": "calls are recorded without an estimate, because the estimator failed",
}


def page_body(health: Health) -> str:
    """Draw the page."""
    lag = digits(health.ledger_lag_seconds, 2) if health.ledger_lag_seconds else "0"
    facts = (
        ("Ledger behind", f"{lag} s", "the oldest call that has ended and is not in it"),
        ("Calls in flight", count(health.calls_in_flight), f"{count(health.streams_open)} of them streams"),
        ("Calls missing", count(health.missing_calls), "since the start; not in the ledger, or without tokens"),
    )
    cells = "".join(
        f'<div><dt>{name}</dt><dd>{figure}</dd><dd class="note">{below}</dd></div>' for name, figure, below in facts
    )
    rows = "".join(
        f'<tr><th scope="row">{escape(state)}</th><td>{count(number)}</td><td>{RECORDS.get(state, "")}</td></tr>'
        for state, number in health.journal_records.items()
    )
    return (
        f"<section>{health_line(health)}</section><h2>What to do</h2><p>{escape(TO_DO[health.status])}</p>"
        f'<dl class="headlines">{cells}</dl>'
        "<h2>What became of the journal's records <small>since the start</small></h2>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Records"><table class="words"><thead><tr>'
        '<th scope="col">State</th><th scope="col">Calls</th><th scope="col">Meaning</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
        '<p class="soft">For programs: <a href="/api/health">/api/health</a>, and <a href="/metrics">/metrics</a> with'
        " alerts that come with Joulegate.</p>"
    )
