"""Sums: own errors even out, shared ones do not, and it does not matter in which order days become a month."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import Deployment, Evidence, Range, Total, Usage, estimate, total, uncertain
from estimator.ranges import NINETY

amount = st.floats(1e-3, 1e9)
ranges = st.tuples(amount, st.floats(0.05, 1), st.floats(1, 20)).map(lambda x: Range(x[0] * x[1], x[0], x[0] * x[2]))
figures = st.builds(uncertain, ranges, st.sampled_from(("a", "b", "c")))


@settings(deadline=None)
@given(ranges)
def test_one_figure_keeps_its_band(value):
    one = uncertain(value, "a")
    for got in (one.range, total([one]).range):
        assert got.mid == value.mid
        assert got.low == pytest.approx(value.low, rel=1e-6, abs=1e-6 * value.mid)
        assert got.high == pytest.approx(value.high, rel=1e-6)


@settings(deadline=None)
@given(st.lists(figures, min_size=1, max_size=12))
def test_a_sum_lies_between_no_error_in_common_and_all_in_common(many):
    got = total(many).range
    apart = sum((one.range.high - one.mid) ** 2 for one in many) ** 0.5
    together = sum(one.range.high - one.mid for one in many)
    slack = 1e-9 * got.mid
    assert got.low <= got.mid <= got.high
    assert got.mid == pytest.approx(sum(one.mid for one in many))
    assert apart - slack <= got.high - got.mid <= together + slack


@settings(deadline=None)
@given(st.lists(figures, max_size=8), st.lists(figures, max_size=8), st.lists(figures, max_size=8))
def test_days_make_a_month_in_any_order(one, two, three):
    left = (total(one) + total(two)) + total(three)
    right = total(three) + (total(two) + total(one))
    at_once = total([*one, *two, *three])
    for other in (right, at_once):
        for point in ("low", "mid", "high"):
            assert getattr(other.range, point) == pytest.approx(getattr(left.range, point), rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(figures, st.integers(1, 50))
def test_many_calls_at_once_are_many_calls(one, times):
    many, each = Total().plus(one, times).range, total([one] * times).range
    assert many.high == pytest.approx(each.high)
    assert many.low == pytest.approx(each.low, abs=1e-9 * each.mid)


def test_a_month_of_one_model_keeps_the_shared_error_and_loses_the_own():
    one = uncertain(Range(0.5, 1.0, 2.0), "a", own=(0.8, 1.3))
    month = Total().plus(one, 1_000_000).range
    assert month.high / month.mid - 1 == pytest.approx(one.shared_up, rel=1e-3)
    assert one.shared_up < 1.0
    assert month.high / month.mid > 1.9


@pytest.mark.parametrize(
    "known",
    [
        {"deployment": Deployment(gpu="H100", n_gpus=1, batch=64)},
        {"evidence": Evidence(kind="measured", joules=200.0, scope="gpu", source="a meter")},
        {},
    ],
    ids=["deployment", "measured", "open model"],
)
@pytest.mark.parametrize("quantity", ["gpu_joules", "joules", "grams_co2e"])
def test_a_month_never_loses_what_errs_alike_for_all_its_calls(known, quantity):
    made = estimate(Usage(input_tokens=2000, output_tokens=1000), "llama-3.1-8b-instruct", **known)
    call, month = getattr(made, quantity), Total().plus(made.uncertain(quantity), 10_000_000).range
    for end in ("low", "high"):
        one, many = abs(getattr(call, end) / call.mid - 1), abs(getattr(month, end) / month.mid - 1)
        assert 0.8 * one < many < one, end


def test_two_models_err_less_together_than_one_of_both_sizes():
    value = Range(0.5, 1.0, 2.0)
    same = total([uncertain(value, "a"), uncertain(value, "a")]).range
    other = total([uncertain(value, "a"), uncertain(value, "b")]).range
    assert other.high < same.high
    assert other.low > same.low


def test_the_band_of_a_total_covers_nine_of_ten_simulated_months():
    chance = random.Random(7)
    one = uncertain(Range(0.7, 1.0, 1.3), "a", own=(0.8, 1.2))
    band = Total().plus(one, 40).range
    inside = 0
    for _ in range(2000):
        shared = chance.gauss(0, one.shared_up / NINETY)
        month = sum(1 + shared + chance.gauss(0, one.own_up / NINETY) for _ in range(40))
        inside += month in band
    assert 0.88 < inside / 2000 < 0.92


def test_nothing_sums_to_nothing():
    assert Total().range == Range.exact(0.0)


def test_estimates_sum_by_model_and_operator():
    usage = Usage(input_tokens=2000, output_tokens=1000)
    closed, other = estimate(usage, "gpt-4o", provider="openai"), estimate(usage, "gpt-4o", provider="azure")
    assert closed.key != other.key
    month = Total()
    for made in (closed, other):
        figure = made.uncertain("grams_co2e")
        assert figure is not None
        month = month.plus(figure, 1000)
    assert set(month.groups) == {closed.key, other.key}
    single = closed.grams_co2e
    assert month.range.high / month.range.mid < single.high / single.mid
    assert month.range.high / month.range.mid > 2
    assert estimate(usage, "nobody-knows").uncertain() is None
