"""What the estimates stand on: models, prices and grids with their sources, and what one's own traffic lacks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import cache
from html import escape
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.datastructures import QueryParams

from estimator import ModelCard, facts_version, known_models, known_zones, resolve, sources
from estimator.grid import grid
from estimator.price import Price, every_price, price_lists
from proxy.console.asking import field, select
from proxy.console.marks import name, note
from proxy.ledger.read import Totals
from proxy.reports.figures import UNKNOWN, count, digits
from proxy.reports.period import QuestionError, month_of, zone_named
from proxy.reports.split import split

PATH = "/facts"
ROWS_SHOWN = 100
KINDS = {
    "models": "Models",
    "prices": "Prices",
    "grids": "Grids",
    "missing": "What is missing",
    "sources": "Sources",
}


def page_body(connection: Connection, query: QueryParams, now: datetime) -> str:
    """Draw the page; raises QuestionError. Of the ledger its sums alone are read."""
    kind, wanted = query.get("show") or "models", query.get("q", "").strip()
    if kind not in KINDS:
        raise QuestionError(f"show={kind!r}: choose from {', '.join(KINDS)}")
    start = query.get("start", "0")
    if not (start.isascii() and start.isdigit() and len(start) < 8):
        raise QuestionError(f"start={start[:20]!r}: give a whole number")
    form = (
        f'<form class="ask" method="get" action="{PATH}">{select("Show", "show", list(KINDS.items()), kind)}'
        f"{field('Search', 'q', wanted, kind='search', hint='gpt-4o, groq, France')}"
        '<button type="submit">Show</button></form>'
    )
    titles, rows = _MAKE[kind](connection, now)
    words = wanted.casefold().split()
    found = [row for row in rows if all(word in row.found_by for word in words)]
    shown = found[int(start) : int(start) + ROWS_SHOWN]
    if not shown:
        return f"{form}{_nothing(kind, wanted)}"
    heads = "".join(f'<th scope="col">{each}</th>' for each in titles)
    body = "".join(row.drawn(titles) for row in shown)
    return (
        f"{form}<h2>{KINDS[kind]} <small>{count(len(found))}, facts {facts_version()}</small></h2>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="{KINDS[kind]}"><table class="words cards">'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
        f"{_further(kind, wanted, int(start), len(found))}"
    )


class Row:
    """A row: what it is found by, and its cells. The first cell names it."""

    def __init__(self, *cells: tuple[str, str]) -> None:
        self.found_by = " ".join(text for text, _ in cells).casefold()
        self.cells = tuple(shown for _, shown in cells)

    def drawn(self, titles: Sequence[str]) -> str:
        """Draw it; on a narrow screen a row is a card, and each cell has its title beside it."""
        first, *rest = self.cells
        cells = (f'<td data-title="{escape(title)}">{each}</td>' for title, each in zip(titles[1:], rest, strict=True))
        return f'<tr><th scope="row">{first}</th>{"".join(cells)}</tr>'


def _text(text: str, below: str = "") -> tuple[str, str]:
    return f"{text} {below}", escape(text) + note(below)


def _cited(source: str) -> tuple[str, str]:
    """Name a source with the day when somebody last looked."""
    found = sources().get(source)
    if found is None:
        return _text(source)
    link = f'<a href="{escape(found.url)}" rel="noreferrer">{escape(found.name)}</a>'
    return f"{source} {found.name}", f"{link}{note(f'checked {found.checked}, {found.licence}')}"


def _nothing(kind: str, wanted: str) -> str:
    if kind == "missing" and not wanted:
        words = "No model of this month's calls lacks a price or an estimate."
        return f'<section class="empty"><h2>Nothing is missing</h2><p>{words}</p></section>'
    words = "Search for less of the name. A model, price or grid of your own is added by a data file."
    return f'<section class="empty"><h2>Nothing of that name</h2><p>{words}</p></section>'


def _further(kind: str, wanted: str, start: int, whole: int) -> str:
    def link(place: int, rel: str, words: str) -> str:
        query = escape(urlencode({"show": kind, "q": wanted, "start": place}))
        return f'<a href="{PATH}?{query}" rel="{rel}">{words}</a>'

    links = [
        *([link(max(0, start - ROWS_SHOWN), "prev", "Back")] if start else []),
        *([link(start + ROWS_SHOWN, "next", "Further")] if start + ROWS_SHOWN < whole else []),
    ]
    return f'<p class="further">{" · ".join(links)}</p>' if links else ""


Table = tuple[Sequence[str], Iterable[Row]]


@cache
def _models() -> Table:
    cards = (card for each in sorted(known_models()) if (card := resolve(each)) is not None)
    titles = ("Model", "Maker", "Parameters", "Active per token", "Evidence", "Source")
    return titles, [
        Row(
            _text(card.id),
            _text(card.maker),
            _text(_billions(card.total_params)),
            _text(_billions(card.active_params)),
            _text(*_evidence(card)),
            _cited(card.source),
        )
        for card in cards
    ]


def _evidence(card: ModelCard) -> tuple[str, str]:
    if card.total_params is None:
        return "no energy estimate", "nobody publishes a size"
    if card.weights == "closed":
        judged = "by its list price" if card.list_price is not None else "by the source"
        return "○ closed", f"its size is a range, judged {judged}"
    return (
        "◐ open weights",
        "shape checked against the published one" if card.verified else "size published by the maker",
    )


def _billions(span: tuple[float, float] | None) -> str:
    if span is None:
        return "not public"
    low, high = (digits(each / 1e9) for each in span)
    return f"{low}\u00a0B" if low == high else f"{low}–{high}\u00a0B"


@cache
def _prices() -> Table:
    titles = ("Model", "Provider", *(f"$/M {each}" for each in _RATES.values()), "Beside", "In force", "Source")
    return titles, [_price(price) for seller in sorted(price_lists()) for price in every_price(seller)]


_RATES = {"input": "input", "cached_input": "cached", "output": "output"}  # with a column of their own


def _price(price: Price) -> Row:
    def rate(bucket: str) -> str:
        steps = price.rates.get(bucket)
        return "–" if steps is None else f"{steps[0][1].scaleb(6).normalize():f}"

    def longer(bucket: str) -> str:
        steps = price.rates.get(bucket, ())[1:]
        return ", ".join(f"{each.scaleb(6).normalize():f} over {count(above)}" for above, each in steps)

    others = [f"{bucket.replace('_', ' ')} {rate(bucket)}" for bucket in price.rates if bucket not in _RATES]
    units = [f"{unit.replace('_', ' ')} ${each.normalize():f} each" for unit, each in price.units.items()]
    return Row(
        _text(price.model, f"tier {price.tier}" if price.tier else ""),
        _text(price.provider),
        *(_text(rate(bucket), longer(bucket)) for bucket in _RATES),
        _text(", ".join([*others, *units])),
        _text("no\u00a0date\u00a0stated" if price.valid_from is None else f"from {price.valid_from}"),
        _cited(price.source),
    )


@cache
def _grids() -> Table:
    titles = ("Zone", "Code", "g CO₂e per kWh, newest release", "Release of 2023, its year", "Liters per kWh", "Source")
    places = sorted((grid(each) for each in known_zones()), key=lambda each: each.name)
    return titles, [
        Row(
            _text(each.name),
            _text(each.zone),
            _text(digits(each.grams_per_kwh)),
            _text(
                "–" if each.grams_per_kwh_2023 is None else digits(each.grams_per_kwh_2023), f"{each.year_2023 or ''}"
            ),
            _text(
                UNKNOWN if each.liters_per_kwh is None else digits(each.liters_per_kwh),
                "the world's mean" if each.water_is_world else "",
            ),
            _cited(each.source),
        )
        for each in places
    ]


def _missing(connection: Connection, now: datetime) -> Table:
    """List the models of this month's calls that lack a price or an estimate, those with the most calls first."""
    period = month_of(f"{now:%Y-%m}", zone_named("UTC"))
    groups = split(connection, ("model", "provider"), period).groups
    lacking = sorted(
        (each for each in groups if each.unpriced_calls or each.energy_unknown_calls),
        key=lambda each: (-max(each.unpriced_calls, each.energy_unknown_calls), str(each.key)),
    )
    return ("Model", "Provider", "Calls", "Without a price", "Without an estimate", "What to do"), map(_lack, lacking)


def _lack(group: Totals) -> Row:
    model, provider = group.key
    query = [("by", "day"), ("where", f"model={model or ''}"), ("where", f"provider={provider or ''}")]
    calls = f'<a href="{escape(f"/explore?{urlencode(query)}")}">{count(group.calls)}</a>'
    to_do = [
        *(["state its price in a price list of your own"] if group.unpriced_calls else []),
        *(["add a model card, or say by an alias which model it is"] if group.energy_unknown_calls else []),
    ]
    return Row(
        (model or "", name(model)),
        (provider or "", name(provider)),
        ("", calls),
        _text(count(group.unpriced_calls)),
        _text(count(group.energy_unknown_calls)),
        _text("; ".join(to_do)),
    )


@cache
def _sources() -> Table:
    titles = ("Source", "Name", "Note")
    return titles, [Row(_text(each.id), _cited(each.id), _text(each.note)) for each in sources().values()]


_MAKE: dict[str, Callable[[Connection, datetime], Table]] = {
    "models": lambda connection, now: _models(),
    "prices": lambda connection, now: _prices(),
    "grids": lambda connection, now: _grids(),
    "missing": _missing,
    "sources": lambda connection, now: _sources(),
}
