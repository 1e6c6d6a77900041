"""SQL for the ledger's sums by day (PostgreSQL): the tables that ``joulegate report`` reads, summed as it sums.

A day is one of UTC. What a row has no name for is shown as "–"; so are the values of the variables.
"""

from __future__ import annotations

from collections.abc import Sequence

from estimator.fits import constants

NAMELESS = "–"
FEW = ("calls_by_day", "model_keys")  # by team, provider and model
WIDE = ("details_by_day", "detail_keys")  # by all that a report can be split by
# Of a range that ends in the middle of a day, the whole day.
_SHOWN = "d.day BETWEEN $__unixEpochFrom() / 86400 AND $__unixEpochTo() / 86400"
_DAY = "to_timestamp(d.day * 86400)"


def dimension(name: str, tables: tuple[str, str] = FEW) -> str:
    """Give a dimension as reports have it: the model as served, else as asked for."""
    if name == "model" and tables == WIDE:
        return f"coalesce(k.model, k.model_requested, '{NAMELESS}')"
    return f"coalesce(k.{name}, '{NAMELESS}')"


def everything(tables: tuple[str, str] = FEW) -> str:
    """Give the tables joined, and of them what the time range has."""
    sums, keys = tables
    return f"FROM {sums} d JOIN {keys} k ON k.key = d.key WHERE {_SHOWN}"


def chosen(tables: tuple[str, str] = FEW) -> str:
    """Give the tables joined, and of them what the time range has and the dashboard's variables choose."""
    picked = [f"{dimension(name, tables)} IN (${{{name}:sqlstring}})" for name in ("team", "provider", "model")]
    return " AND ".join((everything(tables), *picked))


def total(*figures: str, tables: tuple[str, str] = FEW) -> str:
    """Sum figures over what is chosen; unknown and nothing else is NULL."""
    return f"SELECT {', '.join(f'sum(d.{name}) AS {name}' for name in figures)} {chosen(tables)}"


def split(by: Sequence[str], figures: Sequence[str], tables: tuple[str, str] = FEW) -> str:
    """Sum figures by dimensions."""
    keys = [f"{dimension(name, tables)} AS {name}" for name in by]
    sums = [f"sum(d.{name}) AS {name}" for name in figures]
    places = ", ".join(str(place) for place in range(1, len(by) + 1))
    return f"SELECT {', '.join((*keys, *sums))} {chosen(tables)} GROUP BY {places}"


def daily(name: str, figure: str, source: str, tables: tuple[str, str] = FEW) -> str:
    """Sum a figure of a source by day and a dimension, as a time series."""
    columns = f"{_DAY} AS time, {dimension(name, tables)} AS metric, sum(d.{figure}) AS value"
    return f"SELECT {columns} {source} GROUP BY 1, 2 ORDER BY 1, 2"


def band(figure: str, by: Sequence[str] = ()) -> str:
    """Sum a figure with its 90 % band, as the estimator sums.

    Within what errs alike the shared deviations add up, between such groups they correlate in part, and own deviations
    add up in squares: ``estimator.uncertainty.Total``.
    """
    alike: float = constants()["bands"]["between_models"]
    names = "".join(f"{name}, " for name in by)
    keys = "".join(f"{dimension(name)} AS {name}, " for name in by)
    ways = ", ".join(
        f"sum(d.{figure}_shared_{way}) AS shared_{way}, sum(greatest(0, d.{figure}_own_{way})) AS own_{way}"
        for way in ("down", "up")
    )
    grouped = ", ".join(str(place) for place in range(1, len(by) + 2))

    def deviation(way: str) -> str:
        shared = f"shared_{way}"
        return f"sqrt({alike} * sum({shared}) ^ 2 + {1 - alike} * sum({shared} ^ 2) + sum(own_{way}))"

    # Without a single figure there is no row: `greatest` would make 0 of NULL.
    outer = f" GROUP BY {', '.join(by)}" if by else " HAVING count(*) > 0"
    return (
        f"WITH alike AS (SELECT {keys}k.estimate_key, sum(d.{figure}) AS mid, {ways} {chosen()}"
        f" AND d.{figure} IS NOT NULL GROUP BY {grouped})"
        f" SELECT {names}greatest(0, sum(mid) - {deviation('down')}) AS {figure}_low,"
        f" sum(mid) AS {figure}, sum(mid) + {deviation('up')} AS {figure}_high FROM alike{outer}"
    )


def forecast(figure: str) -> str:
    """Sum a figure, stretched to the whole time range where that is not over yet; an hour has passed at least."""
    start, end = "$__unixEpochFrom()", "$__unixEpochTo()"
    passed = f"greatest(3600, least({end}, extract(epoch FROM now())) - {start})"
    return f"SELECT sum(d.{figure}) * greatest(1, ({end} - {start}) / {passed}) AS {figure} {chosen()}"


def values_of(name: str) -> str:
    """List what a dimension has been."""
    return f"SELECT DISTINCT {dimension(name)} FROM model_keys k ORDER BY 1"
