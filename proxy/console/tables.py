"""The tables of the first page: today's groups and the last calls."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from html import escape
from urllib.parse import quote

from proxy.console.evidence import TIERS, legend, mark
from proxy.console.marks import cell, estimate, head, name, note, value
from proxy.console.sums import figure, title
from proxy.ledger.evidence import Evidence
from proxy.ledger.read import Totals
from proxy.ledger.tables import CallRow
from proxy.reasons import sentence
from proxy.reports.figures import UNKNOWN, carried, count, dollars, quantity


def groups(dimension: str, rows: Sequence[Totals], evidence: Evidence) -> str:
    """Draw one line per team or model."""
    of = map(title, ("dollars", "energy", "carbon"))
    titles = head(dimension.capitalize(), "Calls", "Tokens", *of, minor=("Tokens", title("carbon")))
    dearest = max((row.cost_usd for row in rows if row.cost_usd is not None), default=Decimal(0))
    body = "".join(_group(row, dearest, evidence) for row in rows)
    return _table(f"By {dimension}", titles, f"<tbody>{body}</tbody>")


def last_calls(calls: Sequence[CallRow], *, live: bool = True) -> str:
    """Draw calls, the latest first; a live table is one that more are added to."""
    titles = head(
        *("Time (UTC)", "Team", "Model", "Tokens", *map(title, ("dollars", "compute", "energy", "carbon")), "Latency"),
        minor=("Team", *map(title, ("dollars", "compute", "carbon")), "Latency"),
    )
    added_to = ' id="calls"' if live else ""
    body = f"<tbody{added_to}>{call_rows(calls)}</tbody>"
    table = _table("Last calls" if live else "Calls", titles, body, "calls")
    return f"{table}{legend()}"


def call_rows(calls: Sequence[CallRow]) -> str:
    """Draw one line per call."""
    return "".join(map(_call, calls))


def tokens(read: int | None, generated: int | None) -> int | None:
    """Add what is known; unknown only if both are."""
    return None if read is None and generated is None else (read or 0) + (generated or 0)


def _table(caption: str, titles: str, body: str, kind: str = "groups") -> str:
    table = f'<table class="{kind}"><caption>{caption}</caption>{titles}{body}</table>'
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">{table}</div>'


def _group(group: Totals, dearest: Decimal, evidence: Evidence) -> str:
    shares = evidence.shares(group)
    cells = (
        cell(value(count(group.calls))),
        cell(value(count(tokens(group.input_tokens, group.output_tokens))), minor=True),
        cell(figure(group, "dollars", shares, peak=dearest)),
        cell(figure(group, "energy", shares)),
        cell(figure(group, "carbon", shares), minor=True),
    )
    return f'<tr><th scope="row">{name(group.key[0])}</th>{"".join(cells)}</tr>'


def _call(row: CallRow) -> str:
    moment = f'<time datetime="{row.started_at.isoformat()}">{row.started_at:%H:%M:%S}</time>'
    when = f'<a href="/calls/{quote(row.id, safe="")}">{moment}</a>'
    seconds = None if row.latency_ms is None else row.latency_ms / 1e3
    price, sign = value(dollars(row.cost_usd)), _tier(row)
    # Where there is no room for columns of their own:
    provider_below = f'<span class="note">{name(row.provider)}<span class="narrow"> · {name(row.team)}</span></span>'
    price_below = f'<span class="note narrow">{price}</span>'
    cells = (
        cell(when + _outcome(row)),
        f'<th scope="row" class="minor">{name(row.team)}</th>',
        cell(name(row.model or row.model_requested) + provider_below),
        cell(_in_and_out(row) + price_below),
        cell(price, minor=True),
        cell((sign if row.flops is not None else "") + _compute(row), minor=True),
        cell(sign + (_why(row) or estimate(row.joules_low, row.joules, row.joules_high, "J"))),
        cell(
            (sign if row.grams_co2e is not None else "")
            + estimate(row.grams_co2e_low, row.grams_co2e, row.grams_co2e_high, "g"),
            minor=True,
        ),
        cell(value(quantity(seconds, "s")), minor=True),
    )
    return f'<tr id="c-{escape(row.id)}">{"".join(cells)}</tr>'


def _compute(row: CallRow) -> str:
    return value(quantity(row.flops, "FLOP", carried(row.joules_low, row.joules, row.joules_high)))


def _outcome(row: CallRow) -> str:
    if row.outcome == "ok":
        return ""
    status = "" if row.status is None else f" {row.status}"
    return f'<span class="note {escape(row.outcome)}" title="{_reason(row)}">{escape(row.outcome)}{status}</span>'


def _reason(row: CallRow) -> str:
    return "" if row.reason is None else escape(sentence(row.outcome, row.reason))


def _in_and_out(row: CallRow) -> str:
    if row.input_tokens is None and row.output_tokens is None:
        return f'<span class="none" title="{_reason(row)}">{UNKNOWN}</span>'
    source = "" if row.usage_source == "reported" else note(row.usage_source)
    return f'{_tokens(row.input_tokens)}<span class="arrow"> → </span>{_tokens(row.output_tokens)}{source}'


def _tokens(number: int | None) -> str:
    # Half of a count is common (an embedding generates nothing) and no reason for alarm.
    return '<span class="none" title="not stated by the provider">–</span>' if number is None else count(number)


def _tier(row: CallRow) -> str:
    return "" if row.joules is None or row.tier not in TIERS else mark({row.tier: 1.0})


def _why(row: CallRow) -> str:
    """Say on request why there is no estimate although there were tokens."""
    if row.joules is not None or row.input_tokens is None or not row.estimate_reason:
        return ""
    return f'<details><summary class="none">{UNKNOWN}</summary>{escape(row.estimate_reason)}</details>'
