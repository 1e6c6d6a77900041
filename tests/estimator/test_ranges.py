import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import Range
from estimator.ranges import combined
from estimator.units import with_prefix

amount = st.floats(1e-6, 1e12)
ranges = st.tuples(amount, amount, amount).map(lambda points: Range(*sorted(points)))


@settings(deadline=None)
@given(ranges, ranges, st.floats(-1e3, 1e3))
def test_arithmetic_keeps_the_order(one, other, factor):
    for made in (one + other, one * factor, factor * one, one / 3):
        assert made.low <= made.mid <= made.high


@settings(deadline=None)
@given(ranges, ranges)
def test_a_sum_adds_point_by_point(one, other):
    total = one + other
    assert (total.low, total.mid, total.high) == (one.low + other.low, one.mid + other.mid, one.high + other.high)
    assert total.mid in total


@settings(deadline=None)
@given(ranges, st.floats(0.1, 1), st.floats(1, 10))
def test_widening_adds_squared_logarithms(value, low, high):
    wide = value.widened(low, high)
    assert wide.mid == value.mid
    assert wide.low <= value.low * (1 + 1e-9)
    assert wide.high >= value.high * (1 - 1e-9)
    expected = math.hypot(math.log(value.high / value.mid), math.log(high))
    assert math.log(wide.high / wide.mid) == pytest.approx(expected, abs=1e-9)


def test_points_out_of_order_are_refused():
    with pytest.raises(ValueError, match="low <= mid <= high"):
        Range(2, 1, 3)
    with pytest.raises(ValueError, match="low <= mid <= high"):
        Range(1, float("nan"), 3)


def test_ranges_compare_by_their_middle():
    assert Range(0, 2, 9) < Range(1, 3, 4)
    assert Range.exact(5).low == Range.exact(5).high == 5


def test_no_errors_combine_to_none():
    assert combined((1.0, 1.0), (1.0, 1.0)) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [(188.063e12, "188.1 TFLOP"), (0.000502, "502 µFLOP"), (0, "0 FLOP"), (1, "1 FLOP"), (2.5e-10, "0.25 nFLOP")],
)
def test_quantities_are_written_with_the_prefix_that_suits_them(value, text):
    assert with_prefix(value, "FLOP") == text
