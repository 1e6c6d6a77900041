"""What a report is made from: the ledger's sums over a period, split by the dimensions asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from proxy.ledger.read import DIMENSIONS, TIME_DIMENSIONS, Totals, totals
from proxy.reports.period import Period, QuestionError
from proxy.reports.table import Cell, Column, Report


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
    """Ask the ledger."""

    def ask(names: tuple[str, ...]) -> Sequence[Totals]:
        return totals(connection, by=names, start=period.start, end=period.end, zone=period.zone)

    return Split(by=by, period=period, groups=ask(by), total=ask(())[0], models=ask(("model",)))


def report(
    split: Split, *, name: str, title: str, columns: Sequence[Column], rank: str, notes: Sequence[str]
) -> Report:
    """Lay out a report; a column's key is the field of Totals it shows. Largest ``rank`` first, time in its order."""

    def figures(group: Totals) -> tuple[Cell, ...]:
        return tuple(getattr(group, column.key) for column in columns)

    def magnitude(group: Totals) -> float:
        return -float(getattr(group, rank) or 0)

    # Of no calls there is one sum, of nothing: no row.
    ranked = sorted((group for group in split.groups if group.calls), key=magnitude)
    times = [position for position, dimension in enumerate(split.by) if dimension in TIME_DIMENSIONS]
    if times:
        ranked.sort(key=lambda group: [group.key[position] or "" for position in times])
    return Report(
        name=name,
        title=title,
        period=split.period,
        by=split.by,
        columns=(*(Column(key=dimension, title=dimension, kind="text") for dimension in split.by), *columns),
        rows=tuple((*group.key, *figures(group)) for group in ranked),
        total=(*(None for _ in split.by), *figures(split.total)),
        notes=tuple(notes),
    )
