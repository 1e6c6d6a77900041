"""The ledger's tables, and a row of ``calls`` as Python sees it. The columns of calls are a public contract.

NULL is not 0: an unknown figure is NULL, with the reason beside it. ``calls`` is what everybody reads, a view. It is
stored in two: ``call_kinds`` has what many calls have in common, nearly all of their text, each combination once;
``call_rows`` has the rest of each call and the number of its kind.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from proxy.call import Outcome, UsageSource
from proxy.ledger.sqltypes import Json, Usd, UtcDateTime

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# The columns of calls that an estimate fills: another estimate of the same call changes these alone.
ESTIMATE = (
    "facts_version", "method", "tier", "estimate_reason", "zone", "flops", "joules_low", "joules", "joules_high",
    "it_joules", "grams_co2e_low", "grams_co2e", "grams_co2e_high", "embodied_grams_co2e", "market_grams_co2e",
    "liters", "cost_usd", "price_id", "grid_source", "estimate_key", "joules_shared_down", "joules_shared_up",
    "grams_co2e_shared_down", "grams_co2e_shared_up", "prefill_joules",
)  # fmt: skip

# What makes the kind of a call. Its number is a digest of these, in this order: see `keys`.
KIND = (
    "team", "project", "user", "key_id", "provider", "surface", "model_requested", "model", "stream", "status",
    "outcome", "reason", "usage_source", "flags", "service_tier", "facts_version", "method", "tier", "estimate_reason",
    "zone", "price_id", "grid_source", "estimate_key", "region",
)  # fmt: skip

# One row per upstream attempt or refusal, as the gate and the estimator left it. A view: nothing is written to it.
calls = sa.Table(
    "calls",
    sa.MetaData(),
    # who and when
    sa.Column("id", sa.Text, primary_key=True),  # UUIDv7
    sa.Column("operation_id", sa.Text, nullable=False),  # shared by the attempts of one request
    sa.Column("attempt", sa.SmallInteger, nullable=False),
    sa.Column("started_at", UtcDateTime, nullable=False),
    sa.Column("team", sa.Text),
    sa.Column("project", sa.Text),
    sa.Column("user", sa.Text),
    sa.Column("key_id", sa.Text),
    sa.Column("tags", Json),
    # what
    sa.Column("provider", sa.Text),  # NULL: turned away before one was chosen
    sa.Column("surface", sa.Text, nullable=False),
    sa.Column("model_requested", sa.Text),
    sa.Column("model", sa.Text),  # as served
    sa.Column("stream", sa.Boolean, nullable=False),
    sa.Column("status", sa.SmallInteger),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),  # why it is not ok, or why usage is absent
    sa.Column("provider_request_id", sa.Text),
    # how much
    sa.Column("input_tokens", sa.BigInteger),  # includes the next four
    sa.Column("cached_input_tokens", sa.BigInteger),
    sa.Column("cache_write_tokens", sa.BigInteger),
    sa.Column("audio_input_tokens", sa.BigInteger),
    sa.Column("image_input_tokens", sa.BigInteger),
    sa.Column("output_tokens", sa.BigInteger),  # includes the next three
    sa.Column("reasoning_tokens", sa.BigInteger),
    sa.Column("audio_output_tokens", sa.BigInteger),
    sa.Column("image_output_tokens", sa.BigInteger),
    sa.Column("units", Json),  # billed things that are not tokens
    sa.Column("usage_source", sa.Text, nullable=False),
    sa.Column("flags", Json),  # oddities seen, a list
    # how fast
    sa.Column("latency_ms", sa.BigInteger),
    sa.Column("time_to_first_token_ms", sa.BigInteger),
    sa.Column("overhead_us", sa.BigInteger),
    sa.Column("request_bytes", sa.BigInteger),
    sa.Column("response_bytes", sa.BigInteger),
    sa.Column("service_tier", sa.Text),
    # the estimate
    sa.Column("facts_version", sa.Text),
    sa.Column("method", sa.Text),
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("estimate_reason", sa.Text),  # why estimates are NULL
    sa.Column("zone", sa.Text),  # of electricity, never a cloud's region
    sa.Column("flops", sa.Double),
    sa.Column("joules_low", sa.Double),  # at the facility's meter, PUE included
    sa.Column("joules", sa.Double),
    sa.Column("joules_high", sa.Double),
    sa.Column("it_joules", sa.Double),
    sa.Column("grams_co2e_low", sa.Double),  # operational, location-based
    sa.Column("grams_co2e", sa.Double),
    sa.Column("grams_co2e_high", sa.Double),
    sa.Column("embodied_grams_co2e", sa.Double),
    sa.Column("market_grams_co2e", sa.Double),
    sa.Column("liters", sa.Double),  # on site and in generating the electricity
    sa.Column("cost_usd", Usd),  # NULL: unpriced
    sa.Column("price_id", sa.Text),
    sa.Column("grid_source", sa.Text),  # whose grams per kWh: the annual table's, or that of an hour
    # What errs alike for all rows of one key adds up in a sum; the rest of a row's band is its own and evens out.
    sa.Column("estimate_key", sa.Text),  # the model at its operator
    sa.Column("joules_shared_down", sa.Double),  # the shared part of joules - joules_low, 90 %
    sa.Column("joules_shared_up", sa.Double),
    sa.Column("grams_co2e_shared_down", sa.Double),
    sa.Column("grams_co2e_shared_up", sa.Double),
    sa.Column("attributes", Json),  # what else the request said about its caller: SDK, retry, metadata, …
    # These say nothing in rows of releases before them.
    sa.Column("summed_calls", sa.BigInteger),  # whose sum the tokens are: a batch answers many at once
    sa.Column("region", sa.Text),  # where the provider said that it kept the call, at a price of its own
    sa.Column("rolled_up", sa.Boolean, nullable=False),  # ours: whether the sums of the rollups have it
    # Which of estimate_generations its estimate is of; NULL: it is the one it was recorded with.
    sa.Column("generation", sa.BigInteger),
    sa.Column("prefill_joules", sa.Double),  # of joules, what reading the prompt took; writing the output took the rest
)


def _stored(name: str) -> sa.Column[Any]:
    column = calls.c[name]
    return sa.Column(name, column.type, nullable=column.nullable)


_LAST = ("generation", "rolled_up", "prefill_joules")  # of call_rows; later columns come behind

call_kinds = sa.Table(
    "call_kinds",
    metadata,
    sa.Column("kind", sa.BigInteger, primary_key=True, autoincrement=False),
    *map(_stored, KIND),
    sqlite_with_rowid=False,
)

call_rows = sa.Table(
    "call_rows",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("operation_id", sa.Text),  # NULL: the id, as it is where nothing was tried again
    sa.Column("kind", sa.BigInteger, nullable=False),
    *(_stored(each.name) for each in calls.c if each.name not in ("id", "operation_id", *_LAST, *KIND)),
    *map(_stored, _LAST),
    sa.Index("ix_call_rows_started_at", "started_at"),
    sa.Index(
        "ix_call_rows_not_rolled_up",
        "started_at",
        sqlite_where=sa.text("NOT rolled_up"),
        postgresql_where=sa.text("NOT rolled_up"),
    ),
)

# In the words of the partial index: in others SQLite does not see that it will do. Of a type SQLAlchemy adds "= 1".
NOT_ROLLED_UP: sa.ColumnElement[Any] = sa.literal_column("NOT calls.rolled_up")

# What a call consumed beside the tokens its row states: compaction, an advisor, a model it fell back to. The
# estimates and the dollars of the call's row include those of its lines.
usage_lines = sa.Table(
    "usage_lines",
    metadata,
    sa.Column("call_id", sa.Text, primary_key=True),
    sa.Column("number", sa.SmallInteger, primary_key=True, autoincrement=False),  # 1, 2, …
    sa.Column("kind", sa.Text, nullable=False),  # the provider's word for it
    sa.Column("model", sa.Text),  # NULL: the call's own
    sa.Column("input_tokens", sa.BigInteger),
    sa.Column("cached_input_tokens", sa.BigInteger),
    sa.Column("cache_write_tokens", sa.BigInteger),
    sa.Column("output_tokens", sa.BigInteger),
    sa.Column("reasoning_tokens", sa.BigInteger),
    sa.Column("units", Json),
    sa.Column("tier", sa.Text, nullable=False),
    sa.Column("estimate_reason", sa.Text),
    sa.Column("flops", sa.Double),
    sa.Column("joules_low", sa.Double),
    sa.Column("joules", sa.Double),
    sa.Column("joules_high", sa.Double),
    sa.Column("it_joules", sa.Double),
    sa.Column("grams_co2e_low", sa.Double),
    sa.Column("grams_co2e", sa.Double),
    sa.Column("grams_co2e_high", sa.Double),
    sa.Column("embodied_grams_co2e", sa.Double),
    sa.Column("market_grams_co2e", sa.Double),
    sa.Column("liters", sa.Double),
    sa.Column("cost_usd", Usd),
    sa.Column("price_id", sa.Text),
    sa.Column("summed_calls", sa.BigInteger),  # whose sum the line is; NULL: a release before it wrote the line
    sa.Column("prefill_joules", sa.Double),
)

# Whose usage has been counted, where a provider shows it more than once: the response, batch or run, by its id.
counted_usage = sa.Table(
    "counted_usage",
    metadata,
    sa.Column("provider", sa.Text, primary_key=True),
    sa.Column("counted_as", sa.Text, primary_key=True),
    sa.Column("call_id", sa.Text, nullable=False),  # the call on whose row it is
    sa.Index("ix_counted_usage_call_id", "call_id"),  # it goes with its call
)

# From when on the rows of calls are kept, older ones being deleted; the latest row holds.
retention = sa.Table(
    "retention",
    metadata,
    sa.Column("rows_from", UtcDateTime, primary_key=True),
    sa.Column("at", UtcDateTime, nullable=False),  # when that was decided
)

# Which numbers an estimate was made with; calls.facts_version names one of them.
facts_versions = sa.Table(
    "facts_versions",
    metadata,
    sa.Column("facts_version", sa.Text, primary_key=True),
    sa.Column("first_used_at", UtcDateTime, nullable=False),
    sa.Column("release", sa.Text, nullable=False),  # of this package
)

# How far the recorder has come, written in the transaction that writes the rows: what makes a call
# count exactly once. A journal is one directory; several machines may share a ledger.
journal_positions = sa.Table(
    "journal_positions",
    metadata,
    sa.Column("journal", sa.Text, primary_key=True),
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("resolved_to", sa.BigInteger, nullable=False),  # byte offset; no call opened before it is still open
    sa.Column("read_to", sa.BigInteger, nullable=False),  # byte offset; everything before it is in the ledger
)


# Re-estimations of stored calls. One that is under way has no end; one that another overtook ends unfinished.
estimate_generations = sa.Table(
    "estimate_generations",
    metadata,
    sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),  # 1, 2, …
    sa.Column("calls_from", UtcDateTime, nullable=False),  # the period of calls, [from, to)
    sa.Column("calls_to", UtcDateTime, nullable=False),
    sa.Column("facts_version", sa.Text, nullable=False),
    sa.Column("settings", sa.Text, nullable=False),  # a digest of the release and the configuration
    sa.Column("began_at", UtcDateTime, nullable=False),
    sa.Column("ended_at", UtcDateTime),
    sa.Column("finished", sa.Boolean, nullable=False),  # it came to the end of its period
    sa.Column("done_to", UtcDateTime),  # the last call that was looked at: its start and its id
    sa.Column("done_to_id", sa.Text),
    sa.Column("looked_at", sa.BigInteger, nullable=False),  # calls
    sa.Column("changed", sa.BigInteger, nullable=False),
)

# What stood in the columns of the estimate of a call (number 0) or of its line before a generation changed it.
former_estimates = sa.Table(
    "former_estimates",
    metadata,
    sa.Column("call_id", sa.Text, primary_key=True),
    sa.Column("number", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("generation", sa.BigInteger, primary_key=True, autoincrement=False),  # the one that came in its place
    *(sa.Column(each.name, each.type, nullable=each.nullable) for each in (calls.c[name] for name in ESTIMATE)),
    sqlite_with_rowid=False,
)


# What providers state of usage and cost, as it was read: `source` is a digest of the file, `number` counts its lines.
statements = sa.Table(
    "statements",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("read_at", UtcDateTime, nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("day", sa.Date, nullable=False),  # UTC
    sa.Column("key", sa.Text),
    sa.Column("project", sa.Text),
    sa.Column("model", sa.Text),
    sa.Column("input_tokens", sa.BigInteger),  # includes the cached ones
    sa.Column("cached_input_tokens", sa.BigInteger),
    sa.Column("output_tokens", sa.BigInteger),
    sa.Column("usd", Usd),
)


class CallRow(msgspec.Struct, frozen=True, gc=False):
    """One row of ``calls``: same names, same order; what is not known is None."""

    id: str
    operation_id: str
    attempt: int
    started_at: datetime
    team: str | None
    project: str | None
    user: str | None
    key_id: str | None
    tags: dict[str, str] | None
    provider: str | None
    surface: str
    model_requested: str | None
    model: str | None
    stream: bool
    status: int | None
    outcome: Outcome
    reason: str | None
    provider_request_id: str | None
    input_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    audio_input_tokens: int | None
    image_input_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    audio_output_tokens: int | None
    image_output_tokens: int | None
    units: dict[str, float] | None
    usage_source: UsageSource
    flags: tuple[str, ...] | None
    latency_ms: int | None
    time_to_first_token_ms: int | None
    overhead_us: int | None
    request_bytes: int | None
    response_bytes: int | None
    service_tier: str | None
    facts_version: str | None
    method: str | None
    tier: str
    estimate_reason: str | None
    zone: str | None
    flops: float | None
    joules_low: float | None
    joules: float | None
    joules_high: float | None
    it_joules: float | None
    grams_co2e_low: float | None
    grams_co2e: float | None
    grams_co2e_high: float | None
    embodied_grams_co2e: float | None
    market_grams_co2e: float | None
    liters: float | None
    cost_usd: Decimal | None
    price_id: str | None
    grid_source: str | None
    estimate_key: str | None
    joules_shared_down: float | None
    joules_shared_up: float | None
    grams_co2e_shared_down: float | None
    grams_co2e_shared_up: float | None
    attributes: dict[str, str] | None
    summed_calls: int | None = None
    region: str | None = None
    prefill_joules: float | None = None


def picked(*names: str) -> itemgetter[tuple[Any, ...]]:
    """Pick fields out of rows that were made tuples, which takes a tenth of the time of asking a row for each."""
    return itemgetter(*map(CallRow.__struct_fields__.index, names))


call_columns = tuple(calls.c[name] for name in CallRow.__struct_fields__)


def rows_of(result: Iterable[Any]) -> list[CallRow]:
    """Make rows of what a select of ``call_columns`` gives."""
    names = CallRow.__struct_fields__
    return [msgspec.convert(dict(zip(names, row, strict=True)), CallRow) for row in result]


class LineRow(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``usage_lines``: same names, same order."""

    call_id: str
    number: int
    kind: str
    model: str | None
    input_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    output_tokens: int | None
    reasoning_tokens: int | None
    units: dict[str, float] | None
    tier: str
    estimate_reason: str | None
    flops: float | None
    joules_low: float | None
    joules: float | None
    joules_high: float | None
    it_joules: float | None
    grams_co2e_low: float | None
    grams_co2e: float | None
    grams_co2e_high: float | None
    embodied_grams_co2e: float | None
    market_grams_co2e: float | None
    liters: float | None
    cost_usd: Decimal | None
    price_id: str | None
    summed_calls: int | None = None
    prefill_joules: float | None = None


Former = msgspec.defstruct(
    "Former",
    [("call_id", str), ("number", int), ("generation", int), *((name, Any) for name in ESTIMATE)],
    frozen=True,
    gc=False,
)
