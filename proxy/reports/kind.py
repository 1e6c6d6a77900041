"""What tells one report from another, and how any of them is laid out."""

from __future__ import annotations

from dataclasses import dataclass

from proxy.ledger.read import TIME_DIMENSIONS, Totals
from proxy.reports import notes
from proxy.reports.split import Split
from proxy.reports.table import Cell, Column, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """``columns`` name fields of Totals, ``rank`` the figure it is about, ``unknown`` the count of calls without it."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rank: str
    unknown: str
    lacking: str  # what such a call has not: "a price"
    figure: str  # what is then a lower bound: "dollars are"


def lay_out(kind: Kind, split: Split) -> Report:
    """Make the report: the largest figure first, time in its order, and what the figures leave out."""

    def figures(group: Totals) -> tuple[Cell, ...]:
        return tuple(getattr(group, column.key) for column in kind.columns)

    def magnitude(group: Totals) -> float:
        return -float(getattr(group, kind.rank) or 0)

    # Of no calls there is one sum, of nothing: no row.
    ranked = sorted((group for group in split.groups if group.calls), key=magnitude)
    times = [position for position, dimension in enumerate(split.by) if dimension in TIME_DIMENSIONS]
    if times:
        ranked.sort(key=lambda group: [group.key[position] or "" for position in times])
    return Report(
        name=kind.name,
        title=kind.title,
        period=split.period,
        by=split.by,
        columns=(*(Column(key=dimension, title=dimension, kind="text") for dimension in split.by), *kind.columns),
        rows=tuple((*group.key, *figures(group)) for group in ranked),
        total=(*(None for _ in split.by), *figures(split.total)),
        notes=(
            *notes.nothing(split),
            *notes.band(getattr(split.total, f"{kind.rank}_low", None)),
            *notes.without(split, kind.unknown, kind.lacking, kind.figure),
            *notes.usage_sources(split.total),
        ),
    )
