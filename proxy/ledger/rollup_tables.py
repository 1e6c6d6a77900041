"""The sums that reports read: by quarter, hour, four hours and day over few dimensions, by day also over all.

Days are those of UTC and, where the ledger is told a time zone, those of that zone too.

The few are what the named reports are split by, and few of their combinations are in use; where users are many, the
sums over all dimensions hardly shrink.
Every time zone in use is off UTC by whole quarters of an hour, so quarters can be put together to anyone's days. Longer
sums make that quick: a local day cuts one of the hours and one of the four hours at most, and has five of these whole.
A key is a digest of its dimensions: no machine has to ask another for the number of a key.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from proxy.ledger.sqltypes import UsdSum
from proxy.ledger.tables import metadata

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
QUARTERS_AN_HOUR = 4
QUARTERS_IN_FOUR_HOURS = 16
QUARTERS_A_DAY = 96


def quarter_of(at: datetime) -> int:
    """Give the quarter of an hour since the Unix epoch that a time falls into."""
    return (at - EPOCH) // QUARTER


def moment(quarter: int) -> datetime:
    """Give where a quarter begins."""
    return EPOCH + quarter * QUARTER


# Here `model` is as served, else as asked for. What errs alike is never summed into one.
FIRST_DIMENSIONS = ("team", "provider", "model", "estimate_key")
FEW_DIMENSIONS = (*FIRST_DIMENSIONS, "project", "tier", "zone", "grid_source")
ALL_DIMENSIONS = (
    "team", "project", "user", "key_id", "provider", "model", "model_requested", "surface", "outcome", "usage_source",
    "service_tier", "tier", "zone", "grid_source", "estimate_key",
)  # fmt: skip

# NULL where nothing was known of any call.
SUMS = (
    "input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens", "flops", "joules", "grams_co2e",
    "embodied_grams_co2e", "market_grams_co2e", "liters", "cost_usd",
)  # fmt: skip
COUNTS = (
    "unpriced_calls", "energy_unknown_calls", "carbon_unknown_calls", "water_unknown_calls",
    "reported_calls", "counted_calls", "inferred_calls", "absent_calls",
)  # fmt: skip
# Deviations that all calls of a key share add up; those of single calls add up in squares.
BANDED = ("joules", "grams_co2e")
DEVIATING = ("shared_down", "shared_up", "own_down", "own_up")
DEVIATIONS = tuple(f"{name}_{part}" for name in BANDED for part in DEVIATING)
FIGURES = ("calls", *SUMS, *COUNTS, *DEVIATIONS)


def _figures() -> list[sa.Column[object]]:
    kinds = {"cost_usd": UsdSum} | {name: sa.BigInteger for name in SUMS if name.endswith("_tokens")}
    return [
        sa.Column("calls", sa.BigInteger, nullable=False),
        *(sa.Column(name, kinds.get(name, sa.Double)) for name in SUMS),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS),
        *(sa.Column(name, sa.Double) for name in DEVIATIONS),
    ]


def _keys(name: str, dimensions: tuple[str, ...]) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
        *(sa.Column(each, sa.Text) for each in dimensions),
    )


model_keys = _keys("model_keys", FEW_DIMENSIONS)
detail_keys = _keys("detail_keys", ALL_DIMENSIONS)
# From which quarter on the sums over few dimensions tell apart more than the first of these; without a row, always.
finer_sums = sa.Table(
    "finer_sums", metadata, sa.Column("quarter", sa.BigInteger, primary_key=True, autoincrement=False)
)


def finer_from(connection: sa.Connection) -> int:
    """Give the quarter, which begins a day, from which on sums over few dimensions have all of them."""
    return connection.scalar(sa.select(finer_sums.c.quarter)) or 0


# From which quarter on there are sums of four hours; without a row, always.
four_hours_kept = sa.Table(
    "four_hours_kept", metadata, sa.Column("quarter", sa.BigInteger, primary_key=True, autoincrement=False)
)


def four_hours_from(connection: sa.Connection) -> int:
    """Give the quarter, which begins a day, from which on there are sums of four hours."""
    return connection.scalar(sa.select(four_hours_kept.c.quarter)) or 0


def _sums(name: str, time: str) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        sa.Column(time, sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("key", sa.BigInteger, primary_key=True, autoincrement=False),
        *_figures(),
        sqlite_with_rowid=False,
    )


# Time is a number of quarters of an hour, of hours, of four hours, or of days, since the Unix epoch, UTC.
calls_by_quarter = _sums("calls_by_quarter", "quarter")  # and model_keys
calls_by_hour = _sums("calls_by_hour", "hour")  # and model_keys
calls_by_four_hours = _sums("calls_by_four_hours", "four_hours")  # and model_keys
calls_by_day = _sums("calls_by_day", "day")  # and model_keys
details_by_day = _sums("details_by_day", "day")  # and detail_keys

# Whose local days sums are kept of, each zone from a quarter on; see :mod:`proxy.ledger.local_days`.
local_days = sa.Table(
    "local_days",
    metadata,
    sa.Column("quarter", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("tz", sa.Text, nullable=False),
)
# A local day is named by the quarter in which it begins.
calls_by_local_day = _sums("calls_by_local_day", "quarter")  # and model_keys
details_by_local_day = _sums("details_by_local_day", "quarter")  # and detail_keys
