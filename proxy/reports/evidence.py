"""What the estimates of a report rest on, in words."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

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


SIGNS = {"measured": "●", "disclosed": "●", "deployment": "◐", "open_model": "◐", "closed_model": "○", "unknown": "○"}
MEANT = {
    "●": "measured or disclosed",
    "◐": "modelled, model or deployment known",
    "○": "modelled, model not public",
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


def sign(shares: Mapping[str, float]) -> str:
    """Give the mark of the weakest evidence that a sum rests on; nothing where there is none."""
    tier = weakest(shares)
    return "" if tier is None else SIGNS[tier]


def marked(shares: Mapping[str, float]) -> str:
    """Draw that mark, with the shares on request."""
    mark = sign(shares)
    if not mark:
        return ""
    words = escape(told(shares))
    return f'<span class="tier" role="img" aria-label="{words}" title="{words}">{mark}</span>'


def told(shares: Mapping[str, float]) -> str:
    """Put shares into words, of what unless it is all of one."""
    return TIERS[next(iter(shares))] if len(shares) == 1 else f"{said(shares)} (of the energy)"


def legend() -> str:
    """Say what the marks mean."""
    return "Estimates: " + ", ".join(f"{sign} {meaning}" for sign, meaning in MEANT.items())


def said(shares: Mapping[str, float]) -> str:
    """Put shares into words, the surest first."""
    return ", ".join(f"{percent(share)} {TIERS[tier]}" for tier, share in shares.items())
