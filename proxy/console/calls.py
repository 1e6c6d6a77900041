"""The calls that fit a question, and one call with all that is known of it and how its estimates were made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from html import escape

from sqlalchemy import Connection
from starlette.datastructures import QueryParams

from estimator import Estimate, Usage
from estimator.facts import sources
from proxy.console.asking import CHOICE as DIMENSIONS
from proxy.console.asking import Asked, asked_of, chosen, field, hidden, select
from proxy.console.evidence import TIERS
from proxy.console.marks import estimate as banded
from proxy.console.marks import value
from proxy.console.sums import MEASURES, title
from proxy.console.tables import last_calls
from proxy.ledger.finding import LOOKED_AT, Found, OneCall, Place, calls_like, one_call
from proxy.ledger.tables import CallRow, LineRow
from proxy.reasons import sentence
from proxy.reports.figures import carried, count, dollars, quantity
from proxy.reports.period import QuestionError

PATH = "/calls"
SHOWN = 50

# Makes the estimate of a stored call anew, by today's facts and configuration; may raise.
Estimating = Callable[[CallRow, Usage], Estimate]

_USAGE = tuple(Usage.__dataclass_fields__)


def list_body(connection: Connection, query: QueryParams, now: datetime, usual_tz: str) -> str:
    """Draw a page of calls; raises QuestionError."""
    asked = replace(asked_of(query, usual_tz), by=())
    period = asked.period(now) if asked.bounded else None
    found = calls_like(
        connection,
        asked.where,
        start=None if period is None else period.start,
        end=None if period is None else period.end,
        before=_place(query.get("before")),
        limit=SHOWN,
    )
    when = period.title() if period is not None else "all that are kept, the latest first"
    sums = f'<a href="{asked.link("/explore")}">their sums</a>'
    return (
        f"{_form(asked)}{chosen(asked, PATH)}<p>{escape(when)}: {sums}</p>"
        f"{last_calls(found.calls, live=False) if found.calls else ''}{_further(asked, found)}"
    )


def _form(asked: Asked) -> str:
    choices = [("", "all calls"), *((each, each.replace("_", " ")) for each in DIMENSIONS)]
    return (
        f'<form class="ask" method="get" action="{PATH}">{hidden(asked)}'
        + select("Only", "only", choices, "")
        + field("is", "is", "", hint="any value")
        + field("From", "from", (asked.start or "")[:10], kind="date")
        + field("To", "to", (asked.end or "")[:10], kind="date")
        + field("Time zone", "tz", asked.tz)
        + '<button type="submit">Show</button></form>'
    )


_NOTHING = (
    '<section class="empty"><h2>No calls there</h2>'
    '<p>Choose another period, or take a condition away with its ×. <a href="/">Live</a> says how to send one.</p>'
    "</section>"
)


def _further(asked: Asked, found: Found) -> str:
    if found.after is None:
        return "" if found.calls else _NOTHING
    further = asked.link(PATH, before=f"{found.after[0].isoformat()}/{found.after[1]}")
    looked = f"Looked at {LOOKED_AT:,} calls, back to {found.after[0]:%Y-%m-%d %H:%M:%S} (UTC). " if found.tired else ""
    return f'<p class="further">{looked}<a href="{further}" rel="next">Further back</a></p>'


def _place(text: str | None) -> Place | None:
    if text is None:
        return None
    moment, _, name = text.partition("/")
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not name:
        raise QuestionError(f"before={text[:80]!r} is no place in the list: begin again without it")
    return at, name


def call_body(connection: Connection, call_id: str, estimate: Estimating) -> str | None:
    """Draw one call; ``None`` where there is none of that id, or no longer."""
    found = one_call(connection, call_id)
    if found is None:
        return None
    row = found.row
    return (
        f"<p>{_ended(row)}</p>{_headlines(row)}{_chain(found, estimate)}{_lines(found.lines)}"
        f"<h2>All that is stored</h2>{_columns(row)}"
    )


def _ended(row: CallRow) -> str:
    status = "" if row.status is None else f", status {row.status}"
    why = "" if row.reason is None else f": {sentence(row.outcome, row.reason)}"
    return escape(f"{row.started_at:%Y-%m-%d %H:%M:%S} UTC, {row.outcome}{status}{why}")


def _headlines(row: CallRow) -> str:
    mark, words = TIERS[row.tier] if row.joules is not None and row.tier in TIERS else ("", "not estimated")
    like_energy = carried(row.joules_low, row.joules, row.joules_high)
    figures = (
        (title("dollars"), value(dollars(row.cost_usd)), _price(row)),
        (title("energy"), banded(row.joules_low, row.joules, row.joules_high, "J"), f"{mark} {words}"),
        (
            title("carbon"),
            banded(row.grams_co2e_low, row.grams_co2e, row.grams_co2e_high, "g"),
            "" if row.grams_co2e is None else f"{mark} {MEASURES['carbon'].brief}: {row.zone or 'no zone known'}",
        ),
        (title("water"), value(quantity(row.liters, "L", like_energy)), _following(row.liters, "water", mark)),
        (title("compute"), value(quantity(row.flops, "FLOP", like_energy)), _following(row.flops, "compute", mark)),
        ("Tokens in", value(count(row.input_tokens)), row.usage_source),
        ("Tokens out", value(count(row.output_tokens)), row.usage_source),
    )
    cells = "".join(
        f'<div><dt>{name}</dt><dd>{figure}</dd><dd class="note">{escape(below)}</dd></div>'
        for name, figure, below in figures
    )
    return f'<dl class="headlines">{cells}</dl>'


def _price(row: CallRow) -> str:
    if row.cost_usd is None:
        return "no price is known: see Facts, What is missing" if row.input_tokens is not None else ""
    return f"price {row.price_id}" if row.price_id else ""


def _following(figure: float | None, of: str, mark: str) -> str:
    """Say how an estimate without a range of its own is made."""
    return "" if figure is None else f"{mark} {MEASURES[of].brief}; no surer than the energy"


def _chain(found: OneCall, estimate: Estimating) -> str:
    """Make the estimate again, which the ledger keeps the figures of alone, and say where it differs."""
    row = found.row
    unknown = f"<p>Not known: {escape(row.estimate_reason)}</p>" if row.estimate_reason else ""
    heading = f"<h2>How it was estimated</h2>{unknown}"
    if row.usage_source == "absent" or (row.input_tokens is None and row.output_tokens is None):
        return f"{heading}<p>No tokens are known of this call, and without tokens there is no estimate.</p>"
    usage = Usage(**{name: known for name in _USAGE if (known := getattr(row, name, None)) is not None})
    try:
        made = estimate(row, usage)
    except Exception as error:  # whatever the estimator says of it, the call is shown
        return f"{heading}<p>It cannot be made again: {escape(str(error))}</p>"
    told = "".join(f"<p>{escape(text)}</p>" for text in _differences(found, made))
    named = sources()
    cited = "".join(
        f'<li>{escape(named[each].name)}, checked {named[each].checked}: <a href="{escape(named[each].url)}" '
        f'rel="noreferrer">{escape(named[each].url)}</a></li>'
        if each in named
        else f"<li>{escape(each)}</li>"
        for each in dict.fromkeys(made.sources)
    )
    return (
        f'{heading}{told}<pre tabindex="0">{escape(made.explain())}</pre>'
        f"<details class='method'><summary>Sources</summary><ul>{cited}</ul></details>"
    )


def _differences(found: OneCall, made: Estimate) -> Sequence[str]:
    row = found.row
    told = [
        "Made again from the stored tokens, with the facts and the configuration of today. The steps have more digits"
        " than their ranges allow, so that they can be followed."
    ]
    if row.facts_version is not None and row.facts_version != made.facts_version:
        told.append(f"The ledger's figures are of facts {row.facts_version}; today's are {made.facts_version}.")
    if found.generation is not None:
        told.append(f"The ledger's figures are of re-estimation {found.generation}, not of the day of the call.")
    if found.lines:
        told.append("The call's figures above have its further lines in them; this is of its own tokens.")
    elif made.joules is not None and row.joules is not None and abs(made.joules.mid / row.joules - 1) > 1e-6:
        told.append(f"It comes to {quantity(made.joules.mid, 'J')}; the ledger has {quantity(row.joules, 'J')}.")
    if (row.summed_calls or 1) > 1:
        told.append(f"The tokens are the sum of {row.summed_calls:,} calls, estimated as so many of their mean.")
    return told


def _lines(lines: Sequence[LineRow]) -> str:
    if not lines:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(line.kind)}</th><td>{escape(line.model or "the same")}</td>'
        f"<td>{value(count(line.input_tokens))}</td><td>{value(count(line.output_tokens))}</td>"
        f"<td>{value(dollars(line.cost_usd))}</td>"
        f"<td>{banded(line.joules_low, line.joules, line.joules_high, 'J')}</td></tr>"
        for line in lines
    )
    heads = "".join(f'<th scope="col">{each}</th>' for each in ("Line", "Model", "In", "Out", "Dollars", "Energy"))
    return (
        "<h2>What it consumed beside its own tokens</h2>"
        f'<div class="scroll"><table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


_SUFFIXES = (
    ("_tokens", "tokens"), ("_ms", "ms"), ("_us", "µs"), ("_bytes", "bytes"), ("_usd", "USD"), ("liters", "L"),
    ("flops", "FLOP"),
)  # fmt: skip


def _unit(column: str) -> str:
    if "joules" in column:
        return "J"
    if "grams" in column:
        return "g"
    return next((unit for suffix, unit in _SUFFIXES if column.endswith(suffix)), "")


def _columns(row: CallRow) -> str:
    """Write every column that is known, as it is stored, and name those that are not."""
    known = {name: each for name in CallRow.__struct_fields__ if (each := getattr(row, name)) is not None}
    lines = "".join(
        f"<div><dt>{name}</dt><dd>{escape(_plain(each))}{_written_unit(name, each)}</dd></div>"
        for name, each in known.items()
    )
    missing = [name for name in CallRow.__struct_fields__ if name not in known]
    rest = f"<p class='soft'>Not known, or not there: {', '.join(missing)}.</p>" if missing else ""
    return f'<dl class="columns">{lines}</dl>{rest}'


def _written_unit(name: str, each: object) -> str:
    unit = _unit(name) if isinstance(each, int | float | Decimal) and not isinstance(each, bool) else ""
    return f' <span class="soft">{unit}</span>' if unit else ""


def _plain(each: object) -> str:
    match each:
        case datetime():
            return each.isoformat()
        case Decimal():
            return f"{each.normalize():f}"
        case bool():
            return "yes" if each else "no"
        case float():
            return f"{each:.6g}"
        case dict():
            return ", ".join(f"{key}={item}" for key, item in each.items())
        case tuple():
            return ", ".join(map(str, each))
        case _:
            return str(each)
