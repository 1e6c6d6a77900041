"""The reports and the command that prints them, over one small ledger."""

from __future__ import annotations

import csv
import io
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from proxy.errors import JoulegateError
from tests.commands.typed import typed
from tests.rows import UNESTIMATED, UNMETERED, UNPRICED, call_row, insert

NOVEMBER = ("--month", "2026-11")


@pytest.fixture
def ledger(ledger_url, engine):
    insert(
        engine,
        call_row(cost_usd=Decimal("0.1")),
        call_row(cost_usd=Decimal("0.2")),
        call_row(team="ads", cost_usd=Decimal("0.000000000001"), usage_source="counted"),
        call_row(**UNPRICED | UNESTIMATED),
        call_row(**UNMETERED | {"outcome": "error"}),
        call_row(started_at=datetime(2026, 10, 31, 23, 30, tzinfo=UTC)),
    )
    return ledger_url


def run(*words: str):
    return typed("report", *words, JOULEGATE_LEDGER_URL=None)


def read_json(*words: str):
    ran = run(*words, "--json")
    assert ran.exit_code == 0, ran.output
    return msgspec.json.decode(ran.stdout)


def test_dollars_are_exact(ledger):
    document = read_json("cost", "--database", ledger, *NOVEMBER)
    assert [(row["team"], row["model"], row["calls"], row["cost_usd"]) for row in document["rows"]] == [
        ("search", "gpt-4o", 3, "0.3"),
        ("ads", "gpt-4o", 1, "0.000000000001"),
        ("search", "house-model", 1, None),
    ]
    assert document["total"]["cost_usd"] == "0.300000000001"
    assert document["total"]["calls"] == 5
    assert document["notes"] == [
        "prices, by dollars: 100 % a list of another release; each call at the price of its day, without discounts, "
        "credits and taxes other than those in a list of your own",
        "1 call of 5 without a price, so dollars are a lower bound: house-model (1)",
        "1 call of 5 without an energy estimate: house-model (1)",
        "token counts: 60 % reported by the provider, 20 % counted by the gate, 20 % absent (1 call, such as "
        "refused ones: their tokens are in no sum)",
    ]


@pytest.mark.parametrize(
    ("name", "figure", "total", "lacking"),
    [
        ("energy", "joules", 1200.0, "an energy estimate"),
        ("carbon", "grams_co2e", 0.12, "a carbon estimate"),
        ("water", "liters", 0.0015, "a water estimate"),
    ],
)
def test_estimates_say_what_they_leave_out(ledger, name, figure, total, lacking):
    document = read_json(name, "--by", "team", "--database", ledger, *NOVEMBER)
    assert document["report"] == name
    assert document["total"][figure] == pytest.approx(total)
    assert sum(row[figure] for row in document["rows"]) == pytest.approx(total)
    assert f"1 call of 5 without {lacking}, so {name} is a lower bound: house-model (1)" in document["notes"]


@pytest.mark.parametrize(("name", "figure"), [("energy", "joules"), ("carbon", "grams_co2e")])
def test_a_sum_has_its_band_and_says_how_it_is_made(ledger, name, figure):
    document = read_json(name, "--by", "", "--database", ledger, *NOVEMBER)
    (row,) = document["rows"]
    assert row[f"{figure}_low"] * 4 == pytest.approx(row[figure])
    assert row[f"{figure}_high"] / 4 == pytest.approx(row[figure])
    assert any("the sum's own 90 % band" in note for note in document["notes"])


def test_days_come_in_their_order_and_in_the_readers_zone(ledger):
    words = ("cost", "--by", "day,team", "--database", ledger, "--from", "2026-10-31", "--to", "2026-11-30")
    assert [row["day"] for row in read_json(*words)["rows"]] == ["2026-10-31", "2026-11-23", "2026-11-23"]
    berlin = read_json(*words, "--tz", "Europe/Berlin")
    assert [(row["day"], row["calls"]) for row in berlin["rows"]] == [
        ("2026-11-01", 1),
        ("2026-11-23", 4),
        ("2026-11-23", 1),
    ]


def test_the_current_month_is_the_default(ledger):
    now = datetime.now(UTC)
    document = read_json("cost", "--database", ledger)
    assert datetime.fromisoformat(document["from"]) <= now < datetime.fromisoformat(document["to"])
    assert datetime.fromisoformat(document["to"]) - datetime.fromisoformat(document["from"]) <= timedelta(days=31)


def test_the_table_for_people(ledger):
    ran = run("cost", "--database", ledger, *NOVEMBER)
    assert ran.exit_code == 0
    title, period, _, head, *rows = ran.stdout.splitlines()
    assert (title, period) == ("Cost at each day's price, list or your own", "2026-11-01 to 2026-11-30 (UTC)")
    assert head.split()[:3] == ["team", "model", "calls"]
    assert rows[0].split()[-1] == "$0.300000"
    assert rows[1].split()[-1] == "<$0.000001"
    assert rows[2].split()[-1] == "unknown"
    assert rows[3].split()[0] == "total"
    assert rows[4].startswith("* prices, by dollars: 100 % ")
    assert rows[5] == "* 1 call of 5 without a price, so dollars are a lower bound: house-model (1)"
    assert "\x1b" not in ran.stdout


def test_csv(ledger):
    ran = run("energy", "--by", "model", "--format", "csv", "--database", ledger, *NOVEMBER)
    rows = list(csv.DictReader(io.StringIO(ran.stdout, newline="")))
    assert [(row["model"], row["joules"], row["energy_unknown_calls"]) for row in rows] == [
        ("gpt-4o", "1200.0", "0"),
        ("house-model", "", "1"),
    ]


@pytest.mark.parametrize("by", ["team,model", "", "day"])
@pytest.mark.parametrize("name", ["cost", "energy", "carbon", "water", "sci", "ghg"])
def test_no_calls_says_when_and_what_to_do_and_nothing_is_unknown(ledger, name, by):
    words = (name, "--by", by, "--month", "2020-01", "--database", ledger)
    ran = run(*words)
    assert ran.exit_code == 0
    note = "no calls between 2020-01-01 and 2020-01-31 (UTC): choose another period with --from and --to, or --month"
    assert ran.stdout.splitlines()[1:] == ["2020-01-01 to 2020-01-31 (UTC)", "", f"* {note}"]
    document = read_json(*words)
    assert (document["rows"], document["total"]["calls"], document["notes"]) == ([], 0, [note])
    assert len(run(*words, "--format", "csv").stdout.splitlines()) == 1


def test_no_calls_on_one_day(ledger):
    ran = run("cost", "--from", "2020-01-01", "--to", "2020-01-01", "--tz", "Asia/Kolkata", "--database", ledger)
    assert "* no calls on 2020-01-01 (Asia/Kolkata): choose" in ran.stdout


def test_no_calls_of_those_alone_that_are_looked_at(ledger):
    ran = run("cost", "--where", "team=serach", "--where", "project=", "--database", ledger, *NOVEMBER)
    assert "* no calls with team serach, no project between 2026-11-01 and 2026-11-30 (UTC): choose" in ran.stdout
    assert "or leave out --where" in ran.stdout


@pytest.mark.parametrize("name", ["cost", "energy", "carbon", "water", "sci", "ghg", "focus"])
def test_every_report_says_how_its_calls_were_metered(ledger, name):
    metering = read_json(name, "--database", ledger, *NOVEMBER)["metering"]
    assert metering == {
        "calls": 5,
        "usage_sources": {"reported": 3, "counted": 1, "inferred": 0, "absent": 1},
        "unpriced_calls": 1,
        "energy_unknown_calls": 1,
        "carbon_unknown_calls": 1,
        "water_unknown_calls": 1,
        "unpriced_models": ["house-model"],
        "unknown_models": ["house-model"],
        "service": None,
    }


def test_of_the_configured_ledger_a_running_gate_says_how_far_it_is_behind(ledger, tmp_path):
    class Ready(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(b"ready, the ledger is 0.4 s behind\n")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Ready) as gate:
        threading.Thread(target=gate.serve_forever).start()
        config = tmp_path / "joulegate.toml"
        config.write_text(f'[gate]\nlisten = "127.0.0.1:{gate.server_port}"\n[ledger]\nurl = "{ledger}"\n')
        document = read_json("cost", "--config", str(config), *NOVEMBER)
        other = read_json("cost", "--config", str(config), "--database", ledger, *NOVEMBER)
        gate.shutdown()
    says = f"a gate runs on 127.0.0.1:{gate.server_port}: ready, the ledger is 0.4 s behind"
    assert document["metering"]["service"] == says
    assert document["notes"][-1] == f"ledger: {says}"
    assert other["metering"]["service"] is None
    silent = read_json("cost", "--config", str(config), *NOVEMBER)
    assert silent["metering"]["service"] is None


def test_a_csv_file_says_beside_it_what_it_leaves_out(ledger):
    ran = run("energy", "--format", "csv", "--database", ledger, *NOVEMBER)
    assert "* 1 call of 5 without a price: house-model (1)\n" in ran.stderr
    assert "without" not in ran.stdout


@pytest.mark.parametrize("form", ["csv", "table"])
def test_json_and_another_format_contradict_each_other(ledger, form):
    ran = run("cost", "--json", "--format", form, "--database", ledger)
    assert isinstance(ran.exception, JoulegateError)
    assert str(ran.exception) == f"--json and --format {form} contradict each other: give one of them"
    assert ran.stdout == ""


def test_json_is_short_for_its_format(ledger):
    words = ("cost", "--database", ledger, *NOVEMBER)
    plain = run(*words, "--json")
    assert plain.exit_code == 0
    assert plain.stdout == run(*words, "--format", "json").stdout == run(*words, "--json", "--format", "json").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("cost", "--by", "team,colour"), "cannot split by 'colour': choose from team, project, user,"),
        (("cost", "--by", "team,team"), "names a dimension twice"),
        (("cost", "--month", "2026-1"), "'2026-1' is not a month: write it as 2026-11"),
        (("cost", "--tz", "Berlin"), "no time zone 'Berlin': use an IANA name"),
        (("cost", "--from", "soon"), "--from 'soon' is not a date"),
        (("cost", "--database", "sqlite:////nowhere/ledger.db"), "there is no ledger at /nowhere/ledger.db: start"),
        (("focus", "--format", "table"), "focus is a file for programs: give --format csv, json or parquet"),
        (("focus", "--by", "team"), "the rows of focus are always by day, team, project, provider, model"),
        (("energy", "--allocate", "ads=tokens"), "it goes with cost, not with energy"),
        (("cost", "--allocate", "ads"), "cannot allocate 'ads': write TEAM=dollars or TEAM=tokens"),
        (("cost", "--allocate", "ads=calls"), "cannot allocate 'ads=calls'"),
        (("cost", "--allocate", "ads=tokens", "--by", "model"), "leave out --by, or give --by team"),
        (("cost", "--allocate", "ads=tokens", "--allocate", "ads=dollars", *NOVEMBER), "names a team twice"),
        (
            ("cost", "--allocate", "adds=tokens", *NOVEMBER),
            "team 'adds': it has no calls in this period; teams: ads, search",
        ),
        (("cost", "--database", "nonsense"), "the database URL"),
        (("cost", "--database", "sqlite:///pyproject.toml"), "cannot be used"),
        (("cost", "--config", "/nowhere/joulegate.toml"), "/nowhere/joulegate.toml"),
    ],
)
def test_a_wrong_question_is_answered_with_what_to_do(ledger, words, says):
    ran = run(*words, *(() if "--database" in words else ("--database", ledger)))
    assert isinstance(ran.exception, JoulegateError)  # which the command line prints, with exit status 2
    assert says in str(ran.exception)
    assert ran.stdout == ""


@pytest.mark.parametrize("words", [("invoice",), ("cost", "--format", "xlsx")])
def test_what_is_not_there_yet_is_not_offered(words):
    assert run(*words).exit_code == 2


def test_an_empty_database_is_not_taken_for_a_ledger(tmp_path):
    (tmp_path / "empty.db").touch()
    ran = run("cost", "--database", f"sqlite:///{tmp_path}/empty.db")
    assert "run `joulegate migrate up`" in str(ran.exception)


def test_asking_makes_no_ledger(tmp_path):
    assert isinstance(run("cost", "--database", f"sqlite:///{tmp_path}/sub/new.db").exception, JoulegateError)
    assert not list(tmp_path.iterdir())
