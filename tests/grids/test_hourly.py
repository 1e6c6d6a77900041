from datetime import UTC, datetime, timedelta

import httpx2
import pytest
import respx

from estimator import Intensity, Usage, estimate
from estimator.errors import UnknownZoneError
from proxy.errors import ConfigError
from proxy.grids.electricity_maps import ElectricityMaps
from proxy.grids.fetch import Fetch, GridSourceError, NoFigureError
from proxy.grids.hourly import SOURCES, HourlyGrid, open_grid, with_hours
from proxy.grids.source import HOUR, hour_of

AT = datetime(2026, 11, 23, 10, 45, tzinfo=UTC)
CONVERSATION = Usage(input_tokens=2000, output_tokens=1000)


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


class Scripted:
    """A source whose next answers are known."""

    name = "scripted"

    def __init__(self, *answers):
        self.answers = list(answers)
        self.asked = []

    def intensity(self, zone, at):
        self.asked.append((zone, at))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        value, estimated = answer
        hour = hour_of(at)
        return Intensity(
            zone=zone,
            grams_per_kwh=value,
            boundary="life_cycle",
            start=hour,
            end=hour + HOUR,
            source="scripted",
            estimated=estimated,
        )


def hours_of(*answers):
    source, clock = Scripted(*answers), Clock()
    return HourlyGrid(source, clock=clock, settle_s=900, pause_s=300), source, clock


def test_a_settled_hour_is_asked_for_once():
    hours, source, clock = hours_of((43.0, False), (50.0, False))
    first = hours.at("FRA", AT)
    clock.now = 1e9
    assert hours.at("FRA", AT.replace(minute=1)) is first
    assert hours.at("FRA", AT + HOUR).grams_per_kwh == 50.0
    assert len(source.asked) == 2
    assert (hours.answered, hours.failed, hours.problem) == (2, 0, None)


def test_an_estimated_hour_is_asked_for_again_when_it_may_have_settled():
    hours, source, clock = hours_of((43.0, True), (41.0, False))
    assert hours.at("FRA", AT).grams_per_kwh == 43.0
    clock.now = 899
    assert hours.at("FRA", AT).grams_per_kwh == 43.0
    clock.now = 900
    assert hours.at("FRA", AT).grams_per_kwh == 41.0
    assert len(source.asked) == 2


def test_a_source_in_trouble_is_left_in_peace_for_every_zone():
    hours, source, clock = hours_of(GridSourceError("x: status 503"), (41.0, False))
    assert hours.at("FRA", AT) is None
    assert hours.at("DEU", AT) is None
    assert hours.problem == "x: status 503"
    assert len(source.asked) == 1
    clock.now = 300
    assert hours.at("DEU", AT).grams_per_kwh == 41.0
    assert hours.problem is None


def test_a_figure_that_is_missing_holds_up_no_other_zone():
    hours, source, _ = hours_of(NoFigureError("x: none"), (41.0, False))
    assert hours.at("FRA", AT) is None
    assert hours.at("DEU", AT).grams_per_kwh == 41.0
    assert hours.at("FRA", AT) is None
    assert len(source.asked) == 2


def test_the_hour_takes_the_place_of_the_year_and_its_band_goes():
    hours, _, _ = hours_of((20.72, False))
    priced = with_hours(estimate, hours)
    made = priced(CONVERSATION, "llama-3.1-8b-instruct", provider="vllm", zone="FRA", at=AT)
    year = estimate(CONVERSATION, "llama-3.1-8b-instruct", provider="vllm", zone="FRA", at=AT)
    assert made.grid_source == "scripted"
    assert year.grid_source == "owid"
    assert made.grams_co2e.mid == pytest.approx(made.joules.mid / 3.6e6 * 20.72)
    assert made.grams_co2e.high / made.grams_co2e.mid < year.grams_co2e.high / year.grams_co2e.mid
    assert made.joules == year.joules
    assert "scripted" in made.sources
    assert any("2026-11-23T10:00" in text for text in made.assumptions)
    assert "× 20.72 g/kWh (France, scripted)" in made.explain()


def test_without_the_hour_the_year_stands_in_and_says_so():
    hours, source, _ = hours_of(GridSourceError("down"))
    made = with_hours(estimate, hours)(CONVERSATION, "gpt-4o", provider="openai", zone="aws:eu-west-3", at=AT)
    assert source.asked == [("FRA", AT)]
    assert (made.zone, made.grid_source) == ("FRA", "owid")
    assert made == estimate(CONVERSATION, "gpt-4o", provider="openai", zone="aws:eu-west-3", at=AT)


def test_a_call_without_a_zone_is_asked_for_where_the_operator_runs():
    hours, source, _ = hours_of((300.0, False))
    with_hours(estimate, hours)(CONVERSATION, "gpt-4o", provider="openai", at=AT)
    assert source.asked[0][0] == "USA"


def test_nobody_is_asked_for_a_place_or_a_moment_that_is_unknown():
    hours, source, _ = hours_of()
    by_hour = with_hours(estimate, hours)
    assert by_hour(CONVERSATION, "gpt-4o", at=AT).grid_source == "owid"
    assert by_hour(CONVERSATION, "gpt-4o", provider="openai").grid_source == "owid"
    with pytest.raises(UnknownZoneError):
        by_hour(CONVERSATION, "gpt-4o", zone="XXX", at=AT)
    assert source.asked == []


def test_closed_models_take_the_hour_too():
    hours, _, _ = hours_of((300.0, False))
    made = with_hours(estimate, hours)(CONVERSATION, "gpt-4o", provider="openai", at=AT)
    assert made.grams_co2e.mid == pytest.approx(made.joules.mid / 3.6e6 * 300)
    assert made.grams_co2e.low == pytest.approx(made.joules.low / 3.6e6 * 300)


def test_over_the_network_a_source_that_fails_costs_no_estimate():
    with respx.mock(using="httpcore2") as router, httpx2.Client() as client:
        router.get("https://api.electricitymaps.com/v3/carbon-intensity/history").respond(500)
        source = ElectricityMaps(
            fetch=Fetch(client=client, sleep=lambda _: None), token="t", clock=lambda: AT + timedelta(hours=1)
        )
        hours = HourlyGrid(source)
        made = with_hours(estimate, hours)(CONVERSATION, "gpt-4o", zone="FRA", at=AT)
    assert made.grid_source == "owid"
    assert hours.failed == 1


def test_sources_open_by_name():
    for name in SOURCES:
        assert isinstance(open_grid(name, token="a:b"), HourlyGrid)
    with pytest.raises(ConfigError, match="watttime"):
        open_grid("nobody")
    with pytest.raises(ConfigError, match="credential"):
        open_grid("electricity_maps")
    with pytest.raises(ConfigError, match="timeout"):
        open_grid("carbon_intensity_uk", timeout_s=0)
