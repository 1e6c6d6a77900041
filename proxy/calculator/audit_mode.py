"""The audit page's own figures, to the digit, beside what is said here, and why they differ."""

from __future__ import annotations

import tomllib
from functools import cache
from html import escape
from importlib import resources
from typing import Any, Final

from estimator import Estimate, Range
from estimator.audit import (
    AuditModel,
    at_scale,
    audit_models,
    calculator,
    conversation,
    parameters,
    printed,
    printed_by_script,
    printed_short,
)
from estimator.carbon import operational_grams
from estimator.deployments import find_gpu
from estimator.equivalences import Equivalence, count, equivalences
from estimator.fits import constants, find_fit
from estimator.units import JOULES_PER_KWH
from proxy.calculator.asked import Asked
from proxy.calculator.drawing import Drawing, table
from proxy.calculator.words import DAYS, SMALL, banded, ends, many, middle, rounded
from proxy.reports.figures import UNKNOWN, digits, dollars

IN, OUT = 2_000, 1_000  # tokens of the page's conversation
TOKENS: Final = 2_048  # where its calculator's slider stands
QUERIES: Final = 1_000
_LARGE: Final = "claude-opus-4"  # the model its scale view and comparisons are of
_DRAWN: Final = "gpt-4o"  # the model its calculator shows
_CENT: Final = 0.001  # dollars below which the page prints no figure
_CENTS: Final = 0.01  # dollars below which it prints four decimals


def audit_section(draw: Drawing, *, is_open: bool) -> str:
    """Draw what the page says beside what is said here; the same for every call but for its first table."""
    return (
        f'<section><details id="audit"{" open" if is_open else ""}>'
        "<summary><h2>Beside the audit page</h2></summary>"
        "<p>This calculator grew out of a page, “what a conversation costs”. Here are its figures as it prints them, "
        "what the same calls take by the estimates of this page, and why they differ. Its method: 2·P FLOPs for every "
        "token, 0.21 pJ for every FLOP, no batch, no memory, no band.</p>"
        f"{_live(draw)}{_tables()}</details></section>"
    )


def _live(draw: Drawing) -> str:
    rows = [
        (title, draw.text(f"page.{name}"), draw.text(f"call.{name}"), draw.text(f"page.{name}.apart"))
        for name, title in (("flops", "Compute"), ("joules", "Energy"), ("grams_co2e", "CO₂e"))
    ]
    return table(
        "The call above, by its method", "by-its-method", ("", "The page's", "Here", "Here, of the page's"), rows
    )


@cache
def _tables() -> str:
    return "".join(
        (_conversations(), _carbon(), _machine(), _calculator(), _parts(), _scale(), _comparisons(), _differences())
    )


@cache
def _here(model: str, n_in: int = IN, n_out: int = OUT) -> Estimate:
    return Asked(model=model, input=n_in, output=n_out).estimate()


def _said(value: Range | None, unit: str) -> str:
    """Write a figure of ours over its band."""
    if value is None:
        return UNKNOWN
    return f'{escape(rounded(value, unit))}<span class="note">{escape(banded(value, unit))}</span>'


def _dollars(made: Estimate) -> str:
    """Write dollars of ours, and why there are none."""
    why = made.reasons.get("cost_usd", "")
    note = f"<details><summary>why</summary>{escape(why)}</details>" if why else ""
    return escape(dollars(made.cost_usd)) + note


def printed_dollars(value: float) -> str:
    """Write a conversation's dollars as the page's table does."""
    if value < _CENT:
        return f"<${_CENT:g}"
    return "$" + printed(value, 4 if value < _CENTS else 3)


def _page(model: AuditModel, grid: str = "global") -> Any:
    return conversation(model.active_params, IN, OUT, parameters()["static"]["grids"][grid], model)


def _conversations() -> str:
    rows = []
    for name, model in audit_models().items():
        token = conversation(model.active_params, 1, 0, 1.0, model)
        page, made = _page(model), _here(name)
        card = None if made.profile is None else made.profile.card
        ours = UNKNOWN if card is None or card.active_params is None else _billions(*card.active_params)
        rows.append(
            (
                f'{escape(model.name)}<span class="note">{model.active_params / 1e9:g} B; here {ours} B active</span>',
                f"{printed(token.flops / 1e9, 0)} GFLOP",
                f"{printed(token.joules * 1000, 1)} mJ",
                f"{printed(page.joules, 2)} J",
                _said(made.joules, "J"),
                "–" if page.cost_usd is None else escape(printed_dollars(float(page.cost_usd))),
                _dollars(made),
            )
        )
    return table(
        "A conversation of 2,000 and 1,000 tokens",
        "conversations",
        (
            "",
            "FLOPs a token, the page's",
            "Energy a token, the page's",
            "Energy, the page's",
            "Energy, here",
            "Dollars, the page's",
            "Dollars, here",
        ),
        rows,
        "Its parameters of closed models have no source. Here they are ranges with one, and the machine is unknown.",
    )


def _billions(low: float, high: float) -> str:
    return f"{low / 1e9:g}" if low == high else f"{low / 1e9:g} to {high / 1e9:g}"


def _carbon() -> str:
    grids = parameters()["static"]["grids"]
    rows = []
    for name, model in audit_models().items():
        made, cells = _here(name), []
        for grid, factor in grids.items():
            cells.append(f"{printed_short(_page(model, grid).grams_co2e * 1000)} mg")
            grams = None if made.joules is None else made.joules * operational_grams(1.0, factor)
            cells.append(_said(None if grams is None else grams.widened(*constants()["bands"]["grid_hourly"]), "g"))
        rows.append((escape(model.name), *cells))
    columns = [""]
    for grid, factor in grids.items():
        columns += [f"{grid.capitalize()}, {factor:g} g/kWh, the page's", "here"]
    return table("CO₂e of that conversation on its three grids", "three-grids", columns, rows)


def _calculator() -> str:
    model, made = audit_models()[_DRAWN], _here(_DRAWN, TOKENS, 0)
    one = calculator(model.active_params, TOKENS, model.input_usd or parameters()["models"][_DRAWN]["input"])
    shares = {part.name: part.share for part in made.flops_parts}
    grams = made.grams_co2e
    thousand = None if made.joules is None else many(made.joules, QUERIES)
    mass = None if grams is None else many(grams, QUERIES)
    cost = made.cost_usd
    rows = [
        ("FLOPs of a token", f"{printed(one.parameter_flops_per_token / 1e9, 2)} GFLOP", _per_token(made)),
        (
            "Attention of a position",
            f"{printed(one.attention_flops_per_position / 1e9, 2)} GFLOP",
            "causal: half of that",
        ),
        (
            "Its share",
            f"{printed(100 * one.attention_share, 1)} %, the rest {printed(100 * (1 - one.attention_share), 1)} %",
            f"{100 * shares['attention']:.1f} %",
        ),
        ("FLOPs of a query", f"{printed(one.flops / 1e12, 2)} TFLOP", _said(made.flops, "FLOP")),
        ("Energy", f"{printed(one.joules / 1e3, 2)} kJ", _said(made.joules, "J")),
        ("CO₂e", f"{printed(one.grams_co2e, 2)} g", _said(grams, "g")),
        ("Dollars", f"${printed(float(one.cost_usd), 4)}", escape(dollars(cost))),
        ("Energy of 1,000", f"{printed(one.joules * QUERIES / 1e3, 2)} kJ", _said(thousand, "J")),
        ("CO₂e of 1,000", f"{printed(one.grams_co2e * QUERIES / 1e3, 2)} kg", _said(mass, "g")),
        (
            "Dollars of 1,000",
            f"${printed(float(one.cost_usd * QUERIES), 2)}",
            escape(dollars(None if cost is None else cost * QUERIES)),
        ),
        ("Phone charges of 1,000", printed(one.phone_charges * QUERIES, 1), _like("phone_charge", thousand, mass)),
        ("Hours of an LED of 1,000", printed(one.led_hours * QUERIES, 1), _like("led_hour", thousand, mass)),
        ("Kilometers by car of 1,000", printed(one.car_km * QUERIES, 2), _like("car_km", thousand, mass)),
    ]
    return table(
        "Its calculator: GPT-4o, 2,048 tokens in, none out",
        "its-calculator",
        ("", "The page's", "Here"),
        rows,
        "Its calculator reckons with 0.7 nJ per FLOP, 3,333 times its tables' figure, and with 400 g/kWh.",
    )


def _machine() -> str:
    gpu, fit = find_gpu("H100"), find_fit()
    said = _data()["printed"]
    rows = [
        ("Power of an H100", said["tdp"], f"{gpu.tdp_w:g} W at most; drawn by time, arithmetic and traffic"),
        (
            "Its peak in 16 bits",
            said["peak"],
            f"{gpu.bf16_flops / 1e12:g} TFLOP/s dense, {fit.eta_comp:.0%} of it reached",
        ),
        (
            "Its memory",
            said["memory"],
            f"{gpu.bandwidth / 1e12:g} TB/s, HBM3, {fit.reached(gpu.bandwidth) / gpu.bandwidth:.0%} of it reached",
        ),
        ("PUE", said["pue"], "each operator's, or yours"),
    ]
    return table("Its machine", "its-machine", ("", "The page's", "Here"), rows)


def _per_token(made: Estimate) -> str:
    card = None if made.profile is None else made.profile.card
    if card is None or card.active_params is None:
        return UNKNOWN
    low, high = card.active_params
    return f"{digits(2 * low / 1e9)} to {digits(2 * high / 1e9)} GFLOP"


def _like(name: str, joules: Range | None, grams: Range | None) -> str:
    found = count(next(like for like in equivalences() if like.id == name), joules=joules, grams=grams)
    if found is None:
        return UNKNOWN
    return f'{middle(found)}<span class="note">{ends(found)}</span>'


def _parts() -> str:
    listed = _data()["printed"]
    shares = {part.name: part.share for part in _here(_DRAWN, TOKENS, 0).flops_parts}
    rows = [
        (escape(name), f"{share:.1f} %", f"{100 * shares[here]:.1f} %")
        for (name, share), here in zip(listed["parts"], listed["parts_here"], strict=True)
    ]
    rows.append(
        ("Together", f"{sum(share for _, share in listed['parts']):.1f} %", f"{100 * sum(shares.values()):.1f} %")
    )
    return table("Its forward pass", "its-forward-pass", ("", "The page's", "Here"), rows)


def _scale() -> str:
    model, made = audit_models()[_LARGE], _here(_LARGE)
    year = at_scale(_page(model))
    calls = parameters()["scale"]["conversations_per_day"] * DAYS
    joules = None if made.joules is None else many(made.joules, calls)
    grams = None if made.grams_co2e is None else many(made.grams_co2e, calls)
    cost = made.cost_usd
    homes = None if joules is None else joules / (parameters()["scale"]["home_mwh_per_year"] * 1000 * JOULES_PER_KWH)
    rows = [
        ("Energy of a year", f"{printed(year.annual_mwh, 0)} MWh", _said(joules and joules / 3600, "Wh")),
        (
            "Homes in the USA",
            f"~{printed(year.homes, 0)}",
            UNKNOWN if homes is None else ends(homes),
        ),
        ("CO₂e of a year", f"{printed(year.annual_tonnes_co2e, 0)}t", _said(grams, "g")),
        (
            "Dollars of a year",
            UNKNOWN if year.annual_usd is None else f"${printed(year.annual_usd / 1e6, 1)}M",
            escape(dollars(None if cost is None else cost * calls)),
        ),
        (
            "Dollars of one user's year",
            UNKNOWN if year.user_usd is None else f"${printed_by_script(year.user_usd, 2)}",
            escape(dollars(None if cost is None else cost * DAYS)),
        ),
    ]
    return table(
        "At its scale: Claude Opus 4, a million conversations a day", "its-scale", ("", "The page's", "Here"), rows
    )


def _comparisons() -> str:
    large, small = audit_models()[_LARGE], audit_models()[SMALL]
    one, other = _page(large), _page(small)
    year, made, little = at_scale(one), _here(_LARGE), _here(SMALL)
    ratio = UNKNOWN
    if made.joules is not None and little.joules is not None:
        ratio = f"{digits(made.joules.mid / little.joules.mid, 2)} times, middle against middle"
    dearer = "" if one.cost_usd is None or other.cost_usd is None else printed(float(one.cost_usd / other.cost_usd), 0)
    grids = parameters()["static"]["grids"]
    rows = [
        ("Conversations per phone charge", printed(year.per_phone_charge, 0), _per("phone_charge", made)),
        ("Conversations per kettle", printed(year.per_kettle, 0), _per("kettle", made)),
        ("Claude Opus 4 over Llama 3.1 8B, energy", f"{printed(one.joules / other.joules, 0)}x", ratio),
        ("The same, dollars", f"{dearer}x", "an open model's price depends on who sells it"),
        (
            "“Global” over “green” grid",
            f"{printed(grids['global'] / grids['green'], 0)}x",
            f"{grids['global'] / grids['green']:.2f}",
        ),
        (
            "A Google search",
            f"{printed(_search().joules_or_grams / 1e3, 1)} kJ",
            f"said in {_search().year}; what one takes today is not known",
        ),
        (
            "A system prompt of 2,000 tokens",
            f"{printed(conversation(large.active_params, IN, 0, 1.0).flops / 1e12, 0)} TFLOP",
            _said(_here(_LARGE, IN, 0).flops, "FLOP"),
        ),
    ]
    return table("Its comparisons", "its-comparisons", ("", "The page's", "Here"), rows)


def _search() -> Equivalence:
    return next(like for like in equivalences() if like.id == "google_search")


def _per(name: str, made: Estimate) -> str:
    found = count(next(like for like in equivalences() if like.id == name), joules=made.joules, grams=made.grams_co2e)
    if found is None:
        return UNKNOWN
    each = Range(1 / found.high, 1 / found.mid, 1 / found.low)
    return f'{middle(each)}<span class="note">{ends(each)}</span>'


def _differences() -> str:
    rows = [
        (str(number), escape(each["page"]), escape(each["here"]))
        for number, each in enumerate(_data()["difference"], start=1)
    ]
    drawn = table("Why they differ: its 33 inconsistencies", "differences", ("", "The page", "Here"), rows)
    return drawn.replace("<table>", '<table class="prose">', 1)


@cache
def _data() -> dict[str, Any]:
    return tomllib.loads(resources.files("proxy.calculator").joinpath("differences.toml").read_text())
