"""What each source is asked, and how its answers (shapes as its API documents them) become grams per kWh."""

from datetime import UTC, datetime

import httpx  # the mocker speaks its types, whatever it mocks
import httpx2
import pytest
import respx

from proxy.grids.carbon_intensity_uk import CarbonIntensityUk
from proxy.grids.electricity_maps import ElectricityMaps
from proxy.grids.fetch import Fetch, GridSourceError, NoFigureError
from proxy.grids.watttime import WattTime

NOW = datetime(2026, 11, 23, 12, 20, tzinfo=UTC)
AT = datetime(2026, 11, 23, 10, 45, tzinfo=UTC)
MAPS = "https://api.electricitymaps.com/v3/carbon-intensity"
WATT = "https://api.watttime.org"
UK = "https://api.carbonintensity.org.uk/intensity"


@pytest.fixture
def mocked():
    with respx.mock(using="httpcore2", assert_all_called=False) as router:
        yield router


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def fetch(pauses):
    with httpx2.Client(timeout=2.0) as client:
        yield Fetch(client=client, sleep=pauses.append)


def maps(fetch, codes=()):
    return ElectricityMaps(fetch=fetch, token="secret", codes=dict(codes), clock=lambda: NOW)


def watt(fetch):
    return WattTime(fetch=fetch, token="me:pass:word", codes={"USA": "CAISO_NORTH"}, clock=lambda: NOW)


def of_hour(hour, value, **more):
    return {
        "zone": "FR",
        "carbonIntensity": value,
        "datetime": f"2026-11-23T{hour:02}:00:00.000Z",
        "updatedAt": "2026-11-23T11:45:00.000Z",
        "emissionFactorType": "lifecycle",
        "isEstimated": False,
        "temporalGranularity": "hourly",
        **more,
    }


def test_electricity_maps_gives_recent_hours_from_one_list(mocked, fetch):
    route = mocked.get(f"{MAPS}/history").respond(
        json={"zone": "FR", "history": [of_hour(9, 40), of_hour(10, 43, isEstimated=True), of_hour(11, 50)]}
    )
    found = maps(fetch).intensity("FRA", AT)
    request = route.calls.last.request
    assert request.headers["auth-token"] == "secret"
    assert dict(request.url.params) == {
        "zone": "FR",
        "emissionFactorType": "lifecycle",
        "temporalGranularity": "hourly",
    }
    assert (found.grams_per_kwh, found.boundary, found.estimated) == (43.0, "life_cycle", True)
    assert (found.start, found.end) == (AT.replace(minute=0), AT.replace(hour=11, minute=0))
    assert (found.zone, found.source) == ("FRA", "electricity_maps:FR")


def test_electricity_maps_is_asked_for_older_hours_one_by_one_and_by_finer_zones(mocked, fetch):
    route = mocked.get(f"{MAPS}/past").respond(json=of_hour(10, 210.5, datetime="2026-10-01T05:00:00Z"))
    found = maps(fetch, {"USA": "US-CAL-CISO"}).intensity("USA", datetime(2026, 10, 1, 5, 59, tzinfo=UTC))
    assert route.calls.last.request.url.params["zone"] == "US-CAL-CISO"
    assert route.calls.last.request.url.params["datetime"] == "2026-10-01T05:00Z"
    assert found.grams_per_kwh == 210.5


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"history": [of_hour(9, 40)]}, "no figure"),
        ({"history": [of_hour(10, None)]}, "no intensity"),
        ({"history": [of_hour(10, -3)]}, "no intensity"),
        ({"history": [of_hour(10, "40")]}, "no intensity"),
        ({"history": [of_hour(10, True)]}, "no intensity"),
        ({"history": [{"carbonIntensity": 4}]}, "no time"),
        ({"history": "none"}, "no list"),
        ([], "no list"),
        ({"error": "Access denied"}, "no list"),
    ],
)
def test_an_answer_that_is_none_is_an_error(mocked, fetch, body, says):
    mocked.get(f"{MAPS}/history").respond(json=body)
    with pytest.raises(GridSourceError, match=says):
        maps(fetch).intensity("FRA", AT)


def test_a_zone_without_a_code_is_not_asked_for(mocked, fetch):
    with pytest.raises(NoFigureError, match="XKX"):
        maps(fetch).intensity("XKX", AT)
    with pytest.raises(NoFigureError, match="FRA"):
        watt(fetch).intensity("FRA", AT)
    with pytest.raises(NoFigureError, match="FRA"):
        CarbonIntensityUk(fetch=fetch).intensity("FRA", AT)
    assert not mocked.calls


def test_watttime_logs_in_once_and_averages_the_hour_in_grams(mocked, fetch):
    login = mocked.get(f"{WATT}/login").respond(json={"token": "jwt"})
    points = [
        {"point_time": "2026-11-23T10:00:00+00:00", "value": 800.0},
        {"point_time": "2026-11-23T10:05:00+00:00", "value": 900.0},
        {"point_time": "2026-11-23T11:00:00+00:00", "value": 5.0},
    ]
    history = mocked.get(f"{WATT}/v3/historical").respond(
        json={"data": points, "meta": {"region": "CAISO_NORTH", "units": "lbs_co2_per_mwh", "signal_type": "co2_aoer"}}
    )
    source = watt(fetch)
    found = source.intensity("USA", AT)
    assert found.grams_per_kwh == pytest.approx(850 * 0.45359237)
    assert found.boundary == "direct"
    source.intensity("USA", AT)
    assert login.call_count == 1
    assert login.calls.last.request.headers["authorization"] == "Basic bWU6cGFzczp3b3Jk"  # me:pass:word
    request = history.calls.last.request
    assert request.headers["authorization"] == "Bearer jwt"
    assert dict(request.url.params) == {
        "region": "CAISO_NORTH",
        "signal_type": "co2_aoer",
        "start": "2026-11-23T10:00Z",
        "end": "2026-11-23T11:00Z",
    }


@pytest.mark.parametrize(
    ("login", "history", "says"),
    [
        ({}, {}, "no token"),
        ({"token": "t"}, {"data": [], "meta": {"units": "lbs_co2_per_mwh"}}, "no figure"),
        ({"token": "t"}, {"data": [], "meta": {"units": "percent"}}, "percent"),
        ({"token": "t"}, {"data": []}, "None"),
    ],
)
def test_watttime_without_a_figure(mocked, fetch, login, history, says):
    mocked.get(f"{WATT}/login").respond(json=login)
    mocked.get(f"{WATT}/v3/historical").respond(json=history)
    with pytest.raises(GridSourceError, match=says):
        watt(fetch).intensity("USA", AT)


def half(start, forecast, actual):
    return {
        "from": f"2026-11-23T{start}Z",
        "to": "…",
        "intensity": {"forecast": forecast, "actual": actual, "index": "low"},
    }


@pytest.mark.parametrize(
    ("rows", "value", "estimated"),
    [
        ([half("09:30", 1, 1), half("10:00", 150, 140), half("10:30", 150, 160), half("11:00", 9, 9)], 150.0, False),
        ([half("10:00", 150, 140), half("10:30", 170, None)], 155.0, True),
    ],
)
def test_the_uk_is_the_mean_of_two_halves(mocked, fetch, rows, value, estimated):
    mocked.get(f"{UK}/2026-11-23T10:00Z/2026-11-23T11:00Z").respond(json={"data": rows})
    found = CarbonIntensityUk(fetch=fetch).intensity("GBR", AT)
    assert (found.grams_per_kwh, found.estimated, found.boundary) == (value, estimated, "direct")


def test_what_passes_is_tried_again_and_no_more_than_that(mocked, fetch, pauses):
    route = mocked.get(f"{MAPS}/history")
    good = {"history": [of_hour(10, 43)]}
    route.side_effect = [
        httpx2.ConnectTimeout("late"),
        httpx.Response(429, headers={"retry-after": "2"}),
        httpx.Response(200, json=good),
    ]
    assert maps(fetch).intensity("FRA", AT).grams_per_kwh == 43.0
    assert pauses == [0.5, 2.0]
    route.side_effect = None
    route.respond(503)
    with pytest.raises(GridSourceError, match="status 503"):
        maps(fetch).intensity("FRA", AT)
    assert route.call_count == 6


def test_a_source_that_wants_to_be_left_alone_for_long_is_not_asked_sooner(mocked, fetch, pauses):
    route = mocked.get(f"{MAPS}/history").respond(429, headers={"retry-after": "60"})
    with pytest.raises(GridSourceError, match="status 429"):
        maps(fetch).intensity("FRA", AT)
    assert (route.call_count, pauses) == (1, [])


@pytest.mark.parametrize(("status", "error"), [(401, GridSourceError), (403, GridSourceError), (404, NoFigureError)])
def test_what_stays_is_not_tried_again_and_never_shows_the_token(mocked, fetch, pauses, status, error):
    route = mocked.get(f"{MAPS}/history").respond(status, text="secret")
    with pytest.raises(error) as raised:
        maps(fetch).intensity("FRA", AT)
    assert type(raised.value) is error
    assert route.call_count == 1
    assert pauses == []
    assert "secret" not in str(raised.value)
    assert "secret" not in repr(maps(fetch))


def test_no_json_is_an_error(mocked, fetch):
    mocked.get(f"{MAPS}/history").respond(text="<html>")
    with pytest.raises(GridSourceError, match="no JSON"):
        maps(fetch).intensity("FRA", AT)
