from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import jsonschema
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxy.ledger.tables import CallRow, call_columns
from tests.console.conftest import NOON, serve
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row


def get(console, path: str, status: int = 200, described: str | None = None):
    """Ask, and hold the answer against the API's own description."""
    reply = console.get(path)
    assert (reply.status, reply.headers["content-type"]) == (status, "application/json"), reply.text
    document = json.loads(console.get("/api/openapi.json").text)
    answers = document["paths"][described or path.partition("?")[0]]["get"]["responses"]
    schema = answers[str(status)]["content"]["application/json"]["schema"] | {"components": document["components"]}
    jsonschema.validate(json.loads(reply.text), schema)
    return json.loads(reply.text)


def test_calls_are_ledger_rows_the_latest_first(console):
    rows = [call_row(cost_usd=Decimal("0.0000001"), tags={"k": "v"}), call_row(**UNMETERED), call_row(**UNPRICED)]
    console.record(*rows)
    found = get(console, "/api/calls")["calls"]
    assert [each["id"] for each in found] == [row.id for row in reversed(rows)]
    assert list(found[0]) == [column.name for column in call_columns]
    assert found[2]["cost_usd"] == "0.0000001"
    assert found[1]["cost_usd"] is found[1]["joules"] is found[1]["input_tokens"] is None
    read = msgspec.convert(found[2], CallRow, strict=False)
    assert read == rows[0]
    assert [each["id"] for each in get(console, "/api/calls?limit=1")["calls"]] == [rows[2].id]


def test_totals_of_today_by_default(console):
    console.record(
        call_row(), call_row(team="ads", **UNPRICED | UNESTIMATED), call_row(started_at=NOON - timedelta(days=1))
    )
    found = get(console, "/api/totals")
    assert (found["from"], found["to"], found["tz"]) == ("2026-11-23T00:00:00Z", "2026-11-24T00:00:00Z", "UTC")
    assert found["total"]["calls"] == 2
    assert (found["total"]["cost_usd"], found["total"]["unpriced_calls"]) == ("0.00075", 1)
    split = get(console, "/api/totals?by=team,model")
    assert sorted((each["by"]["team"], each["by"]["model"], each["joules"]) for each in split["groups"]) == [
        ("ads", "house-model", None),
        ("search", "gpt-4o", 400.0),
    ]
    assert split["total"] == found["total"]


def test_totals_of_a_period(console):
    console.record(call_row(), call_row(started_at=NOON - timedelta(days=40)))
    assert get(console, "/api/totals?month=2026-10")["total"]["calls"] == 1
    assert get(console, "/api/totals?from=2026-10-01&to=2026-11-23")["total"]["calls"] == 2
    days = get(console, "/api/totals?by=day&from=2026-10-01&tz=Asia/Kolkata")["groups"]
    assert sorted(each["by"]["day"] for each in days) == ["2026-10-14", "2026-11-23"]


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/api/calls?limit=0", "limit='0': give a whole number from 1 to 500"),
        ("/api/calls?limit=501", "from 1 to 500"),
        ("/api/calls?limit=%C2%B2", "from 1 to 500"),
        (f"/api/calls?limit={'9' * 5000}", "from 1 to 500"),
        ("/api/totals?team=search", "there is no 'team' to ask for: choose from by, month, from, to, tz, from_calls"),
        ("/api/totals?by=colour", "cannot split by 'colour': choose from team,"),
        ("/api/totals?from=soon", "--from 'soon' is not a date"),
        ("/api/totals?month=2026", "'2026' is not a month"),
        ("/api/totals?tz=Nowhere", "no time zone 'Nowhere'"),
    ],
)
def test_a_wrong_question_is_answered_with_what_to_do(console, path, says):
    assert says in get(console, path, 400)["error"]["message"]


def test_a_ledger_that_is_away_is_said(tmp_path):
    with serve(f"sqlite:///{tmp_path}/ledger.db", migrated=False) as console:
        assert get(console, "/api/totals", 503) == {"error": {"message": "the ledger cannot be read at the moment"}}
        assert get(console, "/api/calls")["calls"] == []


@pytest.mark.parametrize(
    ("state", "status"),
    [
        ({}, "ok"),
        ({"lag_seconds": 61.0}, "late"),
        ({"leads": False}, "standing_by"),
        ({"problem": "no disk", "leads": False, "lag_seconds": 99.0}, "standing_still"),
        ({"gate_problems": ["gate 1: no disk"], "problem": "no disk", "leads": False}, "unwritable"),
        ({"notice": "the ledger was deleted"}, "incomplete"),
    ],
)
@pytest.mark.parametrize("missing", [0, 3])
def test_health(console, state, status, missing):
    for name, value in state.items():
        setattr(console.recorder, name, value)
    console.recorder.record_counts |= {"recorded": 7, "lost": missing // 3, "poison": missing - missing // 3}
    found = get(console, "/api/health")
    assert found["status"] == ("incomplete" if missing and status == "ok" else status)
    assert found["missing_calls"] == missing
    texts = [*state.get("gate_problems", []), state.get("problem"), state.get("notice")]
    assert found["problem"] == ("; ".join(filter(None, texts)) or None)


def test_keys_and_budgets_that_are_not_in_force_are_told_apart(tmp_path):
    keys, budgets = [], ["not kept by this machine: budget `b`: tz"]
    url = f"sqlite:///{tmp_path}/ledger.db"
    with serve(url, now=lambda: NOON, key_problems=lambda: keys, budget_problems=lambda: budgets) as console:
        assert (found := get(console, "/api/health"))["status"] == "budgets_unkept"
        assert found["problem"] == budgets[0]
        assert "a budget is not kept by this machine" in console.get("/health").text
        assert "take others out of use" in console.get("/health").text
        console.recorder.record_counts |= {"lost": 1}
        assert get(console, "/api/health")["status"] == "budgets_unkept"
        keys.append("gate 1 cannot read the roster of keys")
        found = get(console, "/api/health")
        assert (found["status"], found["problem"]) == ("keys_outdated", f"{keys[0]}; {budgets[0]}")
        keys.clear()
        budgets.clear()
        assert get(console, "/api/health")["status"] == "incomplete"


def test_healthz_answers_while_the_process_does(console):
    console.recorder.problem = "no disk"
    assert (console.get("/healthz").status, console.get("/healthz").text) == (200, "ok\n")


def test_metrics_are_prometheus_text(console):
    console.record(call_row())
    reply = console.get("/metrics")
    assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    names = {family.name for family in text_string_to_metric_families(reply.text)}
    assert {"joulegate_calls", "joulegate_streams_open", "joulegate_overhead_seconds"} <= names


def test_nothing_but_teams_keys_and_budgets_is_changed(console):
    document = json.loads(console.get("/api/openapi.json").text)
    assert {method for path in document["paths"].values() for method in path} == {"get", "post", "patch", "delete"}
    changing = {path for path, methods in document["paths"].items() if methods.keys() - {"get"}}
    assert {path.split("/")[2] for path in changing} == {"teams", "keys", "budgets"}


def test_a_call_is_found_under_one_name_in_metrics_totals_and_on_the_page(console):
    console.record(call_row(model="gpt-4o-2024-08-06"), call_row(model=None, model_requested="house-model"))
    names = {"gpt-4o-2024-08-06", "house-model"}
    counted = {
        sample.labels["model"]
        for family in text_string_to_metric_families(console.get("/metrics").text)
        for sample in family.samples
        if sample.name == "joulegate_calls_total"
    }
    assert counted == names
    assert {each["by"]["model"] for each in get(console, "/api/totals?by=model")["groups"]} == names
    page = console.get("/").text
    assert all(f'<th scope="row">{name}</th>' in page for name in names)
