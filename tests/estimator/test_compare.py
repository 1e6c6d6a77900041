"""Comparisons: what is unknown of a machine cancels out when it serves both sides."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from estimator import Deployment, Usage, compare, estimate
from estimator.errors import ComparisonError

KNOWN = Deployment(gpu="H100", n_gpus=1, batch=64)


def made(model, n_in, n_out, cached=0, deployment=None):
    return estimate(
        Usage(input_tokens=n_in, cached_input_tokens=cached, output_tokens=n_out), model, deployment=deployment
    )


@pytest.mark.parametrize(
    ("model", "deployment"), [("llama-3.1-8b-instruct", KNOWN), ("llama-3.1-8b-instruct", None), ("gpt-4o", None)]
)
def test_caching_is_known_far_better_than_either_side(model, deployment):
    before, after = (made(model, 2000, 1000, cached, deployment) for cached in (0, 1800))
    found = compare(before, after)
    assert found.same_machine
    assert found.ratio.low <= found.ratio.mid <= found.ratio.high < 1
    assert found.ratio.mid == pytest.approx(after.joules.mid / before.joules.mid)
    assert found.ratio.high / found.ratio.low < 0.8 * before.joules.high / before.joules.low
    assert 0 < found.saved_share.low <= found.saved_share.mid <= found.saved_share.high


def test_the_same_call_is_the_same():
    found = compare(made("gpt-4o", 2000, 1000), made("gpt-4o", 2000, 1000))
    assert (found.ratio.low, found.ratio.mid, found.ratio.high) == (1, 1, 1)


def test_two_models_keep_both_bands():
    before, after = made("gpt-4o", 2000, 1000), made("llama-3.1-8b-instruct", 2000, 1000)
    found = compare(before, after)
    assert not found.same_machine
    assert found.ratio.high / found.ratio.low > before.joules.high / before.joules.low


def test_without_joules_there_is_nothing_to_compare():
    with pytest.raises(ComparisonError):
        compare(made("nobody-knows", 1, 1), made("gpt-4o", 1, 1))


@settings(deadline=None)
@given(
    st.sampled_from(("gpt-4o", "llama-3.1-70b-instruct", "deepseek-v3.1")),
    st.integers(1, 50_000),
    st.integers(1, 20_000),
    st.integers(1, 20_000),
)
def test_the_ratio_is_ordered_and_turns_around(model, n_in, n_out, other):
    before, after = made(model, n_in, n_out), made(model, n_in, other)
    there, back = compare(before, after).ratio, compare(after, before).ratio
    assert there.low <= there.mid <= there.high
    assert there.mid * back.mid == pytest.approx(1)
    assert there.low * back.high == pytest.approx(1, rel=1e-6)
