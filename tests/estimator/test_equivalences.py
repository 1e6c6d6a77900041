import pytest
from hypothesis import given
from hypothesis import strategies as st

from estimator import Range, Usage, estimate, sources
from estimator.equivalences import comparisons, count, equivalences
from estimator.training import amortised_grams, training_of, trainings

BY_ID = {like.id: like for like in equivalences()}


@pytest.mark.parametrize(
    ("key", "joules", "grams", "expected"),
    [
        ("phone_charge", 43_200.0, None, 1.0),
        ("kettle", 103 * 3600.0, None, 1.0),
        ("led_hour", 36_000.0, None, 1.0),
        ("google_search", 1_080.0, None, 1.0),
        ("us_home_day", 10_715 / 365 * 3.6e6, None, 1.0),
        ("car_km", None, 400 / 1.609344, 1.0),  # 400 g a mile
        ("phone_charge", 378.0, None, 0.00875),  # the page's Opus conversation: 114 of them a charge, not 143
    ],
)
def test_one_of_each(key, joules, grams, expected):
    found = count(
        BY_ID[key],
        joules=None if joules is None else Range.exact(joules),
        grams=None if grams is None else Range.exact(grams),
    )
    assert found is not None
    assert found.mid == pytest.approx(expected, rel=0.003)


def test_the_kettle_is_the_heat_of_water():
    assert BY_ID["kettle"].joules_or_grams == pytest.approx(4186 * 80 / 0.9, rel=0.005)


def test_every_figure_has_a_source_and_a_year_and_the_page_is_answered():
    for like in equivalences():
        assert like.source in sources()
        assert 2000 < like.year <= 2026
        assert like.page


@given(st.floats(1e-6, 1e12), st.floats(0, 1), st.floats(1, 10))
def test_a_comparison_keeps_the_band(middle, down, up):
    joules = Range(middle * down, middle, middle * up)
    for key, found in comparisons(joules=joules, grams=None).items():
        assert found.low <= found.mid <= found.high
        assert found.mid * BY_ID[key].joules_or_grams == pytest.approx(middle)
        assert BY_ID[key].of == "energy"


def test_an_unknown_quantity_is_like_nothing():
    assert comparisons(joules=None, grams=None) == {}
    made = estimate(Usage(input_tokens=2000, output_tokens=1000), "gpt-4o", provider="openai")
    assert set(comparisons(joules=made.joules, grams=made.grams_co2e)) == set(BY_ID)


def test_training_is_spread_over_the_tokens_somebody_states():
    training = training_of("mistral-large-instruct-2407")
    assert training is not None
    assert training.tonnes_co2e == 20_400
    assert amortised_grams(20_400, 400, 1e12) == pytest.approx(20.4e9 * 400 / 1e12)
    assert training_of("gpt-4o") is None
    with pytest.raises(ValueError, match="lifetime"):
        amortised_grams(1.0, 1000, 999)


def test_the_parts_of_a_training_add_up_to_it():
    whole = amortised_grams(11_390, 10**12, 1e12)
    assert amortised_grams(11_390, 4 * 10**11, 1e12) + amortised_grams(11_390, 6 * 10**11, 1e12) == pytest.approx(whole)
    assert whole == pytest.approx(11_390e6)
    for training in trainings():
        assert training.source in sources()
        assert training.tonnes_co2e is not None or training.gpu_hours is not None
