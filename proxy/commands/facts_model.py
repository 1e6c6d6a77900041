"""What is known of one model: for a person with units, sources and dates, for a program as JSON."""

from __future__ import annotations

import json
from decimal import Decimal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from estimator import ModelCard, resolve
from estimator.facts import sources
from estimator.models import Architecture
from estimator.price import Price, Rate, find_price, own_shop
from proxy.commands.unknown import unknown_model

ANSWER_IS_NO = 1
_KINDS = {
    "dense": "dense",
    "moe": "mixture of experts",
    "hybrid": "hybrid: attention and recurrent layers",
    "embedding": "embedding",
    "undisclosed": "not disclosed",
}


def show_model(model: str, provider: str | None, *, as_json: bool) -> None:
    """Print what is known of ``model`` and its price at ``provider``, else its maker; status 1 if nothing is."""
    card = resolve(model, provider)
    if card is None:
        typer.echo(unknown_model(model), err=True)
        raise typer.Exit(ANSWER_IS_NO)
    seller = provider or own_shop(card.maker)
    price = find_price(model, seller) or find_price(card.id, seller)
    if as_json:
        typer.echo(json.dumps(_record(card, price), indent=1))
        return
    table = Table(title=card.id, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in (*_size(card), *_list_price(price, seller)):
        table.add_row(label, Text(value))
    Console().print(table)


def _record(card: ModelCard, price: Price | None) -> dict[str, object]:
    return {
        "id": card.id,
        "maker": card.maker,
        "kind": card.kind,
        "weights": card.weights,
        "total_params": card.total_params,
        "active_params": card.active_params,
        "precision": card.precision,
        "architecture": card.architecture is not None,
        "verified": card.verified,
        "source": card.source,
        "basis": _basis(card),
        "price_id": price.id if price is not None else None,
        "price_source": price.source if price is not None else None,
        "price_valid_from": price.valid_from.isoformat() if price is not None and price.valid_from else None,
        "usd_per_million_tokens": {}
        if price is None
        else {bucket: [[above, str(rate.scaleb(6))] for above, rate in steps] for bucket, steps in price.rates.items()},
        "usd_per_unit": {} if price is None else {unit: str(dollars) for unit, dollars in price.units.items()},
    }


def _size(card: ModelCard) -> list[tuple[str, str]]:
    checked = "checked against the published configuration" if card.verified else "typed from the source below"
    shape = f"{_shape(card.architecture)} ({checked})" if card.architecture is not None else "not public"
    return [
        ("maker", card.maker),
        ("kind", _KINDS["undisclosed" if card.list_price is not None else card.kind]),
        ("weights", card.weights),
        ("parameters", _billions(card.total_params)),
        ("active per token", _billions(card.active_params)),
        ("precision", card.precision or "not public"),
        ("shape", shape),
        ("basis", _basis(card)),
        ("source", _source(card.source)),
    ]


def _basis(card: ModelCard) -> str:
    """Say what the size rests on."""
    if card.total_params is None:
        return "none: nobody publishes a size, and no price of text tells one"
    if card.list_price is not None:
        return f"{card.list_price.sentence}; a range, no statement of the maker"
    if card.weights == "closed":
        return "an estimate of the source below, no statement of the maker"
    return "published by the maker"


def _list_price(price: Price | None, seller: str) -> list[tuple[str, str]]:
    if price is None:
        return [("list price", f"none known at {seller}")]
    since = "since it was first listed" if price.valid_from is None else f"from {price.valid_from.isoformat()}"
    return [
        ("list price", f"{price.id}, {since}"),
        *((f"  {bucket.replace('_', ' ')}", _rate(steps)) for bucket, steps in price.rates.items()),
        *((f"  {unit.replace('_', ' ')}", f"{_dollars(each)} each") for unit, each in price.units.items()),
        ("price source", _source(price.source)),
    ]


def _shape(shape: Architecture) -> str:
    said = f"{shape.layers} layers, {shape.heads} heads of {shape.head_dim}"
    said += ", latent attention" if shape.latent_attention else f", {shape.kv_heads} of them with keys and values"
    return said + (f", {shape.experts_active} of {shape.experts} experts at a time" if shape.experts else "")


def _billions(span: tuple[float, float] | None) -> str:
    """Write a count of parameters, or between which two it lies."""
    if span is None:
        return "not public"
    low, high = (f"{count / 1e9:,.4g}" for count in span)
    return f"{low} billion" if low == high else f"{low} to {high} billion"


def _rate(steps: Rate) -> str:
    (_, first), *later = ((above, _dollars(dollars.scaleb(6))) for above, dollars in steps)
    return "; ".join(
        [f"{first} per million tokens", *(f"{dollars} where the input is over {above:,}" for above, dollars in later)]
    )


def _dollars(amount: Decimal) -> str:
    """Write all digits, cents always."""
    return f"${amount:.2f}" if amount == amount.quantize(Decimal("0.01")) else f"${amount.normalize():f}"


def _source(name: str) -> str:
    found = sources().get(name)
    if found is None:
        return name
    return f"{found.name}, checked {found.checked.isoformat()}" + (f", {found.url}" if found.url else "")
