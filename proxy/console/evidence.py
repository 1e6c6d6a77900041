"""How far an estimate can be trusted, as a mark: of a call its tier, of a sum the tiers of its joules."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from proxy.reports import evidence
from proxy.reports.figures import percent

_SIGNS = {"measured": "●", "disclosed": "●", "deployment": "◐", "open_model": "◐", "closed_model": "○", "unknown": "○"}
TIERS = {tier: (_SIGNS[tier], words) for tier, words in evidence.TIERS.items()}  # a mark and what it means
_MEANT = {
    "●": ("sure", "measured or disclosed"),
    "◐": ("open", "modelled, model or deployment known"),
    "○": ("closed", "modelled, model not public"),
}


def mark(shares: Mapping[str, float]) -> str:
    """Draw the mark of the weakest evidence that a sum rests on, its shares on request; nothing where there is none.

    ``shares`` of the joules by tier, the surest first; of a single call all of it is of one.
    """
    weakest = evidence.weakest(shares)
    if weakest is None:
        return ""
    said = escape(_said(shares))
    return f'<span class="tier" role="img" aria-label="{said}" title="{said}">{TIERS[weakest][0]}</span>'


def _said(shares: Mapping[str, float]) -> str:
    if len(shares) == 1:
        return TIERS[next(iter(shares))][1]
    return f"{evidence.said(shares)} (of the energy)"


def standing(shares: Mapping[str, float]) -> str:
    """Draw what the estimates of a sum rest on, each mark with its part of the energy; nothing where there is none."""
    parts: dict[str, float] = {}
    for tier, share in shares.items():
        parts[TIERS[tier][0]] = parts.get(TIERS[tier][0], 0.0) + share
    if not parts:
        return ""
    at, drawn = 0.0, ""
    for sign, share in parts.items():
        drawn += f'<rect class="{_MEANT[sign][0]}" x="{at:.2f}" y="0" width="{100 * share:.2f}" height="6"/>'
        at += 100 * share
    words = "".join(f"<span><b>{sign}</b> {percent(share)} {_MEANT[sign][1]}</span>" for sign, share in parts.items())
    return (
        '<div class="standing"><svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'{drawn}</svg><p class="legend">Of the energy: {words}</p></div>'
    )


def legend() -> str:
    """Say what the marks mean."""
    words = "".join(f"<span><b>{sign}</b> {meaning}</span>" for sign, (_, meaning) in _MEANT.items())
    return f'<p class="legend">Estimates: {words}</p>'
