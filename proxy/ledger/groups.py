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
        groups = [self._unlike(rows) for rows in grouped.values()]
        columns = zip(*(rows[0] if len(rows) == 1 else self._added(rows) for rows in groups), strict=True)
        figures = dict(zip(self._figures, islice(columns, self._first, None), strict=False))
        given: dict[str, Iterable[Any]] = {"key": grouped, **figures}
        for name in BANDED if banded else ():
            if name in figures:
                parts = itemgetter(*(self._place(each) for each in (name, *(f"{name}_{part}" for part in DEVIATING))))
                given[f"{name}_low"], given[f"{name}_high"] = zip(*(_ends(parts, rows) for rows in groups), strict=True)
        if banded and "joules" in figures:
            alike, joules = self._alike, self._place("joules")
            given["joules_by_estimate_key"] = [
                {row[alike] or "": row[joules] for row in rows if row[joules] is not None} for rows in groups
            ]
        return list(map(Totals, *(given.get(name, repeat(getattr(_NOTHING, name))) for name in _FIELDS)))

    def _place(self, figure: str) -> int:
        return self._first + self._figures.index(figure)

    def _unlike(self, rows: list[Row]) -> list[Row]:
        """Add up the rows of a group that err alike."""
        alike = self._alike
        if len(rows) == 1 or len({row[alike] or "" for row in rows}) == len(rows):
            return rows
        together: dict[str, list[Row]] = defaultdict(list)
        for row in rows:
            together[row[alike] or ""].append(row)
        return [several[0] if len(several) == 1 else self._added(several) for several in together.values()]

    def _added(self, rows: Sequence[Row]) -> Row:
        """Add up the sums; unknown and unknown is unknown. The rest is that of the first row."""
        sums = map(_sum, islice(zip(*rows, strict=True), self._first, None))
        return (*rows[0][: self._first], *sums)


def _sum(column: Sequence[Any]) -> Any:
    known = column if None not in column else [each for each in column if each is not None]
    if not known:
        return None
    return math.fsum(known) if isinstance(known[0], float) else sum(known)  # whatever the order they came in


def _ends(parts: Callable[[Row], tuple[float, ...]], rows: Sequence[Row]) -> tuple[float | None, float | None]:
    """Give the ends of the band of a sum of rows, of which ``parts`` are the middle and its deviations."""
    known = [found for row in rows if (found := parts(row))[0] is not None]
    match known:
        case []:
            return None, None
        case [(mid, down, up, own_down, own_up)]:  # as a rule
            low, _, high = ends_of(mid, down, up, own_down, own_up)
            return low, high
    band = range_of(*zip(*known, strict=True))
    return band.low, band.high
