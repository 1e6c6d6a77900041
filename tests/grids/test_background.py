"""Hours asked in the background of recording, of a real server on loopback that may be slow, wrong or away."""

from __future__ import annotations

import json
import threading
from concurrent.futures import wait
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2
import pytest

from proxy.config import load
from proxy.estimating import ConfiguredEstimator
from proxy.grids.background import LONGEST_WAIT_S, LOOK_AGAIN_S, WAITING_SHARE, BackgroundGrid
from proxy.grids.carbon_intensity_uk import CarbonIntensityUk
from proxy.grids.fetch import Fetch
from proxy.grids.hourly import HourlyGrid
from proxy.journal import Journal
from proxy.ledger.read import recent
from proxy.ledger.write import Ledger
from proxy.recorder import Recorder
from tests.databases import open_ledger
from tests.records import AT_US, closed, opened

AT = datetime(2026, 11, 18, 10, 45, tzinfo=UTC)


class Source:
    """Great Britain's API, as far as it is asked: what it says, and when, the test decides."""

    def __init__(self) -> None:
        self.actual: int | None = 100
        self.status = 200
        self.answers = threading.Event()
        self.answers.set()
        self.asked = 0
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                source.asked += 1
                source.answers.wait(30)
                start = self.path.split("/")[2]
                row = {"from": start, "intensity": {"forecast": 80, "actual": source.actual}}
                body = json.dumps({"data": [row]}).encode()
                self.send_response(source.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.answers.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def source():
    source = Source()
    yield source
    source.close()


@pytest.fixture
def background(source):
    """Makes a background grid on the source, with a clock of its own; ends all of them."""
    made = []

    def background(clock, **parameters) -> BackgroundGrid:
        client = httpx2.Client(timeout=30)
        asked = CarbonIntensityUk(fetch=Fetch(client=client, attempts=1), origin=source.origin)
        made.append(
            (client, grid := BackgroundGrid({"GBR": HourlyGrid(asked, clock=clock)}, clock=clock, **parameters))
        )
        return grid

    yield background
    source.answers.set()
    for client, grid in made:
        grid.close()
        grid._asking.shutdown()
        client.close()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def until_answered(asked, _) -> None:
    wait(asked, 30)


def test_an_hour_that_comes_in_time_is_taken_at_once_and_asked_for_once(source, background):
    grid = background(Clock(), wait=until_answered)
    assert grid.at("GBR", AT).grams_per_kwh == 100
    assert grid.at("GBR", AT.replace(minute=1)).grams_per_kwh == 100
    assert source.asked == 1
    assert grid.at("GBR", AT + timedelta(hours=1)).start == datetime(2026, 11, 18, 11, tzinfo=UTC)


def test_what_is_known_of_an_hour_is_given_and_nobody_is_asked(source, background):
    grid = background(Clock(), wait=until_answered)
    assert grid.known(AT) == []
    found = grid.at("GBR", AT)
    assert grid.known(AT.replace(minute=59)) == [found]
    assert grid.known(AT + timedelta(hours=1)) == []
    assert source.asked == 1


def test_waiting_is_bounded_in_a_row_and_in_the_long_run(source, background):
    clock, waited = Clock(), []

    def wait_in_vain(_, seconds) -> None:
        waited.append(seconds)
        clock.now += seconds

    source.answers.clear()
    grid = background(clock, wait=wait_in_vain)
    for _ in range(100):  # rows of one batch, and of other hours
        assert grid.at("GBR", AT) is None
        assert grid.at("GBR", AT + timedelta(hours=1)) is None
    assert sum(waited) == LONGEST_WAIT_S
    clock.now += 10
    assert grid.at("GBR", AT) is None
    assert sum(waited) == pytest.approx(LONGEST_WAIT_S + 10 * WAITING_SHARE)
    clock.now += 1e6
    assert grid.at("GBR", AT) is None
    assert waited[-1] == LONGEST_WAIT_S


def test_an_hour_that_comes_late_is_there_for_later_calls(source, background):
    source.answers.clear()
    grid = background(Clock(), wait=lambda asked, seconds: None)
    assert grid.at("GBR", AT) is None
    source.answers.set()
    wait([hour.asked for hour in grid._hours.values()], 30)
    assert grid.at("GBR", AT).grams_per_kwh == 100


def test_a_source_in_trouble_is_logged_once_and_asked_again_later(source, background, caplog):
    clock = Clock()
    grid = background(clock, wait=until_answered)
    source.status = 500
    for _ in range(50):
        assert grid.at("GBR", AT) is None
    assert source.asked == 1
    assert ["status 500" in record.getMessage() for record in caplog.records] == [True]
    source.status, clock.now = 200, 299
    assert grid.at("GBR", AT) is None  # left in peace for five minutes
    clock.now += LOOK_AGAIN_S + 1
    assert grid.at("GBR", AT).grams_per_kwh == 100


def test_a_forecast_holds_until_it_has_settled(source, background):
    clock = Clock()
    grid = background(clock, wait=until_answered)
    source.actual = None
    assert grid.at("GBR", AT).estimated
    source.actual, clock.now = 95, 1000
    grid.at("GBR", AT)  # what is known is given at once while it is asked again
    wait([hour.asked for hour in grid._hours.values() if hour.asked is not None], 30)
    assert (grid.at("GBR", AT).grams_per_kwh, source.asked) == (95, 2)


def test_a_recorder_writes_the_hour_or_the_year_and_which_it_was(source, background, tmp_path):
    file = tmp_path / "joulegate.toml"
    file.write_text('[[grid]]\nsource = "carbon_intensity_uk"\nzones = ["GBR"]\n')
    config = load(file, environment={}).config
    grid = background(Clock(), wait=until_answered)
    journal = Journal.open(tmp_path / "journal", worker="1")
    for zone in ("GBR", "FRA"):
        assert journal.append(closed(opened(zone=zone)))
    for hours in (1, 2):
        assert journal.append(closed(opened(zone="GBR", started_at_us=AT_US + hours * 3_600_000_000)))
    journal.close()
    engine = open_ledger(f"sqlite:///{tmp_path}/ledger.db")
    recorder = Recorder(tmp_path / "journal", Ledger(engine), estimate=ConfiguredEstimator(config, grid))
    recorder.run_once(2)
    source.status = 500
    while recorder.run_once():
        pass
    recorder.close()
    with engine.connect() as connection:
        rows = recent(connection, limit=10)
    engine.dispose()
    found = sorted((row.started_at, row.zone, row.grid_source, row.grams_co2e / row.joules * 3.6e6) for row in rows)
    assert [each[1:3] for each in found] == [
        ("GBR", "carbon_intensity_uk"),
        ("FRA", "owid"),
        ("GBR", "owid"),
        ("GBR", "owid"),
    ]
    assert found[0][3] == pytest.approx(100)
    assert found[2][3] != pytest.approx(100)
