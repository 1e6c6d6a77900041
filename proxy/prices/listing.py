"""The normal form of a price list: what is written to ``estimator/data/prices/<provider>.json``.

Dollars are strings, so that no binary fraction ever stands between a price page and a sum.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

Rates = dict[str, Any]  # bucket → dollars per million tokens as text, or [[above, dollars], …]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One model of a provider: which names it goes by, its dated prices, its prices by service tier and region."""

    id: str
    match: list[Any]
    prices: list[dict[str, Any]]
    tiers: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    regions: dict[str, str] = field(default_factory=dict)  # region → factor on every rate
    source: str


def exact(value: Decimal) -> str:
    """Write a decimal with all its digits and none that say nothing: ``2.5``, ``0.075``, ``10``."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def dated(listings: list[Listing], before: Path, checked: str) -> list[Listing]:
    """Keep what a list said before: a price without a date of its own that changed becomes a new dated row."""
    if not before.is_file():
        return listings
    old = {row["id"]: row for row in json.loads(before.read_text(encoding="utf-8"))["models"]}
    kept = []
    for listing in listings:
        history = old.get(listing.id, {}).get("prices")
        undated = len(listing.prices) == 1 and "from" not in listing.prices[0]
        if undated and history and old[listing.id].get("source", "genai-prices") == listing.source:
            newest = {key: value for key, value in history[-1].items() if key != "from"}
            now = listing.prices[0]
            kept.append(replace(listing, prices=history if newest == now else [*history, {"from": checked, **now}]))
        else:
            kept.append(listing)
    return kept


def write_list(folder: Path, provider: str, listings: list[Listing], checked: str) -> None:
    """Write one provider's list, a model a line, so that a change of price is a change of one line."""
    lines = []
    for listing in listings:
        row: dict[str, Any] = {"id": listing.id, "match": listing.match, "prices": listing.prices}
        if listing.tiers:
            row["tiers"] = listing.tiers
        if listing.regions:
            row["regions"] = listing.regions
        if listing.source != "genai-prices":
            row["source"] = listing.source
        lines.append("  " + json.dumps(row, ensure_ascii=False, separators=(",", ":")))
    head = {
        "provider": provider,
        "source": "genai-prices",
        "currency": "USD",
        "per": "million tokens",
        "checked": checked,
    }
    body = "".join(f" {json.dumps(key)}: {json.dumps(value)},\n" for key, value in head.items())
    text = "{\n" + body + ' "models": [\n' + ",\n".join(lines) + "\n ]\n}\n"
    (folder / f"{provider}.json").write_text(text, encoding="utf-8")
