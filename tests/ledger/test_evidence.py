from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from proxy.ledger.evidence import KEPT_S, Evidence
from proxy.ledger.read import Totals, totals
from proxy.ledger.write import Ledger
from tests.rows import UNESTIMATED, call_row, insert

ASKED = {
    "start": datetime(2026, 11, 1, tzinfo=UTC),
    "end": datetime(2026, 12, 1, tzinfo=UTC),
    "zone": ZoneInfo("UTC"),
}


def learned(engine: sa.Engine, evidence: Evidence, *by: str) -> dict[str | None, dict[str, float]]:
    with engine.connect() as connection:
        (total,) = totals(connection, **ASKED)
        evidence.read(connection, total)
        groups = totals(connection, by=by, **ASKED)
    return {group.key[0] if by else None: evidence.shares(group) for group in groups}


@pytest.mark.parametrize("rolled_up", [False, True])
def test_joules_by_tier_the_surest_first(engine, rolled_up):
    insert(
        engine,
        *(call_row() for _ in range(3)),
        call_row(team="ads", model="llama", estimate_key="llama@groq", tier="open_model", joules=200.0),
        call_row(team="ads", model="house", estimate_key="house@us", tier="measured", joules=600.0),
        call_row(team="none", model="odd", **UNESTIMATED),
    )
    while rolled_up and Ledger(engine).roll_up():
        pass
    evidence = Evidence()
    (whole,) = learned(engine, evidence).values()
    assert list(whole.items()) == [
        ("measured", pytest.approx(0.3)),
        ("open_model", pytest.approx(0.1)),
        ("closed_model", pytest.approx(0.6)),
    ]
    assert learned(engine, evidence, "team") == {
        "search": {"closed_model": 1.0},
        "ads": {"measured": pytest.approx(0.75), "open_model": pytest.approx(0.25)},
        "none": {},
    }


def test_what_has_had_several_tiers_counts_as_the_weakest(engine):
    insert(engine, call_row(tier="disclosed"), call_row(tier="closed_model"), call_row(tier="deployment"))
    assert learned(engine, Evidence()) == {None: {"closed_model": 1.0}}


def test_a_call_of_an_older_release_has_a_tier_too(engine):
    insert(engine, call_row(estimate_key=None, tier="open_model"), call_row(**UNESTIMATED))
    assert learned(engine, Evidence()) == {None: {"open_model": 1.0}}


def test_nothing_is_read_again_for_a_while_where_all_is_known(engine):
    now = [0.0]
    evidence = Evidence(clock=lambda: now[0])
    asked: list[str] = []
    insert(engine, call_row())
    sa.event.listen(
        engine,
        "before_cursor_execute",
        lambda c, cursor, statement, *_: asked.append(statement) if "DISTINCT" in statement else None,
    )
    assert learned(engine, evidence) == learned(engine, evidence) == {None: {"closed_model": 1.0}}
    assert len(asked) == 2
    insert(engine, call_row(estimate_key="new@us", tier="measured"))
    assert learned(engine, evidence) == {None: {"measured": 0.5, "closed_model": 0.5}}
    assert len(asked) == 4
    now[0] += KEPT_S + 1
    learned(engine, evidence)
    assert len(asked) == 6


def test_a_sum_of_nothing_rests_on_nothing():
    assert Evidence().shares(Totals()) == {}
