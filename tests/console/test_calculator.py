from __future__ import annotations

from datetime import timedelta

from estimator import Intensity
from proxy.calculator.asked import Asked
from proxy.calculator.own import Own
from proxy.calculator.words import words
from tests.calculator.configured import configuration
from tests.console.conftest import NOON, serve
from tests.console.test_api import get
from tests.console.test_page import Page
from tests.rows import UNMETERED, UNPRICED, call_row


def test_the_page_answers_what_its_address_asks(console):
    reply = console.get("/calculator?model=claude-opus-4&input=500&output=100&zone=FRA")
    assert reply.status == 200
    asked = Asked(model="claude-opus-4", input=500, output=100, zone="FRA")
    assert words(asked).texts["call.joules"] in Page(reply.text).words
    policy = reply.headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "form-action 'self'" in policy
    assert '<details id="audit">' in reply.text
    assert '<details id="audit" open>' in console.get("/calculator?audit=1").text


def test_an_hour_of_a_grid_that_is_known_is_offered_and_not_taken(tmp_path):
    asked_at = []

    def hours(at):
        asked_at.append(at)
        return [Intensity(zone="GBR", grams_per_kwh=132.5, boundary="direct", start=at, end=at, source="<b>grid")]

    with serve(f"sqlite:///{tmp_path}/ledger.db", now=lambda: NOON, hours=hours) as console:
        page = Page(console.get("/calculator?zone=GBR").text)
    assert "GBR from 12:30 UTC: 132.5 g (<b>grid, direct emissions alone)" in page.words
    assert asked_at == [NOON]
    assert words(Asked(zone="GBR")).texts["call.grams_co2e"] in page.words


def test_what_cannot_be_asked_is_refused(console):
    reply = console.get("/calculator?cached=9999")
    assert reply.status == 400
    assert "cached=9999 is more than input=2000" in reply.text


def test_what_the_page_needs_is_served(console):
    for name, kind in (
        ("model.js", "text/javascript"),
        ("words.js", "text/javascript"),
        ("calculator.css", "text/css"),
    ):
        reply = console.get(f"/calculator/static/{name}")
        assert (reply.status, reply.headers["content-type"].partition(";")[0]) == (200, kind)
    assert console.get("/calculator/static/../documents.py").status == 404


def test_the_first_page_leads_there(console):
    assert '<a href="/calculator">' in console.get("/").text


def test_the_mean_call_of_each_model(console):
    console.record(
        *(call_row(started_at=NOON - timedelta(days=4, hours=1)) for _ in range(3)),
        call_row(input_tokens=500, cached_input_tokens=0, output_tokens=250),
        call_row(**UNMETERED),
        call_row(**UNPRICED, cached_input_tokens=None),
        call_row(model="silent", model_requested="silent", **UNMETERED),
        call_row(model="long-ago", started_at=NOON - timedelta(days=40)),
    )
    found = get(console, "/api/traffic")
    first, *rest = found["models"]
    assert first == {
        "provider": "openai",
        "model": "gpt-4o",
        "card": "gpt-4o",
        "calls": 4,
        "calls_per_day": 5 / 4.5208333333333333,
        "input_tokens": 200.0,
        "cached_input_tokens": 30.0,
        "output_tokens": 100.0,
        "reason": None,
    }
    assert [(each["model"], each["card"], each["reason"]) for each in rest] == [
        ("house-model", None, None),
        ("silent", None, "no call has token counts"),
    ]
    assert rest[0]["cached_input_tokens"] is None


def test_no_traffic_and_no_ledger(console, tmp_path):
    assert get(console, "/api/traffic")["models"] == []
    with serve(f"sqlite:///{tmp_path}/none.db", migrated=False) as without:
        assert get(without, "/api/traffic", status=503)["error"]["message"]
        assert without.get("/calculator").status == 200


def test_the_configuration_s_own_models_are_there_and_in_the_traffic(tmp_path):
    config = configuration(tmp_path)
    with serve(
        f"sqlite:///{tmp_path}/ledger.db", now=lambda: NOON, configured=lambda at: Own.of(config, at)
    ) as console:
        console.record(
            call_row(model="CHAT-PROD", model_requested="CHAT-PROD", provider="house", started_at=NOON - timedelta(1)),
        )
        (mean,) = get(console, "/api/traffic")["models"]
        assert mean["card"] == "chat-prod"
        page = console.get(f"/calculator?model={mean['card']}&provider=house&input=100&output=50").text
        ours = Own.of(config, NOON)
        said = words(Asked(model="chat-prod", provider="house", input=100, output=50), ours).texts
        assert said["own"] in Page(page).words
        assert {said["call.joules"], said["call.cost_usd"], said["call.cost_usd.band"]} <= set(Page(page).words)
        assert said["call.cost_usd"].startswith("$")
