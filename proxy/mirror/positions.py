"""What a mirror lacks, kept in the ledger.

The sums by quarter of an hour are written with the rows. So a quarter whose sums are those of its last copy has been
copied whole, and one whose sums are others has new calls or new estimates, however late they came and whichever
machine wrote them. Where new estimates leave every sum as it was, their generation tells. Nothing on the way of a call
has to know of mirrors.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from proxy.ledger.engine import WRITE
from proxy.ledger.mirror_table import mirror_positions
from proxy.ledger.rollup_tables import FIGURES, calls_by_quarter, quarter_of
from proxy.ledger.tables import estimate_generations

_LOCK = 0x6D6972726F72  # PostgreSQL's lock for beginning a copy: "mirror" in ASCII
# Databases add floats up in any order: what differs behind these digits is the same sum.
_SUMS_DIGITS = 9
_BEGIN = sa.text(
    "INSERT INTO mirror_positions (mirror, quarter, copy, sums) VALUES (:mirror, :quarter, :copy, NULL)"
    " ON CONFLICT (mirror, quarter) DO UPDATE SET sums = NULL, copy = excluded.copy"
)
_DONE = sa.text(
    "UPDATE mirror_positions SET sums = :sums WHERE mirror = :mirror AND quarter = :quarter AND copy = :copy"
)


@dataclass(frozen=True, slots=True)
class Lacking:
    """A quarter of an hour, counted since the Unix epoch, and what the ledger's sums of it were."""

    quarter: int
    calls: int
    sums: str
    before: int | None  # the quarter before that has calls too


class Positions:
    """How far one mirror, by its name, is behind a ledger."""

    def __init__(self, engine: Engine, mirror: str) -> None:
        self._engine = engine
        self._mirror = mirror

    def lacking(self, since: int | None = None) -> list[Lacking]:
        """Give the quarters that the mirror lacks, from ``since`` on, in their order."""
        table = mirror_positions.c
        of_mirror = sa.select(table.quarter, table.sums).where(table.mirror == self._mirror)
        if since is not None:
            of_mirror = of_mirror.where(table.quarter >= since)
        found, before = [], None
        with self._engine.connect() as connection:
            copied = {row.quarter: row.sums for row in connection.execute(of_mirror)}
            for quarter, calls, sums in _sums(connection, since):
                if copied.get(quarter) != sums:
                    found.append(Lacking(quarter, calls, sums, before))
                before = quarter
        return found

    def begin(self, quarters: Sequence[Lacking], at: datetime) -> int:
        """Begin to copy quarters; gives the copy's number, larger than that of every copy of them before.

        A row with a smaller number than one in the mirror would be taken for the older. Clocks may step back, and the
        ledger may be one restored from a backup: so it is the time, or else what comes after the last number.
        """
        table = mirror_positions.c
        ends = min(each.quarter for each in quarters), max(each.quarter for each in quarters)
        last = sa.select(sa.func.max(table.copy)).where(table.mirror == self._mirror, table.quarter.between(*ends))
        with self._engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
            copy = max(int(at.timestamp() * 1e6), (connection.scalar(last) or 0) + 1)
            connection.execute(
                _BEGIN, [{"mirror": self._mirror, "quarter": each.quarter, "copy": copy} for each in quarters]
            )
        return copy

    def done(self, quarters: Sequence[Lacking], copy: int) -> bool:
        """Take note that a copy is in the mirror; False where another of one of the quarters has begun since."""
        with self._engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
            changed = sum(
                connection.execute(
                    _DONE, {"mirror": self._mirror, "quarter": each.quarter, "copy": copy, "sums": each.sums}
                ).rowcount
                for each in quarters
            )
        return changed == len(quarters)

    def forget(self) -> None:
        """Let everything be copied again."""
        update = sa.update(mirror_positions).where(mirror_positions.c.mirror == self._mirror).values(sums=None)
        with self._engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
            connection.execute(update)


def _sums(connection: Connection, since: int | None) -> Iterator[tuple[int, int, str]]:
    quarter = calls_by_quarter.c.quarter
    generations = _generations(connection)
    sums = (sa.func.sum(calls_by_quarter.c[name]) for name in FIGURES)
    select = sa.select(quarter, *sums).group_by(quarter).order_by(quarter)
    if since is not None:
        select = select.where(quarter >= since)
    for found, *figures in connection.execute(select):
        latest = max((number for number, first, last in generations if first <= found <= last), default=0)
        said = [_written(each) for each in figures] + ([f"generation {latest}"] if latest else [])
        yield found, int(figures[FIGURES.index("calls")]), " ".join(said)


def _generations(connection: Connection) -> list[tuple[int, int, int]]:
    """Give the generations of estimates that have ended, with their first and last quarter.

    Until then only the sums tell, or all of its stretch would be copied at each look.
    """
    table = estimate_generations.c
    ended = sa.select(table.generation, table.calls_from, table.calls_to).where(table.ended_at.is_not(None))
    return [
        (number, quarter_of(start), quarter_of(end - timedelta(microseconds=1)))
        for number, start, end in connection.execute(ended)
    ]


def _written(figure: object) -> str:
    return f"{figure:.{_SUMS_DIGITS}g}" if isinstance(figure, float) else str(figure)
