"""The calculator as a page: whole without JavaScript, with figures that its scripts keep up with the form.

Whatever the scripts change has its key in ``data-text``, ``data-bar`` or ``data-list``, see
:mod:`proxy.calculator.words`.
Every text from outside goes through ``escape``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from html import escape
from importlib import resources
from typing import Final

from estimator import Intensity, facts_version
from estimator.audit import parameters
from estimator.equivalences import equivalences
from estimator.facts import sources
from estimator.grid import WORLD, grid
from estimator.units import JOULES_PER_WH
from proxy.calculator.asked import Asked
from proxy.calculator.audit_mode import audit_section
from proxy.calculator.drawing import Drawing, table
from proxy.calculator.form import form
from proxy.calculator.own import Own
from proxy.calculator.words import SMALL, words

_PARTS: Final = (
    ("Embedding", "a lookup; 2·P counts its table where it is a table of its own"),
    ("QKV projections", "2·L·d·(h + 2·h_kv)·d_h, narrower for grouped queries, low-rank for latent attention"),
    ("Attention", "4·h·d_h for each pair of tokens and layer, causal, within the layer's window"),
    ("Output projection", "2·L·h·d_h·d"),
    ("Feed-forward", "what 2·P leaves: of experts the active ones"),
    ("Norms", "2·(2·L + 1)·d"),
    ("Unembedding", "2·d·vocabulary"),
)
_HOW: Final = {
    "flops": (
        "Two FLOPs for each active parameter and token that is computed, and attention: four for each pair of tokens, "
        "head width and layer that sees them. Cached tokens are not computed again. Source: Kaplan et al. 2020, and "
        "the model's published shape; the band is the range of a closed model's active parameters."
    ),
    "joules": (
        "{how.basis}: the accelerators take {how.gpu}, the servers with host and idle reserve {how.servers}, the "
        "facility that times a PUE of {how.pue}. {how.rest}"
    ),
    "grams_co2e": ("The facility's energy in kWh times {how.per_kwh} of CO₂e{how.grid}"),
    "liters": (
        "The servers' energy in kWh times {how.on_site} that evaporate on site, and times PUE and {how.off_site} that "
        "the power plants take: operators' reports, World Resources Institute. Milliliters a call, liters a kWh."
    ),
    "embodied_grams_co2e": (
        "The making of the hardware: {how.embodied} for each second of one accelerator, its share of the server "
        "included, over 4 years at 60 % of the time. NVIDIA's product carbon footprint, EcoLogits. Beside the CO₂e of "
        "operation, not in it."
    ),
    "market_grams_co2e": (
        "The same energy with what the operator's contracts say, where it publishes that. Beside the location-based "
        "figure, never added to it."
    ),
    "cost_usd": "Tokens times the list price of the day the list was checked, exact; cached tokens at their own rate.",
}
_LEVERS: Final = {
    "model": ("{small} in its place", "where the small model is good enough; nobody else can judge that"),
    "output": ("Half the output", "the prompt is still read: not half of it all"),
    "cache": ("Nine tenths of the input from a cache", "spares the reading; its memory is still read for every token"),
    "batch": ("32 calls decoded together, in the place of one", "weights are read once for all of them"),
    "fp8": ("Weights in 8 bits, in the place of 16", "measured: more energy at small batches, less at large ones"),
    "int4": ("Weights in 4 bits, in the place of 16", "spares traffic, no arithmetic"),
    "draft": ("Four tokens drafted a step by a small model", "modelled, not validated; 70 % of them kept"),
    "grid": ("Electricity of Sweden, in the place of the world's mean", "the same energy"),
}


def page(
    asked: Asked,
    *,
    mode: str,
    head: str,
    heading: str,
    scripts: str,
    audit: bool = False,
    own: Own | None = None,
    hours: Sequence[Intensity] = (),
) -> str:
    """Draw the page; ``mode`` is ``served`` or ``file``, the others are HTML.

    ``head`` is its style, ``heading`` what stands over it, ``scripts`` what keeps it up to date.
    """
    draw = Drawing(words(asked, own))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
{head}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>What a call takes · Joulegate</title>
</head>
<body data-mode="{mode}">
<a class="skip" href="#one">Skip to the figures</a>
<header>
{heading}
</header>
<main>
<div class="lead"><h1>What a call takes</h1></div>
<div class="calculator">
<div class="asking">
{_at_hand(draw)}
{form(asked, served=mode == "served", own=own, hours=hours)}
</div>
<div class="results">
<p id="status" role="status" class="status"></p>
<section aria-labelledby="one">
<h2 id="one">One call <small>{draw.text("mark", "tier")} {draw.text("tier")}</small></h2>
{_tiles(draw)}
<p class="own">{draw.text("own")}</p>
</section>
<section>
{_scale(draw)}
</section>
<section aria-labelledby="parts">
<h2 id="parts">Where the FLOPs go <small>one forward pass, in shares of the call's FLOPs</small></h2>
{_parts(draw)}
</section>
<section>
{_grids(draw)}
</section>
<section>
{_likes(draw)}
</section>
<section>
{_levers(draw)}
</section>
<section aria-labelledby="basis">
<h2 id="basis">What this rests on</h2>
<h3>Taken for granted</h3>
{draw.items("assumptions")}
<h3>Not known</h3>
{draw.items("unknown")}
<h3>Sources</h3>
{draw.items("sources")}
</section>
{audit_section(draw, is_open=audit)}
</div>
</div>
</main>
<footer>
<p>Estimates, each with the band that holds the truth with 90 % probability; dollars are list prices. What is not
known is said, never 0. Method and sources: docs/methodology of Joulegate. Facts {facts_version()}.</p>
</footer>
{scripts}
</body>
</html>
"""


@cache
def mark() -> str:
    """Return the mark of the product, drawn in place."""
    drawn = resources.files("proxy").joinpath("console/static/mark.svg").read_text()
    return drawn.strip().replace("<svg ", '<svg width="22" height="22" aria-hidden="true" ', 1)


def _at_hand(draw: Drawing) -> str:
    """Draw the figures that stay in sight above a form that fills a narrow screen, and lead to all of them."""
    words = (("joules", ""), ("grams_co2e", " CO₂e"), ("liters", " water"), ("cost_usd", ""))
    texts = " ".join(f"<span>{draw.text(f'call.{name}')}{unit}</span>" for name, unit in words)
    return f'<a class="hand" href="#one">{texts}</a>'


def _tiles(draw: Drawing) -> str:
    titles = (
        ("joules", "Energy"),
        ("grams_co2e", "CO₂e"),
        ("liters", "Water"),
        ("cost_usd", "Dollars"),
        ("flops", "Compute"),
        ("embodied_grams_co2e", "CO₂e of the hardware"),
        ("market_grams_co2e", "CO₂e by contract"),
    )
    return f'<dl class="headlines">{"".join(_tile(draw, name, title) for name, title in titles)}</dl>'


def _tile(draw: Drawing, name: str, title: str) -> str:
    key = f"call.{name}"
    before = draw.text("call.wh") if name == "joules" else ""
    whisker = "" if name == "cost_usd" else f'<dd class="rule">{draw.whisker(key)}</dd>'
    return (
        f"<div><dt>{title}</dt><dd>{draw.text(key)}</dd>{whisker}"
        f'<dd class="note">{before}{draw.text(f"{key}.band")}</dd>'
        f'<dd class="note"><details><summary>How</summary>{draw.sentence(_HOW[name])}</details></dd></div>'
    )


def _scale(draw: Drawing) -> str:
    rows = [
        (title, *(draw.banded(f"{span}.{name}") for span in ("day", "year", "user")))
        for name, title in (("joules", "Energy"), ("grams_co2e", "CO₂e"), ("liters", "Water"))
    ]
    rows.append(("Dollars", *(draw.text(f"{span}.cost_usd") for span in ("day", "year", "user"))))
    return table(
        "At scale",
        "scale",
        ("", "All calls of a day", "Of a year", "One call a day, for a year"),
        rows,
        "What is unknown of a model's machines is the same for all of its calls and adds up; the rest evens out.",
    )


def _parts(draw: Drawing) -> str:
    pieces = "".join(draw.bar(f"part.{number}", f"p{number}", 14) for number in range(len(_PARTS)))
    rows = "".join(
        f'<li><span class="swatch p{number}" aria-hidden="true"></span><span>{name}'
        f'<span class="note">{formula}</span></span><b>{draw.text(f"part.{number}")}</b></li>'
        for number, (name, formula) in enumerate(_PARTS)
    )
    return (
        '<svg class="parts" viewBox="0 0 100 14" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="rail" width="100" height="14"/>{pieces}</svg><ol class="parts">{rows}</ol>'
        f"<p>Together {draw.text('parts.sum')}. Longer inputs make attention's share larger.</p>"
    )


def _grids(draw: Drawing) -> str:
    factors = {"world": grid(WORLD).grams_per_kwh} | parameters()["static"]["grids"]
    rows = [(draw.text("grid.place"), draw.text("grid.place.factor"), draw.banded("grid.place.grams"))]
    rows += [
        (title, f"{factors[name]:.3g} g/kWh", draw.banded(f"grid.{name}"))
        for name, title in (
            ("world", "The world"),
            ("global", "The audit page's “global average”"),
            ("hyperscaler", "Its “hyperscaler”"),
            ("green", "Its “green data center”"),
        )
    ]
    return table("The same call on other grids", "grids", ("Grid", "CO₂e per kWh", "CO₂e of one call"), rows)


def _likes(draw: Drawing) -> str:
    rows = []
    for like in equivalences():
        amount = (
            f"{like.joules_or_grams / JOULES_PER_WH:,g} Wh"
            if like.of == "energy"
            else f"{like.joules_or_grams:g} g CO₂e"
        )
        said = f"{amount} each. {sources()[like.source].name}, {like.year}" + (f"; {like.note}" if like.note else "")
        name = f'{escape(like.name[:1].upper() + like.name[1:])}<span class="note">{escape(said)}</span>'
        rows.append((name, draw.banded(f"like.{like.id}"), draw.banded(f"like.{like.id}.day")))
    return table("What that is like", "likes", ("", "One call", "All calls of a day"), rows)


def _levers(draw: Drawing) -> str:
    rows = [
        (
            f'{escape(title.replace("{small}", SMALL))}<span class="note">{escape(note)}</span>',
            *(draw.text(f"lever.{name}.{what}") for what in ("joules", "grams_co2e", "cost_usd")),
        )
        for name, (title, note) in _LEVERS.items()
    ]
    return table(
        "What would change it",
        "levers",
        ("", "Energy", "CO₂e", "Dollars"),
        rows,
        "Middle against middle of two estimates, for the call above.",
    )
