"""What a report is made from: the ledger's sums over a period, split by the dimensions asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from proxy.errors import RowsGoneError
from proxy.ledger.read import DIMENSIONS, Totals, splits
from proxy.reports.period import Period, QuestionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """``groups`` are split by ``by``; ``models`` are the same calls by model, for the notes."""

    by: tuple[str, ...]
    period: Period
    groups: Sequence[Totals]
    total: Totals
    models: Sequence[Totals]


def dimensions(text: str) -> tuple[str, ...]:
    """Read ``team,model``; raises QuestionError that lists what there is."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in DIMENSIONS:
            raise QuestionError(f"cannot split by {name!r}: choose from {', '.join(DIMENSIONS)}")
    if len(set(names)) != len(names):
        raise QuestionError(f"{text!r} names a dimension twice")
    return names


def split(connection: Connection, by: tuple[str, ...], period: Period) -> Split:
    """Ask the ledger, in one reading of it; raises QuestionError where it does not keep so much of those calls."""
    asked = (by, (), ("model",))
    try:
        groups, (total,), models = splits(connection, asked, start=period.start, end=period.end, zone=period.zone)
    except RowsGoneError as error:
        raise QuestionError(str(error)) from error
    return Split(by=by, period=period, groups=groups, total=total, models=models)
