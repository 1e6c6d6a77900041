"""How far an estimate can be trusted, as a mark: of a call its tier, of a sum the tiers of its joules."""

from __future__ import annotations

from collections.abc import Mapping

from proxy.reports import evidence
from proxy.reports.figures import percent

TIERS = {tier: (evidence.SIGNS[tier], words) for tier, words in evidence.TIERS.items()}  # a mark and what it means
_CLASSES = {"●": "sure", "◐": "open", "○": "closed"}

mark = evidence.marked


def standing(shares: Mapping[str, float]) -> str:
    """Draw what the estimates of a sum rest on, each mark with its part of the energy; nothing where there is none."""
    parts: dict[str, float] = {}
    for tier, share in shares.items():
        parts[TIERS[tier][0]] = parts.get(TIERS[tier][0], 0.0) + share
    if not parts:
        return ""
    at, drawn = 0.0, ""
    for sign, share in parts.items():
        drawn += f'<rect class="{_CLASSES[sign]}" x="{at:.2f}" y="0" width="{100 * share:.2f}" height="6"/>'
        at += 100 * share
    words = "".join(
        f"<span><b>{sign}</b> {percent(share)} {evidence.MEANT[sign]}</span>" for sign, share in parts.items()
    )
    return (
        '<div class="standing"><svg viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'{drawn}</svg><p class="legend">Of the energy: {words}</p></div>'
    )


def legend() -> str:
    """Say what the marks mean."""
    words = "".join(f"<span><b>{sign}</b> {meaning}</span>" for sign, meaning in evidence.MEANT.items())
    return f'<p class="legend">Estimates: {words}</p>'
