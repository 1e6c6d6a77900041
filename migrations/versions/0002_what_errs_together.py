"""Bands that can be summed, the source of the grid's figure, and zones where cloud regions stood."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from estimator.errors import UnknownZoneError
from estimator.grid import grid

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_COLUMNS = {
    "grid_source": sa.Text,
    "estimate_key": sa.Text,
    "joules_shared_down": sa.Double,
    "joules_shared_up": sa.Double,
    "grams_co2e_shared_down": sa.Double,
    "grams_co2e_shared_up": sa.Double,
}


def upgrade() -> None:
    for name, kind in _COLUMNS.items():
        op.add_column("calls", sa.Column(name, kind))
    calls = sa.table("calls", sa.column("zone", sa.Text))
    regions = op.get_bind().scalars(sa.select(calls.c.zone).where(calls.c.zone.contains(":")).distinct()).all()
    for region in regions:
        op.execute(sa.update(calls).where(calls.c.zone == region).values(zone=_zone(region)))


def downgrade() -> None:
    for name in _COLUMNS:
        op.drop_column("calls", name)


def _zone(region: str) -> str | None:
    try:
        return grid(region).zone
    except UnknownZoneError:
        return None
