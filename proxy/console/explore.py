"""Dollars, joules, grams and liters by whatever calls are told apart by; every value leads to what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from html import escape

from sqlalchemy import Connection
from starlette.datastructures import QueryParams

from proxy.console import over_time
from proxy.console.asking import (
    CHOICE,
    Asked,
    asked_of,
    chosen,
    field,
    hidden,
    of_sums,
    period_fields,
    period_links,
    select,
)
from proxy.console.evidence import standing
from proxy.console.frame import charts
from proxy.console.marks import name, value
from proxy.console.pointing import attribute
from proxy.console.sums import MEASURES, Measure, figure, title, written
from proxy.console.tables import tokens
from proxy.ledger.evidence import Evidence
from proxy.ledger.local_days import days_kept
from proxy.ledger.read import DIMENSIONS, TIME_DIMENSIONS, Totals, in_time
from proxy.ledger.sources import FEW
from proxy.reports.charts import Bar, bars, lines
from proxy.reports.figures import count, scale
from proxy.reports.period import Period, QuestionError
from proxy.reports.split import Split, split
from proxy.reports.statement import DAYS_DRAWN, every_day

PATH = "/explore"
ROWS_SHOWN = 200
LINES_DRAWN = 12  # of bars that lie; the table has more
_ORDER = ("team", "model", "provider", "zone", "day")  # what is asked for next, where a value is looked into


def page_body(connection: Connection, asked: Asked, now: datetime, evidence: Evidence) -> str:
    """Draw the page; raises QuestionError. Of the ledger its sums alone are read."""
    if asked.measure not in MEASURES:
        raise QuestionError(f"measure={asked.measure!r}: choose from {', '.join(MEASURES)}")
    asked, period = of_sums(asked, now, days_kept(connection))
    # The chart is of the first of the dimensions, the table of all: one reading.
    beside = over_time.beside(asked.by)
    found = split(connection, asked.by[:1], period, asked.by, asked.where, beside=beside)
    evidence.read(connection, found.total)
    measure = MEASURES[asked.measure]
    head = f"{_form(asked, period)}{period_links(asked, PATH, now)}{chosen(asked, PATH)}"
    if not found.total.calls:
        return f"{head}{_nothing(asked)}"
    return (
        f"{head}<h2>{escape(measure.title)} <small>{escape(period.title())}{_out(asked, period)}</small></h2>"
        f"{_figure(asked, measure, found, now)}{_table(asked, measure, found, evidence)}"
        f"{standing(evidence.shares(found.total))}"
        f"<details class='method'><summary>How it is made: {escape(measure.title)}</summary>"
        f"<p>{escape(measure.method)}</p>"
        '<p>Facts of each model, price and grid, with their sources: <a href="/facts">Facts</a>.</p></details>'
    )


def question(query: QueryParams, usual_tz: str) -> Asked:
    """Read an address; raises QuestionError."""
    return asked_of(query, usual_tz, by=("team",), measure="dollars")


def _out(asked: Asked, period: Period) -> str:
    """Lead to what a stretch of time lies in."""
    wider = over_time.outward(asked, period) if asked.by[0] in TIME_DIMENSIONS else None
    return "" if wider is None else f' · <a href="{wider[0].link(PATH)}">zoom out: {escape(wider[1])}</a>'


def _form(asked: Asked, period: Period) -> str:
    choices = [(each, each.replace("_", " ")) for each in DIMENSIONS]
    splits = [*asked.by, *([""] if len(asked.by) < 3 else [])]
    by = "".join(
        select("Split by" if place == 0 else "and by", "by", [("", "–"), *choices] if place else choices, each)
        for place, each in enumerate(splits)
    )
    return (
        f'<form class="ask" method="get" action="{PATH}">{hidden(asked)}'
        + select("Show", "measure", [(key, each.title) for key, each in MEASURES.items()], asked.measure)
        + by
        + period_fields(asked, period)
        + select("Only", "only", [("", "all calls"), *((each, each.replace("_", " ")) for each in CHOICE)], "")
        + field("is", "is", "", hint="any value")
        + '<button type="submit">Show</button></form>'
    )


def _nothing(asked: Asked) -> str:
    wider = "Choose another period" + (", or take a condition away with its ×" if asked.where else "")
    told = f'<p>{wider}. <a href="/">Live</a> says how to send one.</p>'
    return f'<section class="empty"><h2>No calls there</h2>{told}</section>'


def _number(measure: Measure, group: Totals) -> float | None:
    found = getattr(group, measure.column)
    return None if found is None else float(found)


def _said(measure: Measure, group: Totals) -> str:
    return count(group.calls) if measure.column == "calls" else written(group, measure)


def _ranked(asked: Asked, measure: Measure, groups: Sequence[Totals]) -> list[Totals]:
    """Put the largest first, time in its order."""
    ranked = sorted((each for each in groups if each.calls), key=lambda each: -(_number(measure, each) or 0))
    times = [place for place, dimension in enumerate(asked.by) if dimension in TIME_DIMENSIONS]
    return sorted(ranked, key=lambda each: [in_time(asked.by[place], str(each.key[place])) for place in times])


def _figure(asked: Asked, measure: Measure, found: Split, now: datetime) -> str:
    """Draw the chart; of times, what a script needs for one that can be pointed at is in it."""
    if asked.by[0] not in TIME_DIMENSIONS:
        drawn, told = _drawn(asked, measure, found.groups)
        return f"<figure tabindex='0'>{drawn}<figcaption>{' '.join(told)}</figcaption></figure>" if drawn else ""
    groups = every_day(found.groups, found.period) if asked.by[0] == "day" else found.groups
    drawn, told = _drawn(asked, measure, groups) if len(groups) <= DAYS_DRAWN else ("", [])
    chart = over_time.chart(asked, measure, found, now)
    if not drawn and chart is None:
        return ""
    more = "" if chart is None else f" {attribute(chart)}"
    hidden = "" if drawn else " hidden"
    caption = f"<figcaption>{' '.join(told)}</figcaption>" if told else ""
    scripts = "" if chart is None else charts("explore.js")
    return f"<figure tabindex='0'{more}{hidden}>{drawn}{caption}</figure>{scripts}"


def _drawn(asked: Asked, measure: Measure, groups: Sequence[Totals]) -> tuple[str, list[str]]:
    """Draw bars, of two at least, and say what else is to be known of them."""
    if len(groups) < 2:
        return "", []
    of_times = asked.by[0] in TIME_DIMENSIONS
    alone = replace(asked, by=asked.by[:1])
    if of_times:
        ordered = sorted(groups, key=lambda each: in_time(asked.by[0], str(each.key[0])))
    else:
        ordered = _ranked(alone, measure, groups)
    shown = ordered if of_times else ordered[:LINES_DRAWN]
    banded = hasattr(shown[0], f"{measure.column}_low")

    def end(group: Totals, which: str) -> float | None:
        return getattr(group, f"{measure.column}_{which}") if banded else None

    peak = max((end(each, "high") or _number(measure, each) or 0.0 for each in shown), default=0.0)
    size, unit = (1.0, measure.unit) if measure.unit in ("USD", "") else scale(peak, measure.unit)

    def scaled(number: float | None) -> float | None:
        return None if number is None else number / size

    whole = [
        Bar(
            label=(each.key[0] or "none")[5:] if asked.by[0] == "day" else each.key[0] or "none",
            value=scaled(_number(measure, each)),
            low=scaled(end(each, "low")),
            high=scaled(end(each, "high")),
            said=f"{each.key[0] or 'none'}: {_said(measure, each)}",
        )
        for each in shown
    ]
    heading = f"{measure.title} by {asked.by[0]}"
    more = [
        *(["The line on a bar is its 90 % range."] if banded else []),
        *([f"Drawn are the largest {len(shown)} of {len(ordered):,}."] if len(shown) < len(ordered) else []),
    ]
    return (bars if of_times else lines)(heading, unit or "calls", whole), more


def _table(asked: Asked, measure: Measure, found: Split, evidence: Evidence) -> str:
    ranked = _ranked(asked, measure, found.parts)
    peak = max((each.cost_usd for each in [*ranked, found.total] if each.cost_usd is not None), default=None)
    titles = "".join(
        f'<th scope="col" class="key">{escape(each.replace("_", " ").capitalize())}</th>' for each in asked.by
    )
    figures = "".join(
        f'<th scope="col"{_minor(key, asked)}>{words}</th>'
        for key, words in (
            ("calls", "Calls"),
            ("tokens", "Tokens"),
            *((key, title(key)) for key in MEASURES if key != "calls"),
        )
    )

    def row(group: Totals) -> str:
        keys = "".join(
            f'<th scope="row">{_look_into(asked, dimension, each)}</th>'
            for dimension, each in zip(asked.by, group.key, strict=True)
        )
        return f"<tr>{keys}{_figures(asked, group, peak, _calls_link(asked, group), evidence)}</tr>"

    more = len(ranked) - ROWS_SHOWN
    told = ""
    if more > 0:
        csv = replace(asked, measure="").link("/api/reports/cost", format="csv")
        told = f'<p class="soft">{more:,} more rows: <a href="{csv}">all of them as CSV</a>.</p>'
    whole = _figures(asked, found.total, peak, replace(asked, by=(), measure="").link("/calls"), evidence)
    total = f'<tr><th scope="row" colspan="{len(asked.by)}">All</th>{whole}</tr>'
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Figures"><table class="figures">'
        f"<thead><tr>{titles}{figures}</tr></thead><tbody>{''.join(map(row, ranked[:ROWS_SHOWN]))}</tbody>"
        f"<tfoot>{total}</tfoot></table></div>{told}"
    )


def _figures(asked: Asked, group: Totals, peak: Decimal | None, calls: str, evidence: Evidence) -> str:
    shares = evidence.shares(group)
    cells = (
        ("calls", f'<a href="{calls}">{count(group.calls)}</a>'),
        ("tokens", value(count(tokens(group.input_tokens, group.output_tokens)))),
        *((key, figure(group, key, shares, peak=peak)) for key in MEASURES if key != "calls"),
    )
    return "".join(f"<td{_minor(key, asked)}>{content}</td>" for key, content in cells)


def _minor(key: str, asked: Asked) -> str:
    """Let all but the calls and what was asked for give way on a narrow screen."""
    return "" if key in ("calls", "dollars" if asked.measure == "calls" else asked.measure) else ' class="minor"'


def _narrowed(asked: Asked, dimension: str, each: str | None) -> Asked:
    if dimension in TIME_DIMENSIONS:
        return asked if each is None else asked.within(dimension, each)
    return asked.only({dimension: each})


def _look_into(asked: Asked, dimension: str, each: str | None) -> str:
    """Lead from a value to the same question about it alone, split by what was not asked for yet."""
    narrowed = _narrowed(asked, dimension, each)
    rest = tuple(by for by in asked.by if by != dimension)
    if not rest:
        following = [by for by in _ORDER if by != dimension and by not in narrowed.where]
        if dimension == "day" and narrowed.where.keys() <= FEW.keys():
            following = ["hour"]
        elif "T" in (narrowed.start or ""):  # a part of a day
            following = [by for by in following if by in FEW]
        rest = tuple(following[:1])
    target = replace(narrowed, by=rest).link(PATH) if rest else replace(narrowed, by=(), measure="").link("/calls")
    return f'<a href="{target}">{name(each)}</a>'


def _calls_link(asked: Asked, group: Totals) -> str:
    """Lead to the calls that a row sums up."""
    narrowed = asked
    for dimension, each in zip(asked.by, group.key, strict=True):
        narrowed = _narrowed(narrowed, dimension, each)
    return replace(narrowed, by=(), measure="").link("/calls")
