"""*Team*: one team's calls, what they came to, and on what."""

from __future__ import annotations

from dashboards.boards import TEAM as UID
from dashboards.boards import Row, begun, finished, label_values, with_prometheus
from dashboards.budgets import used
from dashboards.panels import Curve, Figure, Says
from dashboards.quantities import (
    ALL,
    CALLS,
    CARBON,
    DOLLARS,
    ENERGY,
    NO_CALLS,
    TOKENS,
    WATER,
    against_the_week_before,
    outcomes,
)
from dashboards.queries import ONE_TEAM, Query, rate, total
from dashboards.ratios import DOLLARS_PER_TOKENS, GRAMS_PER_DOLLAR, JOULES_PER_TOKENS
from dashboards.sdk import model

_OF_ALL = 'provider=~"$provider",model=~"$model"'


def share(title: str, metric: str, of: str, empty: str) -> Figure:
    """Show the team's share of what all teams had."""
    return Figure(
        title=title,
        unit="percentunit",
        queries=(Query(expr=f"{total(metric, where=ONE_TEAM)} / ({total(metric, where=_OF_ALL)} > 0)"),),
        says=Says(
            shows=f"The team's part of {of} of all teams in the time range shown.",
            reckoned=f"the increase of {metric} of the team, divided by that of all.",
            empty=empty,
        ),
    )


TOKENS_BY_KIND = Curve(
    title="Tokens per minute by kind",
    unit="short",
    queries=(
        Query(
            expr=rate("joulegate_tokens_total", ',kind=~".+"', where=ONE_TEAM, by="kind", per=" * 60"),
            legend="{{kind}}",
        ),
    ),
    says=Says(
        shows="Kinds overlap, so they are not stacked: cached, written, audio and image are part of input or output,"
        " reasoning of output.",
        reckoned="the rate of joulegate_tokens_total by kind.",
        empty="no call whose tokens are known.",
    ),
)


def team() -> model.Dashboard:
    """Lay out the dashboard."""
    board = with_prometheus(
        begun(
            UID,
            "One team. `other` are calls of no team or of one that is not configured.",
            start="now-7d",
        ).refresh("1m")
    )
    board.with_variable(
        label_values("team")
        .multi(multi=False)
        .include_all(include_all=False)
        .all_value("")
        .current(model.VariableOption())
    )
    board.with_variable(label_values("provider", 'team="$team"'))
    board.with_variable(label_values("model", 'team="$team",provider=~"$provider"'))
    rows = (
        Row(
            title="In the time range shown",
            panels=(*((each.figure(ONE_TEAM), 3) for each in ALL), (against_the_week_before(ONE_TEAM), 24)),
        ),
        Row(
            title="Its part, and what it takes",
            panels=(
                (
                    share("Share of all calls", "joulegate_calls_total", "the calls", NO_CALLS),
                    4,
                ),
                (share("Share of all dollars", DOLLARS.metric, "the dollars", DOLLARS.empty), 4),
                (share("Share of all energy", ENERGY.metric, "the energy", ENERGY.empty), 4),
                *((each.figure(ONE_TEAM), 4) for each in (JOULES_PER_TOKENS, GRAMS_PER_DOLLAR, DOLLARS_PER_TOKENS)),
            ),
        ),
        Row(
            title="Budgets, and the pace",
            panels=(
                (used('team="$team"'), 8),
                *((each.paced(ONE_TEAM), 8) for each in (DOLLARS, ENERGY, CARBON, WATER)),
                (outcomes(ONE_TEAM), 8),
            ),
        ),
        Row(title="On what", panels=tuple((each.by("model", ONE_TEAM), 8) for each in (DOLLARS, ENERGY, TOKENS))),
        Row(
            title="How",
            panels=(
                (CALLS.by("model", ONE_TEAM), 8),
                (TOKENS_BY_KIND, 8),
                (JOULES_PER_TOKENS.by("model", ONE_TEAM), 8),
            ),
        ),
    )
    return finished(board, rows)
