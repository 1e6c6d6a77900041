"""Where sums are read from: those by quarter, hour, four hours and day, by day over all dimensions; and the calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from proxy.ledger.local_days import LocalDays, Unit
from proxy.ledger.rollup_tables import (
    BANDED,
    DEVIATIONS,
    FEW_DIMENSIONS,
    QUARTERS_A_DAY,
    QUARTERS_AN_HOUR,
    QUARTERS_IN_FOUR_HOURS,
    SUMS,
    calls_by_day,
    calls_by_four_hours,
    calls_by_hour,
    calls_by_local_day,
    calls_by_quarter,
    detail_keys,
    details_by_day,
    details_by_local_day,
    model_keys,
)
from proxy.ledger.tables import calls

QUARTER_S = 900


class QuarterHour(FunctionElement[int]):
    """Which quarter of an hour since the Unix epoch a time falls into."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(QuarterHour, "sqlite")
def _quarter_on_sqlite(element: QuarterHour, compiler: SQLCompiler, **options: Any) -> str:
    return f"(CAST(strftime('%s', {compiler.process(element.clauses, **options)}) AS INTEGER) / {QUARTER_S})"


@compiles(QuarterHour, "postgresql")
def _quarter_on_postgresql(element: QuarterHour, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(floor(extract(epoch FROM {compiler.process(element.clauses, **options)}) / {QUARTER_S}) AS BIGINT)"


@compiles(QuarterHour, "clickhousedb")
def _quarter_on_clickhouse(element: QuarterHour, compiler: SQLCompiler, **options: Any) -> str:
    return f"intDiv(toUnixTimestamp({compiler.process(element.clauses, **options)}), {QUARTER_S})"


TIME_DIMENSIONS: dict[str, Callable[[datetime], str]] = {
    "hour": lambda local: f"{local:%Y-%m-%d %H:00%z}",
    "day": lambda local: f"{local:%Y-%m-%d}",
    "month": lambda local: f"{local:%Y-%m}",
}


def in_time(dimension: str, written: str) -> str | datetime:
    """Give by what the values of a dimension of time are ordered: an hour that clocks show twice is written twice."""
    return datetime.fromisoformat(written) if dimension == "hour" else written


Stretch = tuple[int, int]  # [from, to), in quarters of an hour since the Unix epoch
Where = Mapping[str, str | None]  # dimensions that are no times, and the one value of each; None: where there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which figures of which calls, and by what they are split."""

    names: Sequence[str]  # dimensions
    where: Where
    figures: Sequence[str]

    @property
    def times(self) -> list[str]:
        """The dimensions that are times."""
        return [name for name in self.names if name in TIME_DIMENSIONS]

    @property
    def fine(self) -> bool:
        """Whether sums of one time hardly become fewer where they are added up by these dimensions."""
        banded = not set(DEVIATIONS).isdisjoint(self.figures)
        return {"team", "model"} <= set(self.names) or (banded and not {"user", "key"}.isdisjoint(self.names))


@dataclass(frozen=True, slots=True, eq=False)
class RowsSource:
    """The calls themselves, as a mirror has them too."""

    dimensions: Mapping[str, ColumnElement[Any]]
    figures: Mapping[str, ColumnElement[Any]]
    time: ColumnElement[int]  # in quarters

    def select(self, wanted: Wanted, *within: ColumnElement[bool]) -> sa.Select[Any]:
        """Ask for the dimensions (of times: the quarter), what errs alike and, grouped by these, the figures."""
        figures = {name: self.figures[name] for name in wanted.figures}
        select = grouped(wanted.names, self.dimensions, self.time, calls.c.estimate_key, figures)
        return select.where(*within, *conditions(self.dimensions, wanted.where))


@dataclass(frozen=True, slots=True, eq=False)
class SumsSource:
    """A table of sums, with the table of whose they are.

    One of its rows spans ``width`` quarters, as a local day does as a rule; what, ``unit`` says of a quarter in it. Its
    time is counted in ``counts`` quarters.
    """

    sums: sa.Table
    keys: sa.Table
    dimensions: Mapping[str, ColumnElement[Any]]
    width: int
    counts: int
    unit: Callable[[int], Unit]

    @classmethod
    def even(
        cls, sums: sa.Table, keys: sa.Table, dimensions: Mapping[str, ColumnElement[Any]], width: int, since: int = 0
    ) -> Self:
        """Make one whose rows all span as much, side by side; ``since``: the quarter that the first begins with."""

        def unit(quarter: int) -> Unit:
            start = quarter - quarter % width
            return Unit(start, start + width, kept=start >= since)

        return cls(sums, keys, dimensions, width, width, unit)

    @property
    def local(self) -> bool:
        """Whether its rows begin where clocks say so."""
        return self.counts != self.width

    def within(self, wanted: Wanted, stretch: Stretch, bucket: Bucket | None) -> sa.Select[Any]:
        """Select the keys and figures of a stretch, as they are, and the number of the bucket where it has several."""
        time, counts, (begin, end) = next(iter(self.sums.columns)), self.counts, stretch
        # As one text: of hundreds of stretches SQLAlchemy would make columns for longer than the database reads them.
        columns: list[ColumnElement[Any]] = [sa.literal_column(", ".join(("key", *wanted.figures)))]
        if bucket is not None and bucket.only(stretch) is None:
            columns.append(bucket.of(time * counts).label("bucket"))
        select = sa.select(*columns).where(time >= begin // counts, time < end // counts)
        if not wanted.where:
            return select
        theirs = sa.select(self.keys.c.key).where(*conditions(self.dimensions, wanted.where))
        return select.where(self.sums.c.key.in_(theirs))


Piece = tuple[SumsSource, Stretch]


def select_sums(wanted: Wanted, pieces: Sequence[Piece], bucket: Bucket | None) -> sa.Select[Any]:
    """Ask for the dimensions (of times: the number of the bucket), what errs alike and the figures.

    All pieces, in the order of time, are of sums with the same keys; they are added up by what these mean, unless they
    hardly become fewer.
    """
    together = [list(some) for _, some in groupby(pieces, key=lambda piece: bucket and bucket.span(piece[1]))]
    columns = _columns(wanted, pieces[0][0])
    each = [_by_key(wanted, some, bucket, columns) for some in together]
    summed = (sa.union_all(*each) if len(each) > 1 else each[0]).subquery()
    figures: dict[str, ColumnElement[Any]] = {name: summed.c[name] for name in wanted.figures}
    source, _ = pieces[0]
    keys = source.keys.c
    parts = (wanted.names, source.dimensions, summed.c.bucket, keys.estimate_key)
    sums = {name: sa.func.sum(each) for name, each in figures.items()}
    if bucket is None or not wanted.fine:
        select = grouped(*parts, sums)
    elif _apart(pieces, bucket):
        select = listed(*parts, figures)
    else:  # numbers are quicker to compare than the names for which they stand
        select = listed(*parts, sums).group_by(summed.c.bucket, keys.key)
    return select.select_from(summed.join(source.keys, summed.c.key == keys.key))


_Columns = tuple[Sequence[ColumnElement[Any]], Sequence[ColumnElement[Any]]]


def _columns(wanted: Wanted, source: SumsSource) -> _Columns:
    """Give the key and the figures as they are, and added up; made once for all stretches."""
    key, *figures = (sa.column(name, source.sums.c[name].type) for name in ("key", *wanted.figures))
    return [key, *figures], [key, *(sa.func.sum(each).label(each.name) for each in figures)]


def _by_key(wanted: Wanted, pieces: Sequence[Piece], bucket: Bucket | None, columns: _Columns) -> sa.Select[Any]:
    """Add up pieces of one bucket, or one of several, by the bucket's number and the keys, which are quick to compare.

    Where a bucket is as wide as a row, there is nothing to add up.
    """
    source, stretch = pieces[0]
    one = 0 if bucket is None else bucket.only(stretch)
    # Each stretch is looked up in the index. As conditions side by side SQLite would try all on every row, and as
    # a table to join with PostgreSQL would: it does not know how few rows are meant.
    each = [source.within(wanted, stretch, bucket) for source, stretch in pieces]
    rows = (sa.union_all(*each) if len(each) > 1 else each[0]).subquery()
    number = sa.column("bucket") if one is None else sa.literal(one, sa.BigInteger).label("bucket")
    as_they_are, added_up = columns
    if len(each) == 1 and bucket is not None and bucket.size == source.width:
        return sa.select(*[number, *as_they_are]).select_from(rows)
    by = [added_up[0]] if one is not None else [number, added_up[0]]
    return sa.select(*[number, *added_up]).select_from(rows).group_by(*by)


@dataclass(frozen=True, slots=True)
class Bucket:
    """Quarters put together to local hours or days: ``size`` of them, of a zone that is ``offset`` of them off UTC."""

    size: int
    offset: int

    def of(self, quarter: ColumnElement[int]) -> ColumnElement[int]:
        """Give the number of the bucket that a quarter lies in."""
        return (quarter + self.offset) // self.size

    def span(self, stretch: Stretch) -> tuple[int, int]:
        """Give the numbers of the first and of the last bucket that a stretch lies in."""
        return (stretch[0] + self.offset) // self.size, (stretch[1] - 1 + self.offset) // self.size

    def only(self, stretch: Stretch) -> int | None:
        """Give the number of the bucket that a stretch lies in; None where it lies in several."""
        first, last = self.span(stretch)
        return first if first == last else None


def _apart(pieces: Sequence[Piece], bucket: Bucket) -> bool:
    """Say whether the sums of these pieces, those of one bucket added up, are one of each bucket and key."""
    spans = [span for span, _ in groupby(bucket.span(stretch) for _, stretch in pieces)]
    return all(one[1] < following[0] for one, following in pairwise(spans))


def listed(
    names: Sequence[str],
    dimensions: Mapping[str, ColumnElement[Any]],
    time: ColumnElement[int],
    key: ColumnElement[Any],
    figures: Mapping[str, ColumnElement[Any]],
) -> sa.Select[Any]:
    """Select the dimensions, what errs alike where that matters, and the figures."""
    labelled = [(time if name in TIME_DIMENSIONS else dimensions[name]).label(f"by_{name}") for name in names]
    # Without a band nobody needs to know what errs alike.
    alike = sa.null() if figures.keys().isdisjoint(DEVIATIONS) else key
    return sa.select(*labelled, alike, *figures.values())


def grouped(
    names: Sequence[str],
    dimensions: Mapping[str, ColumnElement[Any]],
    time: ColumnElement[int],
    key: ColumnElement[Any],
    figures: Mapping[str, ColumnElement[Any]],
) -> sa.Select[Any]:
    """Select that of figures which are sums, grouped by the rest."""
    by: list[ColumnElement[Any]] = [sa.column(f"by_{name}") for name in names]
    alike = [] if figures.keys().isdisjoint(DEVIATIONS) else [key]
    return listed(names, dimensions, time, key, figures).group_by(*by, *alike)


def conditions(dimensions: Mapping[str, ColumnElement[Any]], where: Where) -> list[ColumnElement[bool]]:
    """Say in SQL which calls alone are looked at."""
    return [dimensions[name] == value for name, value in where.items()]  # == None is IS NULL


def dimensions_of(columns: Any) -> dict[str, ColumnElement[Any]]:
    """Give what calls are told apart by, times excepted, of columns that have it."""
    names = {"key": "key_id"} | {
        name: name
        for name in (
            *("team", "project", "user", "provider", "model_requested", "surface", "outcome"),
            *("usage_source", "service_tier", "tier", "zone", "grid_source"),
        )
    }
    return {name: columns[column] for name, column in names.items()} | {
        "model": sa.func.coalesce(columns.model, columns.model_requested)  # as served, else as asked for
    }


def figures_of(columns: Any) -> dict[str, ColumnElement[Any]]:
    """Give the sums of calls that have these columns, but for those of :func:`sources_of`."""
    metered = sa.or_(columns.input_tokens.is_not(None), columns.output_tokens.is_not(None))
    unknown = {
        "unpriced_calls": columns.cost_usd,
        "energy_unknown_calls": columns.joules,
        "carbon_unknown_calls": columns.grams_co2e,
        "water_unknown_calls": columns.liters,
    }
    found: dict[str, ColumnElement[Any]] = {"calls": sa.func.count()}
    found |= {name: sa.func.sum(columns[name]) for name in SUMS}
    found |= {name: sa.func.count(sa.case((sa.and_(metered, of.is_(None)), 1))) for name, of in unknown.items()}
    for name in BANDED:
        mid = columns[name]
        for way, whole in (("down", mid - columns[f"{name}_low"]), ("up", columns[f"{name}_high"] - mid)):
            # A row of a release that did not tell them apart counts as sharing all of its error.
            shared = sa.func.coalesce(columns[f"{name}_shared_{way}"], whole)
            found[f"{name}_shared_{way}"] = sa.func.sum(shared)
            found[f"{name}_own_{way}"] = sa.func.sum(whole * whole - shared * shared)
    return found


def sources_of(columns: Any) -> dict[str, ColumnElement[bool]]:
    """Say which calls are counted by where their token counts came from."""
    return {
        "reported_calls": columns.usage_source == "reported",
        "counted_calls": columns.usage_source == "counted",
        "inferred_calls": columns.usage_source == "inferred",
        "absent_calls": sa.and_(columns.usage_source == "absent", columns.provider.is_not(None)),
    }


def _figures_of_rows() -> dict[str, ColumnElement[Any]]:
    counted = {name: sa.func.count(sa.case((of, 1))) for name, of in sources_of(calls.c).items()}
    return figures_of(calls.c) | counted


ROWS = RowsSource(dimensions_of(calls.c), _figures_of_rows(), QuarterHour(calls.c.started_at))
FEW: dict[str, ColumnElement[Any]] = {name: model_keys.c[name] for name in FEW_DIMENSIONS if name != "estimate_key"}
_ALL = dimensions_of(detail_keys.c)
QUARTERS = SumsSource.even(calls_by_quarter, model_keys, FEW, 1)
HOURS = SumsSource.even(calls_by_hour, model_keys, FEW, QUARTERS_AN_HOUR)
DAYS = SumsSource.even(calls_by_day, model_keys, FEW, QUARTERS_A_DAY)
DETAILS = SumsSource.even(details_by_day, detail_keys, _ALL, QUARTERS_A_DAY)


def four_hours(since: int) -> SumsSource:
    """Give the sums of four hours, which there are from a quarter on."""
    return SumsSource.even(calls_by_four_hours, model_keys, FEW, QUARTERS_IN_FOUR_HOURS, since)


def local_sources(days: LocalDays) -> tuple[SumsSource, SumsSource]:
    """Give the sums of these local days: over few dimensions, and over all."""
    return (
        SumsSource(calls_by_local_day, model_keys, FEW, QUARTERS_A_DAY, 1, days.of),
        SumsSource(details_by_local_day, detail_keys, _ALL, QUARTERS_A_DAY, 1, days.of),
    )


# What can be asked for, in the order in which it is listed.
DIMENSIONS = (
    *("team", "project", "user", "key", "provider", "model", "model_requested", "surface", "outcome", "usage_source"),
    *("service_tier", "tier", "zone", "grid_source"),
    *TIME_DIMENSIONS,
)
