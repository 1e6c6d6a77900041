"""Sums as a database answers them, put together to the groups that are asked for, with their bands.

Sums of nothing but NULL are None. The band of a sum is the estimator's `Total`: errors that calls share
add up, a call's own even out.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import islice, repeat
from operator import itemgetter
from typing import Any

import msgspec

from estimator.uncertainty import ends_of, range_of
from proxy.ledger.rollup_tables import BANDED, DEVIATING
from proxy.ledger.sources import TIME_DIMENSIONS

Key = tuple[str | None, ...]  # the values of the dimensions asked for
Row = Sequence[Any]  # the dimensions that a question names, what errs alike, and the figures' sums
Columns = Sequence[Sequence[Any]]  # of several rows


class Totals(msgspec.Struct, frozen=True, gc=False):
    """Sums over the calls of one group; ``key`` has one value per dimension asked for.

    ``*_unknown_calls`` and ``unpriced_calls`` have tokens but not the figure; the sums leave them out.
    """

    key: Key = ()
    calls: int = 0
    input_tokens: int | None = None
    cached_input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    flops: float | None = None
    joules_low: float | None = None  # of the sum, not the sum of each call's
    joules: float | None = None
    joules_high: float | None = None
    grams_co2e_low: float | None = None
    grams_co2e: float | None = None
    grams_co2e_high: float | None = None
    embodied_grams_co2e: float | None = None
    market_grams_co2e: float | None = None
    liters: float | None = None
    cost_usd: Decimal | None = None
    unpriced_calls: int = 0
    energy_unknown_calls: int = 0
    carbon_unknown_calls: int = 0
    water_unknown_calls: int = 0
    reported_calls: int = 0  # these four: calls by where their token counts came from
    counted_calls: int = 0
    inferred_calls: int = 0
    absent_calls: int = 0  # of calls that reached a provider
    # By what errs alike; of calls of older releases, which do not say it, by "". See :mod:`proxy.ledger.evidence`.
    joules_by_estimate_key: Mapping[str, float] = {}


_NOTHING, _FIELDS = Totals(), Totals.__struct_fields__


class Answer:
    """What the ledger answered: rows of the dimensions asked for, of what errs alike, and of the sums of figures.

    A report has as many lines as there are sums, often: so they are put together column by column.
    """

    def __init__(self, names: Sequence[str], figures: Sequence[str]) -> None:
        self._names = names
        self._alike, self._first = len(names), len(names) + 1
        self._figures = figures
        self._rows: list[Row] = []
        self._dimensions: dict[str, list[str | None]] = {name: [] for name in names}

    def add(self, rows: Sequence[Row], written: Callable[[str, Any], str]) -> None:
        """Take rows, in which times are numbers that are ``written`` as dimensions are."""
        self._rows += rows
        for place, name in enumerate(self._names):
            column = [row[place] for row in rows]
            if name in TIME_DIMENSIONS:
                texts = {number: written(name, number) for number in set(column)}
                column = [texts[number] for number in column]
            self._dimensions[name] += column

    def groups(self, by: Sequence[str], *, banded: bool) -> list[Totals]:
        """Put together what has the same values of these dimensions; bands are reckoned only of what is ``banded``."""
        if not self._rows:
            return [] if by else [_NOTHING]
        grouped: dict[Key, list[Row]] = defaultdict(list)
        keys = zip(*(self._dimensions[name] for name in by), strict=True) if by else repeat(())
        for key, row in zip(keys, self._rows, strict=False):
            grouped[key].append(row)
        groups = [(rows[0], None) if len(rows) == 1 else self._together(rows) for rows in grouped.values()]
        columns = zip(*(sums for sums, _ in groups), strict=True)
        figures = dict(zip(self._figures, islice(columns, self._first, None), strict=True))
        given: dict[str, Iterable[Any]] = {"key": grouped, **figures}
        for name in BANDED if banded else ():
            deviations = [f"{name}_{part}" for part in DEVIATING]
            if figures.keys() >= {*deviations}:
                parts = itemgetter(*map(self._place, (name, *deviations)))
                ends = [_ends(parts, sums, apart) for sums, apart in groups]
                given[f"{name}_low"], given[f"{name}_high"] = zip(*ends, strict=True)
        if banded and "joules" in figures:
            by_alike = itemgetter(self._alike, self._place("joules"))
            given["joules_by_estimate_key"] = [
                _known([by_alike(sums)] if apart is None else zip(*by_alike(apart), strict=True))
                for sums, apart in groups
            ]
        return list(map(Totals, *(given.get(name, repeat(getattr(_NOTHING, name))) for name in _FIELDS)))

    def _place(self, figure: str) -> int:
        return self._first + self._figures.index(figure)

    def _together(self, rows: list[Row]) -> tuple[Row, Columns | None]:
        """Add up the rows of a group; gives their sums and, column by column, what errs alike apart."""
        columns = list(zip(*rows, strict=True))
        alike = [key or "" for key in columns[self._alike]]
        if len(set(alike)) < len(rows):
            together: dict[str, list[Row]] = defaultdict(list)
            for key, row in zip(alike, rows, strict=True):
                together[key].append(row)
            columns = list(zip(*map(self._added, together.values()), strict=True))
            if len(together) == 1:
                return [column[0] for column in columns], None
        return self._sums(columns), columns

    def _added(self, rows: list[Row]) -> Row:
        return rows[0] if len(rows) == 1 else self._sums(list(zip(*rows, strict=True)))

    def _sums(self, columns: Columns) -> Row:
        """Add up the sums; unknown and unknown is unknown. The rest is that of the first row."""
        first = self._first
        return [*(column[0] for column in columns[:first]), *map(_sum, columns[first:])]


def _sum(column: Sequence[Any]) -> Any:
    known = column if None not in column else [each for each in column if each is not None]
    if not known:
        return None
    return math.fsum(known) if isinstance(known[0], float) else sum(known)  # whatever the order they came in


def _ends(
    parts: Callable[[Sequence[Any]], tuple[Any, ...]], sums: Row, apart: Columns | None
) -> tuple[float | None, float | None]:
    """Give the ends of the band of a sum, of which ``parts`` are the middle and its deviations."""
    if apart is None:  # as a rule
        mid, down, up, own_down, own_up = parts(sums)
        if mid is None:
            return None, None
        low, _, high = ends_of(mid, down, up, own_down, own_up)
        return low, high
    found = parts(apart)
    if None in found[0]:
        found = tuple(zip(*(each for each in zip(*found, strict=True) if each[0] is not None), strict=True))
        if not found:
            return None, None
    band = range_of(*found)
    return band.low, band.high


def _known(joules: Iterable[tuple[str | None, float | None]]) -> dict[str, float]:
    return {alike or "": each for alike, each in joules if each is not None}
