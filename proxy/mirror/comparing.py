"""Whether a mirror has what its ledger has: calls and dollars of each day, which are exact on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from proxy.errors import LedgerError
from proxy.ledger.engine import shown
from proxy.ledger.read import Totals, totals

_UTC = ZoneInfo("UTC")
_ALL = (datetime(1970, 1, 1, tzinfo=UTC), datetime(2262, 1, 1, tzinfo=UTC))  # as far as ClickHouse's times go
_NOTHING = Totals()


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A day (UTC) on which the two disagree."""

    day: str
    ledger_calls: int
    ledger_usd: Decimal
    mirror_calls: int
    mirror_usd: Decimal


def differences(engine: Engine, mirror: Engine) -> list[Difference]:
    """Compare the ledger's sums with the mirror's rows; raises :class:`LedgerError` when one of them is away."""
    ledger, copied = _days(engine), _days(mirror)
    found = []
    for day in sorted(ledger.keys() | copied.keys()):
        one, other = ledger.get(day, _NOTHING), copied.get(day, _NOTHING)
        if (one.calls, one.cost_usd) != (other.calls, other.cost_usd):
            found.append(
                Difference(
                    day=day,
                    ledger_calls=one.calls,
                    ledger_usd=one.cost_usd or Decimal(0),
                    mirror_calls=other.calls,
                    mirror_usd=other.cost_usd or Decimal(0),
                )
            )
    return found


def _days(engine: Engine) -> dict[str, Totals]:
    try:
        with engine.connect() as connection:
            days = totals(connection, by=("day",), start=_ALL[0], end=_ALL[1], zone=_UTC)
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        raise LedgerError(f"{shown(engine.url)} cannot be read: {cause}") from error
    return {each.key[0] or "": each for each in days}
