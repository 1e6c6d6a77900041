"""Calls are stored in two tables: what many have in common once, as their kind, and the rest of each as a row.

``calls`` is a view of both, with the columns it had. What is there is moved, which takes minutes for ten millions; a
machine of a release before this one keeps its calls in its journal meanwhile, and until it has this release too.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.engine import Connection

from proxy.ledger.keys import key_of
from proxy.ledger.sqltypes import Json, Usd, UtcDateTime

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

_AT_ONCE = 10_000
_SHARED = (
    "team", "project", "user", "key_id", "provider", "surface", "model_requested", "model", "stream", "status",
    "outcome", "reason", "usage_source", "flags", "service_tier", "facts_version", "method", "tier", "estimate_reason",
    "zone", "price_id", "grid_source", "estimate_key", "region",
)  # fmt: skip
_Types = dict[str, Any]

_KIND: _Types = dict.fromkeys(_SHARED, sa.Text) | {"stream": sa.Boolean, "status": sa.SmallInteger, "flags": Json}
_ROW: _Types = {
    "attempt": sa.SmallInteger,
    "started_at": UtcDateTime,
    "tags": Json,
    "provider_request_id": sa.Text,
    "input_tokens": sa.BigInteger,
    "cached_input_tokens": sa.BigInteger,
    "cache_write_tokens": sa.BigInteger,
    "audio_input_tokens": sa.BigInteger,
    "image_input_tokens": sa.BigInteger,
    "output_tokens": sa.BigInteger,
    "reasoning_tokens": sa.BigInteger,
    "audio_output_tokens": sa.BigInteger,
    "image_output_tokens": sa.BigInteger,
    "units": Json,
    "latency_ms": sa.BigInteger,
    "time_to_first_token_ms": sa.BigInteger,
    "overhead_us": sa.BigInteger,
    "request_bytes": sa.BigInteger,
    "response_bytes": sa.BigInteger,
    "flops": sa.Double,
    "joules_low": sa.Double,
    "joules": sa.Double,
    "joules_high": sa.Double,
    "it_joules": sa.Double,
    "grams_co2e_low": sa.Double,
    "grams_co2e": sa.Double,
    "grams_co2e_high": sa.Double,
    "embodied_grams_co2e": sa.Double,
    "market_grams_co2e": sa.Double,
    "liters": sa.Double,
    "cost_usd": Usd,
    "joules_shared_down": sa.Double,
    "joules_shared_up": sa.Double,
    "grams_co2e_shared_down": sa.Double,
    "grams_co2e_shared_up": sa.Double,
    "attributes": Json,
    "summed_calls": sa.BigInteger,
    "generation": sa.BigInteger,
    "rolled_up": sa.Boolean,
}
_CALLS = (
    "id", "operation_id", "attempt", "started_at", "team", "project", "user", "key_id", "tags", "provider", "surface",
    "model_requested", "model", "stream", "status", "outcome", "reason", "provider_request_id", "input_tokens",
    "cached_input_tokens", "cache_write_tokens", "audio_input_tokens", "image_input_tokens", "output_tokens",
    "reasoning_tokens", "audio_output_tokens", "image_output_tokens", "units", "usage_source", "flags", "latency_ms",
    "time_to_first_token_ms", "overhead_us", "request_bytes", "response_bytes", "service_tier", "facts_version",
    "method", "tier", "estimate_reason", "zone", "flops", "joules_low", "joules", "joules_high", "it_joules",
    "grams_co2e_low", "grams_co2e", "grams_co2e_high", "embodied_grams_co2e", "market_grams_co2e", "liters",
    "cost_usd", "price_id", "grid_source", "estimate_key", "joules_shared_down", "joules_shared_up",
    "grams_co2e_shared_down", "grams_co2e_shared_up", "attributes", "summed_calls", "region", "rolled_up", "generation",
)  # fmt: skip
_ALWAYS = {"surface", "stream", "outcome", "usage_source", "tier", "attempt", "started_at", "rolled_up"}
_OF_BOTH = ", ".join(
    "coalesce(r.operation_id, r.id) AS operation_id"
    if name == "operation_id"
    else f'{"k" if name in _KIND else "r"}."{name}"'
    for name in _CALLS
)
_SELECT = f"SELECT {_OF_BOTH} FROM call_rows AS r LEFT JOIN call_kinds AS k ON k.kind = r.kind"  # noqa: S608
_NOT_ROLLED_UP = sa.text("NOT rolled_up")


def upgrade() -> None:
    connection = op.get_bind()
    op.create_table(
        "call_kinds",
        sa.Column("kind", sa.BigInteger, nullable=False, autoincrement=False),
        *_columns(_KIND),
        sa.PrimaryKeyConstraint("kind", name="pk_call_kinds"),
        sqlite_with_rowid=False,
    )
    _create(
        connection,
        "call_rows",
        sa.Column("operation_id", sa.Text),
        sa.Column("kind", sa.BigInteger, nullable=False),
        *_columns(_ROW),
    )
    _make_months(connection, "calls", "call_rows")
    _move(connection)
    op.drop_table("calls")
    op.create_index("ix_call_rows_started_at", "call_rows", ["started_at"])
    _create_index_of_the_rest("call_rows")
    connection.exec_driver_sql(f"CREATE VIEW calls AS {_SELECT}")


def downgrade() -> None:
    connection = op.get_bind()
    connection.exec_driver_sql("DROP VIEW calls")
    _create(connection, "calls", sa.Column("operation_id", sa.Text, nullable=False), *_columns(_ROW | _KIND))
    _make_months(connection, "call_rows", "calls")
    names = ", ".join(f'"{name}"' for name in _CALLS)
    connection.exec_driver_sql(f"INSERT INTO calls ({names}) {_SELECT}")
    op.drop_table("call_rows")
    op.drop_table("call_kinds")
    op.create_index("ix_calls_started_at", "calls", ["started_at"])
    op.create_index("ix_calls_team_started_at", "calls", ["team", "started_at"])
    _create_index_of_the_rest("calls")


def _columns(types: _Types) -> list[sa.Column[object]]:
    return [sa.Column(name, kind, nullable=name not in _ALWAYS) for name, kind in types.items()]


def _create(connection: Connection, name: str, *columns: sa.Column[object]) -> None:
    """Make a table of calls, on PostgreSQL one of months."""
    apart = connection.dialect.name == "postgresql"
    op.create_table(
        name,
        sa.Column("id", sa.Text, nullable=False),
        *columns,
        sa.PrimaryKeyConstraint("id", *(["started_at"] if apart else []), name=f"pk_{name}"),
        postgresql_partition_by="RANGE (started_at)",
    )


def _create_index_of_the_rest(table: str) -> None:
    op.create_index(
        f"ix_{table}_not_rolled_up",
        table,
        ["started_at"],
        sqlite_where=_NOT_ROLLED_UP,
        postgresql_where=_NOT_ROLLED_UP,
    )


def _make_months(connection: Connection, source: str, target: str) -> None:
    if connection.dialect.name != "postgresql":
        return
    run = connection.exec_driver_sql
    month = "date_trunc('month', started_at AT TIME ZONE 'UTC')"
    for (start,) in run(f"SELECT DISTINCT {month} FROM {source} ORDER BY 1").all():  # noqa: S608
        following = f"{start.year + start.month // 12:04}-{start.month % 12 + 1:02}-01Z"
        run(
            f"CREATE TABLE {target}_{start:%Y_%m} PARTITION OF {target}"
            f" FOR VALUES FROM ('{start:%Y-%m}-01Z') TO ('{following}')"
        )


def _move(connection: Connection) -> None:
    """Take calls over in the order of their ids, each with the number of its kind."""
    calls = sa.table("calls", sa.column("id"), *(sa.column(name, kind) for name, kind in _KIND.items()))
    kinds = sa.table("call_kinds", sa.column("kind"), *(sa.column(name, kind) for name, kind in _KIND.items()))
    numbered = sa.table("numbered", sa.column("id", sa.Text), sa.column("kind", sa.BigInteger))
    op.create_table(
        "numbered", sa.Column("id", sa.Text, nullable=False), sa.Column("kind", sa.BigInteger), prefixes=["TEMPORARY"]
    )
    names = ", ".join(_ROW)
    take = (
        f"INSERT INTO call_rows (id, operation_id, kind, {names})"  # noqa: S608
        f" SELECT id, nullif(operation_id, id), kind, {names} FROM calls JOIN numbered USING (id)"
    )
    written: set[int] = set()
    after = ""
    page = sa.select(calls).where(calls.c.id > sa.bindparam("after")).order_by(calls.c.id).limit(_AT_ONCE)
    while found := connection.execute(page, {"after": after}).all():
        after = found[-1].id
        shared = {row.id: tuple(tuple(each) if isinstance(each, list) else each for each in row[1:]) for row in found}
        fresh = {key_of(each): each for each in shared.values() if key_of(each) not in written}
        if fresh:
            rows = [dict(zip(("kind", *_KIND), (number, *each), strict=True)) for number, each in fresh.items()]
            connection.execute(sa.insert(kinds), rows)
            written |= fresh.keys()
        connection.execute(sa.insert(numbered), [{"id": name, "kind": key_of(each)} for name, each in shared.items()])
        connection.exec_driver_sql(take)
        connection.execute(sa.delete(numbered))
    op.drop_table("numbered")
