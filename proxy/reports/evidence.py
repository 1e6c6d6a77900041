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


COUNTS_FROM = 0.05  # of the joules: what is less does not decide what a sum counts as


def evidence_of(connection: Connection, total: Totals) -> Evidence:
    """Read the tiers of what is in a sum, so of its parts too."""
    evidence = Evidence()
    evidence.read(connection, total)
    return evidence


def weakest(shares: Mapping[str, float]) -> str | None:
    """Give the weakest tier that counts in a sum; ``shares`` are of its joules, the surest first."""
    counting = [tier for tier, share in shares.items() if share >= COUNTS_FROM]
    return counting[-1] if counting else None


def said(shares: Mapping[str, float]) -> str:
    """Put shares into words, the surest first."""
    return ", ".join(f"{percent(share)} {TIERS[tier]}" for tier, share in shares.items())
