"""The calculator's form: a field for whatever can be asked, which works without JavaScript by asking anew."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from itertools import groupby
from typing import Final

from estimator import Intensity
from estimator.deployments import PRECISIONS, known_gpus
from estimator.dollars import LOCAL
from estimator.grid import grid, known_zones
from proxy.calculator.asked import MOST_BATCH, MOST_CALLS, MOST_GRAMS, MOST_PUE, MOST_TOKENS, Asked
from proxy.calculator.own import Own
from proxy.calculator.tables import cards, providers

_COUNTS: Final = (1, 2, 4, 8, 16, 32, 64, 72)
_DRAFTS: Final = (1, 2, 3, 4, 5, 6, 8)
Option = tuple[str, str]  # its value and what it is called


def form(asked: Asked, *, served: bool, own: Own | None = None, hours: Sequence[Intensity] = ()) -> str:
    """Draw the form as filled in; where it is served, it can take a team's own traffic from the ledger."""
    gpus = [(gpu.name, gpu.name.replace("-", " ")) for gpu in known_gpus()]
    zones = sorted(((zone, grid(zone).name) for zone in known_zones()), key=lambda each: each[1])
    precisions = [(name, name) for name in PRECISIONS]
    counts = sorted({*_COUNTS, *([asked.n_gpus] if asked.n_gpus else [])})
    drafts = sorted({*_DRAFTS, *([asked.draft] if asked.draft else [])})
    listed = {*providers(), *LOCAL} if own is None else set(own.providers)
    sellers = sorted({*listed, *([asked.provider] if asked.provider else [])})
    traffic = (
        '<div class="field named" data-script hidden><label for="traffic">My own traffic</label>'
        '<select id="traffic"><option value="">choose a model of the last 30 days</option></select>'
        '<span class="note" id="traffic-note"></span></div>'
    )
    selling = _options(((name, name) for name in sellers), asked.provider, "its maker, where that sells it")
    number = _options(((str(each), str(each)) for each in counts), asked.n_gpus, "not known")
    drafted = _options(((str(each), str(each)) for each in drafts), asked.draft, "none")
    call = (
        traffic if served else "",
        _field("model", "Model", _models(asked, own)),
        _field("provider", "Sold by", selling),
        _counted("input", "Input tokens", asked.input, MOST_TOKENS),
        _counted("cached", "Of them from a cache", asked.cached, MOST_TOKENS),
        _counted("output", "Output tokens", asked.output, MOST_TOKENS),
        _counted("calls", "Calls a day", asked.calls, MOST_CALLS),
    )
    machine = (
        _field("gpu", "Accelerator", _options(gpus, asked.gpu, "not known")),
        _field("n_gpus", "How many for one model", number),
        _field("precision", "Weights kept as", _options(precisions, asked.precision, "as published")),
        _counted("batch", "Calls decoded together", asked.batch, MOST_BATCH, least=1, step="any", unstated="not known"),
        _field("draft", "Tokens drafted a step", drafted),
        _field("zone", "Electricity of", _options(zones, asked.zone, "where the seller is assumed to run")),
        _counted("grams", "Grams of CO₂e a kWh", asked.grams, MOST_GRAMS, step="any", unstated="of its year"),
        *map(_now, hours),
        _counted("pue", "PUE", asked.pue, MOST_PUE, least=1, step="any", unstated="operator's"),
    )
    anew = "/calculator" if served else "#"
    return (
        '<form id="asked" method="get" action="/calculator" aria-label="The call">'
        f"<fieldset><legend>The call</legend>{''.join(call)}</fieldset>"
        f"<fieldset><legend>The machine, as far as you know it</legend>{''.join(machine)}</fieldset>"
        '<p class="actions"><button>Reckon</button>'
        '<button type="button" id="copy" data-script hidden>Copy the address</button>'
        f'<a href="{anew}" id="anew">Start anew</a></p></form>'
    )


def _now(hour: Intensity) -> str:
    """Offer what a grid emits just now; who takes it has it for all calls, those of a year too."""
    boundary = "life cycle" if hour.boundary == "life_cycle" else "direct emissions alone"
    words = f"{hour.zone} from {hour.start:%H:%M} UTC: {hour.grams_per_kwh:g} g ({hour.source}, {boundary})"
    return (
        f'<p class="note now">{escape(words)} <button type="button" data-zone="{escape(hour.zone)}" data-script hidden'
        f' data-grams="{hour.grams_per_kwh:g}" aria-label="take it: {escape(words)}">take it</button></p>'
    )


def _models(asked: Asked, own: Own | None) -> str:
    groups = []
    names = {} if own is None else own.names
    if names:
        options = "".join(_option((name, name), asked.model) for name in sorted(names.values()))
        groups.append(f'<optgroup label="of your configuration">{options}</optgroup>')
    if asked.model not in cards() and asked.model.lower() not in names:
        groups.append(_option((asked.model, asked.model), asked.model))
    for maker, found in groupby(cards().values(), key=lambda card: card.maker):
        options = "".join(_option((card.id, card.id), asked.model) for card in found)
        groups.append(f'<optgroup label="{escape(maker)}">{options}</optgroup>')
    return "".join(groups)


def _field(name: str, title: str, options: str) -> str:
    select = f'<select id="{name}" name="{name}">{options}</select>'
    return f'<div class="field named"><label for="{name}">{title}</label>{select}</div>'


def _options(options: Iterable[Option], chosen: object, unstated: str) -> str:
    rest = "".join(_option(each, None if chosen is None else str(chosen)) for each in options)
    return f'<option value="">{unstated}</option>{rest}'


def _option(option: Option, chosen: str | None) -> str:
    value, name = option
    return f'<option value="{escape(value)}"{" selected" if value == chosen else ""}>{escape(name)}</option>'


def _counted(
    name: str,
    title: str,
    value: float | None,
    most: float,
    *,
    least: int = 0,
    step: str = "1",
    unstated: str = "",
) -> str:
    """Draw a number with a slider beside it, which the scripts bring to life."""
    written = "" if value is None else f"{value:.10g}" if isinstance(value, float) else str(value)
    empty = f' placeholder="{unstated}"' if unstated else " required"
    return (
        f'<div class="field"><label for="{name}">{title}</label><input type="number" id="{name}" name="{name}"'
        f' min="{least}" max="{most:.0f}" step="{step}" value="{written}" inputmode="decimal"{empty}>'
        f'<input type="range" data-for="{name}" aria-label="{title}, slider" min="0" max="1000" data-script hidden>'
        "</div>"
    )
