from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from proxy.reconciling.comparison import Recorded, Side, beyond, compare, statement_sides
from proxy.reconciling.shape import Stated

KEY = ("openai", date(2026, 11, 23), ("gpt-4o",))
OTHER = ("openai", date(2026, 11, 24), ("gpt-4o",))


def side(tokens: int | None, usd: str | None) -> Side:
    return Side(input_tokens=tokens, output_tokens=None, usd=None if usd is None else Decimal(usd))


def one(stated: Side | None, recorded: Recorded | None):
    beside = {OTHER: side(1 if (stated or Side()).tokens else None, "1")}  # so that there is a statement
    (found,) = [
        each
        for each in compare(
            beside | ({} if stated is None else {KEY: stated}), {} if recorded is None else {KEY: recorded}
        )
        if each.key == KEY
    ]
    return found


@pytest.mark.parametrize(
    ("stated", "recorded", "parts"),
    [
        (side(1000, "2"), Recorded(side=side(1000, "2"), calls=3), []),
        (side(1000, "2"), None, [("not_in_ledger", "2")]),
        (None, Recorded(side=side(500, "3"), calls=1), [("not_in_statement", "-3")]),
        # A fifth of the tokens is missing, at the same price.
        (side(1000, "2"), Recorded(side=side(800, "1.6"), calls=3), [("tokens", "0.4")]),
        (side(1000, "2"), Recorded(side=side(1250, "2.5"), calls=3), [("tokens", "-0.5")]),
        (side(1000, "1.8"), Recorded(side=side(1000, "2"), calls=3), [("price", "-0.2")]),
        # Fewer tokens and another price.
        (side(1000, "3"), Recorded(side=side(800, "1.6"), calls=3), [("tokens", "0.6"), ("price", "0.8")]),
        (side(1000, "2"), Recorded(side=side(1000, None), calls=3, unpriced_calls=3), [("unpriced", "2")]),
        # Some are unpriced: how much that is, nobody knows.
        (side(9, "2"), Recorded(side=side(9, "1"), calls=3, unpriced_calls=1), [("unpriced", None), ("price", "1")]),
        (side(None, "2"), Recorded(side=side(9, "1"), calls=3), [("price", "1")]),
        (side(10, None), Recorded(side=side(9, "1"), calls=3), [("tokens", None)]),
    ],
)
def test_a_difference_is_taken_apart(stated, recorded, parts):
    found = one(stated, recorded)
    if stated is not None and stated.usd is None:  # a statement of tokens alone
        (found,) = compare({KEY: stated}, {KEY: recorded})
    assert [(part.kind, part.usd) for part in found.parts] == [
        (kind, None if usd is None else Decimal(usd)) for kind, usd in parts
    ]
    known = [part.usd for part in found.parts if part.usd is not None]
    if found.residual_usd is not None:
        assert sum(known) == found.residual_usd


def test_it_says_which_calls_may_be_the_cause():
    recorded = Recorded(side=side(800, "1.6"), calls=9, absent_calls=2, inferred_calls=3)
    (part,) = one(side(1000, "2"), recorded).parts
    assert part.says == (
        "the ledger has 200 tokens fewer; 2 calls have no usage in the ledger; 3 calls have tokens counted here"
    )
    (part,) = one(side(1000, "2"), Recorded(side=side(800, "1.6"), calls=9)).parts
    assert "did not come through the gate" in part.says


def test_a_statement_without_dollars_or_without_tokens_is_compared_by_what_it_has():
    recorded = {KEY: Recorded(side=side(9, "1"), calls=1)}
    (found,) = compare({KEY: side(9, None)}, recorded)
    assert (found.residual_usd, found.residual_tokens, found.parts) == (None, 0, ())
    (found,) = compare({KEY: side(None, "1")}, recorded)
    assert (found.residual_usd, found.residual_tokens, found.parts) == (0, None, ())


def test_lines_of_one_key_are_added_up():
    lines = [
        Stated(provider="openai", day=KEY[1], model="gpt-4o", usd=Decimal("0.1")),
        Stated(provider="openai", day=KEY[1], model="gpt-4o", usd=Decimal("0.2"), output_tokens=5),
    ]
    assert statement_sides(lines, lambda line: (line.model,)) == {KEY: Side(output_tokens=5, usd=Decimal("0.3"))}


def test_the_tolerance_is_of_a_providers_sum():
    compared = compare(
        {KEY: side(None, "100"), OTHER: side(None, "100")},
        {KEY: Recorded(side=side(None, "90"), calls=1), OTHER: Recorded(side=side(None, "109"), calls=1)},
    )
    assert beyond(compared, Decimal("0.006")) == []
    assert beyond(compared, Decimal("0.004")) == ["openai"]
    tokens = compare({KEY: side(100, None)}, {KEY: Recorded(side=side(90, "1"), calls=1)})
    assert beyond(tokens, Decimal("0.09")) == ["openai"]
    assert beyond(tokens, Decimal("0.1")) == []
    assert beyond(compare({}, {}), Decimal(0)) == []
