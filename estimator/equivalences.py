"""What joules and grams are like: phone charges, kettles, kilometers, each a dated figure with its source.

A comparison says nothing that the quantity does not say; it never goes without the quantity's band.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Literal

from estimator.facts import read_toml
from estimator.ranges import Range
from estimator.units import JOULES_PER_WH


@dataclass(frozen=True, slots=True, kw_only=True)
class Equivalence:
    """One thing that takes ``joules`` of electricity or ``grams`` of CO2e."""

    id: str
    name: str  # in the plural, after a number
    of: Literal["energy", "carbon"]
    joules_or_grams: float
    year: int
    source: str
    note: str = ""
    page: str = ""  # what the audit page said of it


@cache
def equivalences() -> tuple[Equivalence, ...]:
    """Return every comparison there is a figure for."""
    return tuple(
        Equivalence(
            id=key,
            name=row["name"],
            of=row["of"],
            joules_or_grams=row["amount"] * (JOULES_PER_WH if row["unit"] == "Wh" else 1.0),
            year=row["year"],
            source=row["source"],
            note=row.get("note", ""),
            page=row.get("page", ""),
        )
        for key, row in read_toml("equivalences.toml").items()
    )


def count(like: Equivalence, *, joules: Range | None = None, grams: Range | None = None) -> Range | None:
    """Return how many of a thing an energy or a mass of CO2e comes to; ``None`` where its quantity is not known."""
    quantity = joules if like.of == "energy" else grams
    return None if quantity is None else quantity / like.joules_or_grams


def comparisons(*, joules: Range | None, grams: Range | None) -> dict[str, Range]:
    """Return every count that can be given, by the thing's id."""
    found = ((like.id, count(like, joules=joules, grams=grams)) for like in equivalences())
    return {key: value for key, value in found if value is not None}
