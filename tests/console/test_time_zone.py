"""Whose days pages and the API mean where nobody says: those of the ledger's time zone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from proxy.ledger.engine import WRITE
from proxy.ledger.local_days import keep_days
from proxy.ledger.tables import call_rows
from proxy.ledger.write import Ledger
from tests.console.conftest import NOON, Running, serve
from tests.console.test_explore import links
from tests.console.test_page import Page
from tests.rows import call_row

KOLKATA = ZoneInfo("Asia/Kolkata")


@pytest.fixture
def console(tmp_path):
    with serve(f"sqlite:///{tmp_path}/ledger.db", now=lambda: NOON, tz="Asia/Kolkata") as running:
        with running.engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
            keep_days(connection, KOLKATA, NOON)
        yield running


def record(console: Running) -> None:
    """One call before midnight in Kolkata and one after it, on one day of UTC."""
    midnight = datetime(NOON.year, NOON.month, NOON.day, tzinfo=KOLKATA).astimezone(UTC)
    rows = [call_row(started_at=midnight + timedelta(minutes=each), user="u") for each in (-1, 1)]
    Ledger(console.engine).commit(rows, journal="j", positions={}, at=NOON)


def test_the_api_means_them(console):
    record(console)
    day = f"{NOON:%Y-%m-%d}"
    for path, calls in ((f"/api/totals?from={day}&to={day}", 1), (f"/api/totals?from={day}&to={day}&tz=UTC", 0)):
        found = json.loads(console.get(path).text)
        assert found["total"]["calls"] == calls, path
    made = json.loads(console.get(f"/api/reports/cost?by=day&from={day}&to={day}").text)
    assert made["tz"] == "Asia/Kolkata"
    assert "(Asia/Kolkata)" in console.get(f"/reports/statement?month={NOON:%Y-%m}").text


@pytest.mark.parametrize("path", ["/explore", "/explore?by=user,outcome", "/teams", "/reports"])
def test_pages_mean_them_and_their_addresses_need_not_say_so(console, path):
    record(console)
    page = Page(console.get(path).text)
    assert any("(Asia/Kolkata)" in words for words in page.words)
    if path.startswith("/explore"):
        assert not [each for each in links(page) if "tz=Asia" in each]
    other = Page(console.get(f"{path}{'&' if '?' in path else '?'}tz=UTC").text)
    assert any("(UTC)" in words for words in other.words)
    if path == "/explore":
        assert [each for each in links(other) if each.startswith("/explore")]
        assert all("tz=UTC" in each for each in links(other) if each.startswith("/explore?"))


def test_users_by_local_day_are_explored_from_sums_alone(console):
    record(console)
    before = Page(console.get("/explore?by=user,day").text).words
    assert {"u", f"{NOON:%Y-%m-%d}", f"{NOON - timedelta(days=1):%Y-%m-%d}"} <= set(before)
    with console.engine.begin() as connection:
        connection.execute(sa.delete(call_rows))
    assert Page(console.get("/explore?by=user,day").text).words == before
    berlin = Page(console.get("/explore?by=user,day&tz=Europe/Berlin").text)  # whose days are not kept
    assert any("(UTC)" in words for words in berlin.words)
