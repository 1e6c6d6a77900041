"""What the estimates of a report rest on, in words."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection

from proxy.ledger.evidence import Evidence
from proxy.ledger.read import Totals
from proxy.reports.figures import percent

# By the ledger's column `tier`, from the surest to none.
TIERS = {
    "measured": "measured on the hardware",
    "disclosed": "disclosed by the provider",
    "deployment": "modelled for a known deployment",
    "open_model": "modelled for a model whose weights are open",
    "closed_model": "modelled for a model whose size is not public",
    "unknown": "of evidence that was not recorded",
}


def shares_of(connection: Connection, total: Totals) -> Mapping[str, float]:
    """Give the share of each tier in a sum's joules."""
    evidence = Evidence()
    evidence.read(connection, total)
    return evidence.shares(total)


def said(shares: Mapping[str, float]) -> str:
    """Put shares into words, the surest first."""
    return ", ".join(f"{percent(share)} {TIERS[tier]}" for tier, share in shares.items())
