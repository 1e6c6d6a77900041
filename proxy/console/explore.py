"""Dollars, joules, grams and liters by whatever calls are told apart by; every value leads to what it is made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from html import escape

from sqlalchemy import Connection
from starlette.datastructures import QueryParams

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
from proxy.console.marks import estimate, name, note, value
from proxy.console.tables import lacking, tokens
from proxy.ledger.read import DIMENSIONS, TIME_DIMENSIONS, Totals
from proxy.ledger.sources import FEW
from proxy.reports.charts import Bar, bars, lines
from proxy.reports.figures import count, dollars, quantity, scale
from proxy.reports.period import Period, QuestionError
from proxy.reports.split import Split, split
from proxy.reports.statement import DAYS_DRAWN, every_day

PATH = "/explore"
ROWS_SHOWN = 200
LINES_DRAWN = 12  # of bars that lie; the table has more
_ORDER = ("team", "model", "provider", "zone", "day")  # what is asked for next, where a value is looked into


@dataclass(frozen=True, slots=True)
class Measure:
    """What is drawn and what decides the order; ``column`` is of Totals, ``unknown`` counts the calls without it."""

    title: str
    column: str
    unit: str
    unknown: str | None
    method: str


MEASURES = {
    "dollars": Measure(
        "Dollars", "cost_usd", "USD", "unpriced_calls",
        "Tokens times the dated list price of the provider, exact to the last digit. Discounts, credits and taxes are"
        " not in it. Calls without a known price are left out and counted.",
    ),
    "energy": Measure(
        "Energy", "joules", "J", "energy_unknown_calls",
        "An estimate at the facility's meter, servers and cooling included, from tokens, the model's size and the"
        " hardware it runs on. The range is 90 %.",
    ),
    "carbon": Measure(
        "CO₂e", "grams_co2e", "g", "carbon_unknown_calls",
        "Energy times the grams per kWh of the zone's electricity, location-based, its life cycle included. The range"
        " is 90 %.",
    ),
    "water": Measure(
        "Water", "liters", "L", "water_unknown_calls",
        "Water consumed by cooling on site and by the power plants of the zone, estimated from energy.",
    ),
    "compute": Measure(
        "Compute", "flops", "FLOP", "energy_unknown_calls",
        "Floating-point operations of prefill and decode, from tokens and the model's shape, estimated.",
    ),
    "calls": Measure("Calls", "calls", "", None, "Attempts at a provider, and calls that were turned away."),
}  # fmt: skip


def page_body(connection: Connection, asked: Asked, now: datetime) -> str:
    """Draw the page; raises QuestionError. Of the ledger its sums alone are read."""
    if asked.measure not in MEASURES:
        raise QuestionError(f"measure={asked.measure!r}: choose from {', '.join(MEASURES)}")
    asked, period = of_sums(asked, now)
    found = split(connection, asked.by, period, where=asked.where)
    measure = MEASURES[asked.measure]
    head = f"{_form(asked, period)}{period_links(asked, PATH, now)}{chosen(asked, PATH)}"
    if not found.total.calls:
        return f"{head}{_nothing(asked)}"
    return (
        f"{head}<h2>{escape(measure.title)} <small>{escape(period.title())}</small></h2>"
        f"{_drawn(asked, measure, _first(connection, asked, period, found))}{_table(asked, measure, found)}"
        f"<details class='method'><summary>How {escape(measure.title)} is made</summary><p>{escape(measure.method)}</p>"
        '<p>Facts of each model, price and grid, with their sources: <a href="/facts">Facts</a>.</p></details>'
    )


def _first(connection: Connection, asked: Asked, period: Period, found: Split) -> Sequence[Totals]:
    """Give the sums by what the chart is of, the first of the dimensions."""
    groups = found.groups if len(asked.by) == 1 else split(connection, asked.by[:1], period, where=asked.where).groups
    return every_day(groups, period) if asked.by[:1] == ("day",) else groups


def question(query: QueryParams) -> Asked:
    """Read an address; raises QuestionError."""
    return asked_of(query, by=("team",), measure="dollars")


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
        + field("is", "is", "", hint="a value, or nothing")
        + '<button type="submit">Show</button></form>'
    )


def _nothing(asked: Asked) -> str:
    wider = "Choose another period" + (", or take a condition away with its ×" if asked.where else "")
    told = f'<p>{wider}. <a href="/">Live</a> says how to send one.</p>'
    return f'<section class="empty"><h2>No calls there</h2>{told}</section>'


def _number(measure: Measure, group: Totals) -> float | None:
    found = getattr(group, measure.column)
    return None if found is None else float(found)


def _written(measure: Measure, group: Totals) -> str:
    if measure.column == "cost_usd":
        return dollars(group.cost_usd)
    return count(group.calls) if measure.column == "calls" else quantity(_number(measure, group), measure.unit)


def _ranked(asked: Asked, measure: Measure, groups: Sequence[Totals]) -> list[Totals]:
    """Put the largest first, time in its order."""
    ranked = sorted((each for each in groups if each.calls), key=lambda each: -(_number(measure, each) or 0))
    times = [place for place, dimension in enumerate(asked.by) if dimension in TIME_DIMENSIONS]
    return sorted(ranked, key=lambda each: [each.key[place] or "" for place in times])


def _drawn(asked: Asked, measure: Measure, groups: Sequence[Totals]) -> str:
    over_time = asked.by[0] in TIME_DIMENSIONS
    if len(groups) < 2 or (over_time and len(groups) > DAYS_DRAWN):
        return ""
    alone = replace(asked, by=asked.by[:1])
    ordered = sorted(groups, key=lambda each: each.key[0] or "") if over_time else _ranked(alone, measure, groups)
    shown = ordered if over_time else ordered[:LINES_DRAWN]
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
            said=f"{each.key[0] or 'none'}: {_written(measure, each)}",
        )
        for each in shown
    ]
    title = f"{measure.title} by {asked.by[0]}"
    more = [
        *(["The line on a bar is its 90 % range."] if banded else []),
        *([f"Drawn are the largest {len(shown)} of {len(ordered):,}."] if len(shown) < len(ordered) else []),
    ]
    chart = (bars if over_time else lines)(title, unit or "calls", whole)
    return f"<figure tabindex='0'>{chart}<figcaption>{' '.join(more)}</figcaption></figure>"


def _table(asked: Asked, measure: Measure, found: Split) -> str:
    ranked = _ranked(asked, measure, found.groups)
    peak = max((each.cost_usd for each in [*ranked, found.total] if each.cost_usd is not None), default=None)
    titles = "".join(
        f'<th scope="col" class="key">{escape(each.replace("_", " ").capitalize())}</th>' for each in asked.by
    )
    figures = "".join(
        f'<th scope="col"{_minor(key)}>{title}</th>'
        for key, title in (
            ("calls", "Calls"),
            ("tokens", "Tokens"),
            *((k, m.title) for k, m in MEASURES.items() if k != "calls"),
        )
    )

    def row(group: Totals) -> str:
        keys = "".join(
            f'<th scope="row">{_look_into(asked, dimension, each)}</th>'
            for dimension, each in zip(asked.by, group.key, strict=True)
        )
        return f"<tr>{keys}{_figures(group, peak, _calls_link(asked, group))}</tr>"

    more = len(ranked) - ROWS_SHOWN
    told = ""
    if more > 0:
        csv = replace(asked, measure="").link("/api/reports/cost", format="csv")
        told = f'<p class="soft">{more:,} more rows: <a href="{csv}">all of them as CSV</a>.</p>'
    whole = _figures(found.total, peak, replace(asked, by=(), measure="").link("/calls"))
    total = f'<tr><th scope="row" colspan="{len(asked.by)}">All</th>{whole}</tr>'
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Figures"><table class="figures">'
        f"<thead><tr>{titles}{figures}</tr></thead><tbody>{''.join(map(row, ranked[:ROWS_SHOWN]))}</tbody>"
        f"<tfoot>{total}</tfoot></table></div>{told}"
    )


def _figures(group: Totals, peak: Decimal | None, calls: str) -> str:
    def left_out(number: int, known: object, what: str) -> str:
        return note(lacking(number, group.calls, what)) if known is not None else ""

    cells = (
        ("calls", f'<a href="{calls}">{count(group.calls)}</a>'),
        ("tokens", value(count(tokens(group.input_tokens, group.output_tokens)))),
        (
            "dollars",
            value(dollars(group.cost_usd, peak)) + left_out(group.unpriced_calls, group.cost_usd, "unpriced"),
        ),
        (
            "energy",
            estimate(group.joules_low, group.joules, group.joules_high, "J")
            + left_out(group.energy_unknown_calls, group.joules, "unknown"),
        ),
        (
            "carbon",
            estimate(group.grams_co2e_low, group.grams_co2e, group.grams_co2e_high, "g")
            + left_out(group.carbon_unknown_calls, group.grams_co2e, "unknown"),
        ),
        (
            "water",
            value(quantity(group.liters, "L")) + left_out(group.water_unknown_calls, group.liters, "unknown"),
        ),
        ("compute", value(quantity(group.flops, "FLOP"))),
    )
    return "".join(f"<td{_minor(key)}>{content}</td>" for key, content in cells)


def _minor(key: str) -> str:
    return ' class="minor"' if key in ("tokens", "compute", "water") else ""


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
