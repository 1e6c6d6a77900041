import pytest

from estimator import known_regions, known_zones
from estimator.errors import UnknownZoneError
from estimator.grid import ATTRIBUTION, WORLD, grid


def test_zones_carry_both_releases_and_never_mix_them():
    france = grid("FRA")
    assert france.grams_per_kwh == pytest.approx(41.4, abs=0.1)
    assert france.grams_per_kwh_2023 == pytest.approx(56.0, abs=0.1)
    assert france.year_2023 in {2022, 2023}
    assert grid("fra") is not None
    assert len(known_zones()) == 215


def test_the_world_is_of_the_same_release_as_its_parts():
    assert grid(WORLD).grams_per_kwh == pytest.approx(458.3, abs=0.1)
    assert "CC BY" in ATTRIBUTION


@pytest.mark.parametrize(
    ("region", "zone"),
    [("aws:eu-north-1", "SWE"), ("aws:eu-west-3", "FRA"), ("gcp:europe-west9", "FRA"), ("gcp:me-central1", "QAT")],
)
def test_a_cloud_region_lies_in_a_zone(region, zone):
    assert grid(region).zone == zone


def test_every_region_has_a_zone():
    for region in known_regions():
        assert grid(region).zone in known_zones()


@pytest.mark.parametrize("zone", ["XXX", "", "aws:nowhere", "eu-north-1"])
def test_an_unknown_place_is_an_error_that_says_what_to_write(zone):
    with pytest.raises(UnknownZoneError, match="FRA"):
        grid(zone)
