"""Sums of four hours, so that days of any zone are put together from a third of what hours alone would be.

In a ledger that has calls there are such sums from the second day (UTC) after this on, since the release before, which
does not write them, may go on until it is stopped; of earlier days reports read hours, as before. From then on that
release may no longer write.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

from proxy.ledger.sqltypes import UsdSum

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

_TOKENS = ("input_tokens", "cached_input_tokens", "output_tokens", "reasoning_tokens")
_SUMS = ("flops", "joules", "grams_co2e", "embodied_grams_co2e", "market_grams_co2e", "liters")
_COUNTS = (
    "unpriced_calls", "energy_unknown_calls", "carbon_unknown_calls", "water_unknown_calls",
    "reported_calls", "counted_calls", "inferred_calls", "absent_calls",
)  # fmt: skip
_DEVIATIONS = (
    "joules_shared_down", "joules_shared_up", "joules_own_down", "joules_own_up",
    "grams_co2e_shared_down", "grams_co2e_shared_up", "grams_co2e_own_down", "grams_co2e_own_up",
)  # fmt: skip
_QUARTERS_A_DAY = 96


def upgrade() -> None:
    op.create_table(
        "calls_by_four_hours",
        sa.Column("four_hours", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("key", sa.BigInteger, nullable=False, autoincrement=False),
        sa.Column("calls", sa.BigInteger, nullable=False),
        *(sa.Column(each, sa.BigInteger) for each in _TOKENS),
        *(sa.Column(each, sa.Double) for each in _SUMS),
        sa.Column("cost_usd", UsdSum),
        *(sa.Column(each, sa.BigInteger, nullable=False) for each in _COUNTS),
        *(sa.Column(each, sa.Double) for each in _DEVIATIONS),
        sa.PrimaryKeyConstraint("four_hours", "key", name="pk_calls_by_four_hours"),
        sqlite_with_rowid=False,
    )
    kept = op.create_table(
        "four_hours_kept",
        sa.Column("quarter", sa.BigInteger, nullable=False, autoincrement=False),
        sa.PrimaryKeyConstraint("quarter", name="pk_four_hours_kept"),
    )
    any_call = "SELECT 1 FROM call_rows UNION ALL SELECT 1 FROM calls_by_day LIMIT 1"  # the rows may be deleted
    if op.get_bind().exec_driver_sql(any_call).first() is not None:
        days = (datetime.now(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(days=1)
        op.bulk_insert(kept, [{"quarter": (days + 2) * _QUARTERS_A_DAY}])
    op.execute(f"UPDATE compatibility SET oldest = '{revision}'")  # noqa: S608


def downgrade() -> None:
    op.execute(f"UPDATE compatibility SET oldest = '{down_revision}'")  # noqa: S608
    op.drop_table("four_hours_kept")
    op.drop_table("calls_by_four_hours")
