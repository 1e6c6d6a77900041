"""How much of their budgets teams have used, on the dashboards of cost and of one team."""

from __future__ import annotations

from dashboards.panels import Bars, Says
from dashboards.queries import Query


def used(team: str) -> Bars:
    """Show budgets as bars; ``team`` is the selector of whose."""
    return Bars(
        title="Budgets used",
        unit="percentunit",
        most=1,
        steps={0: "green", 0.8: "orange", 1: "red"},
        queries=(
            Query(
                expr=f"max by (team, unit, window) (joulegate_budget_used_ratio{{{team}}})",
                legend="{{team}}: {{unit}} per {{window}}",
            ),
        ),
        says=Says(
            shows="How much of each budget is used in its present window: dollars, energy, carbon, water, tokens or"
            " requests. Of those of one team, unit and window the fullest; `other` are budgets of projects, users and"
            " keys.",
            reckoned="joulegate_budget_used_ratio, the largest that a console says; full is 100 %, and may be passed.",
            empty="no team has a budget.",
        ),
    )
