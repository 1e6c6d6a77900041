"""What tells one report from another, and how any of them is laid out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from proxy.ledger.evidence import Evidence
from proxy.ledger.read import BANDED, SUMMED, TIME_DIMENSIONS, Totals, in_time
from proxy.reports import notes
from proxy.reports.metering import metering_of
from proxy.reports.split import Split
from proxy.reports.table import Cell, Column, Report, bands_of


def _nothing_more(split: Split, groups: Sequence[Totals]) -> Mapping[str, Sequence[Cell]]:
    return {}


def _nothing_to_say(split: Split) -> list[str]:
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """``columns`` name fields of Totals or of what is ``reckoned``, ``rank`` the figure that the report is about.

    ``unknown`` is the count of calls without it. ``reckoned`` makes figures that the ledger has no sums of, a column
    of each for groups or the total; ``within`` is what it wants the groups' parts to be split by, ``reads`` the figures
    it wants beside the columns'.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rank: str
    unknown: str
    lacking: str  # what such a call has not: "a price"
    so: str  # what follows from that: "dollars are a lower bound"
    reckoned: Callable[[Split, Sequence[Totals]], Mapping[str, Sequence[Cell]]] = _nothing_more
    says: Callable[[Split], list[str]] = _nothing_to_say  # what else must be known to read it
    within: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    by: tuple[str, ...] = ("team", "model")  # where nothing else is asked for

    @property
    def evidenced(self) -> bool:
        """Whether it says what its estimates rest on: where there are some."""
        return self.unknown != "unpriced_calls"

    @property
    def figures(self) -> set[str]:
        """What of the ledger's sums it is made of."""
        shown = {column.key.removesuffix("_low").removesuffix("_high") for column in self.columns}
        return {*self.reads, *shown.intersection(SUMMED), *(["joules"] if self.evidenced else [])}

    @property
    def bands(self) -> set[str]:
        """Of which of these sums it is made of the bands, too."""
        return {*self.reads, *(column.like for column in self.columns)}.intersection(BANDED)


def _shares(tiers: Evidence | None, groups: Sequence[Totals]) -> Sequence[Mapping[str, float]]:
    return () if tiers is None else [tiers.shares(group) for group in groups]


def lay_out(kind: Kind, split: Split, service: str | None = None) -> Report:
    """Make the report: the largest figure first, time in its order, and what the figures leave out.

    ``service`` is what a running gate says of its ledger.
    """
    banded = (f"{column.like}{end}" for column in kind.columns if column.like for end in ("_low", "", "_high"))
    needed = dict.fromkeys((*(column.key for column in kind.columns), *banded))

    def figures(groups: Sequence[Totals]) -> dict[str, Sequence[Any]]:
        more = kind.reckoned(split, groups)
        return {key: more[key] if key in more else list(map(attrgetter(key), groups)) for key in needed}

    groups = [group for group in split.groups if group.calls]  # of no calls there is one sum, of nothing: no row
    made, whole = figures(groups), figures([split.total])
    times = [place for place, dimension in enumerate(split.by) if dimension in TIME_DIMENSIONS]
    names = [tuple([each or "" for each in group.key]) for group in groups]  # by which equal figures are ordered
    orders = zip(
        *([in_time(split.by[place], name[place]) for name in names] for place in times),
        [-float(each or 0) for each in made[kind.rank]],
        names,
        strict=True,
    )
    ranked = sorted(range(len(groups)), key=list(orders).__getitem__)
    groups = [groups[place] for place in ranked]
    made = {key: [cells[place] for place in ranked] for key, cells in made.items()}
    keys = zip(*(group.key for group in groups), strict=True) if groups else [()] * len(split.by)
    return Report(
        name=kind.name,
        title=kind.title,
        period=split.period,
        by=split.by,
        columns=(*(Column(key=dimension, title=dimension, kind="text") for dimension in split.by), *kind.columns),
        cells=(*keys, *(made[column.key] for column in kind.columns)),
        total=(*(None for _ in split.by), *(whole[column.key][0] for column in kind.columns)),
        where=split.where,
        rank=kind.rank,
        bands=bands_of(kind.columns, {key: (*cells, *whole[key]) for key, cells in made.items()}),
        evidence=partial(_shares, split.tiers, [*groups, split.total]) if kind.evidenced else tuple,
        notes=(
            *notes.nothing(split),
            *(kind.says(split) if split.total.calls else ()),
            *notes.prices(split),
            *(notes.evidence(split) if kind.evidenced and "tier" not in kind.by else ()),
            *notes.band(getattr(split.total, f"{kind.rank}_low", None)),
            *notes.without(split, kind.unknown, kind.lacking, kind.so),
            *notes.health(split, kind.unknown, service),
        ),
        metering=metering_of(split, service),
    )
