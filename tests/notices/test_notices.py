from __future__ import annotations

import email
import hashlib
import hmac
import json
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.policy import default
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from proxy.config import load
from proxy.errors import ConfigError
from proxy.ledger.budget_tables import budget_crossings, budgets
from proxy.ledger.write import Ledger
from proxy.notices.finding import anomalies, statements, unpriced
from proxy.notices.notice import DAYS_NEEDED, Notice, usual
from proxy.notices.outbox import GIVEN_UP, SENDING, Outbox
from proxy.notices.sending import Page, SendingError, file_name
from proxy.notices.targets import targets_of
from proxy.notices.telling import Notices
from tests.commands.typed import typed
from tests.notices.receiving import mail_server, webhook
from tests.rows import UNMETERED, UNPRICED, call_row

NOW = datetime(2026, 12, 2, 9, tzinfo=UTC)  # a Wednesday
UTC_DAYS = ZoneInfo("UTC")
EVIL = "../../etc/<b>\npasswd"
NOTICE = Notice(event="test", subject="s", period="p", title="A title", text="A text.", facts={"a": 1})


def calls(team: str | None, day: int, cost: str, **changes):
    return call_row(
        team=team, started_at=NOW.replace(hour=3) - timedelta(days=day), **{"cost_usd": Decimal(cost)} | changes
    )


@pytest.fixture
def ledger(engine):
    """Team `wild` spends ten times its own on the last day, `calm` does not, `young` has few days."""
    rows = [calls("wild", day, f"{2 + day % 3}") for day in range(2, 43)]
    rows += [calls("calm", day, f"{2 + day % 3}") for day in range(1, 43)]
    rows += [calls("young", day, "1") for day in range(2, 6)] + [calls("young", 1, "90")]
    rows += [calls("wild", 1, "30"), calls(EVIL, 5, "1"), calls("calm", 1, "0", **UNPRICED)]
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    return engine


def test_a_day_out_of_a_teams_own_pattern(ledger):
    with ledger.connect() as connection:
        (found,) = anomalies(connection, NOW, UTC_DAYS)
    assert (found.subject, found.period) == ("wild dollars", "2026-12-01")
    assert (found.facts["value"], found.facts["median"]) == (30.0, 3.0)
    assert "$30.00 in 1 calls; its median workday of the last six weeks is $3.00" in found.text
    with ledger.connect() as connection:
        assert list(anomalies(connection, NOW - timedelta(days=1), UTC_DAYS)) == []
        assert list(anomalies(connection, NOW + timedelta(days=1), UTC_DAYS)) == []  # a day without calls is no news


def test_models_without_a_price_and_statements_that_are_due(ledger):
    with ledger.connect() as connection:
        (found,) = unpriced(connection, NOW, UTC_DAYS)
        assert found.facts["models"] == [{"model": "house-model", "provider": "openai", "calls": 1}]
        assert list(unpriced(connection, NOW - timedelta(days=1), UTC_DAYS)) == []
        due = list(statements(connection, NOW, UTC_DAYS, ("", "calm", "idle")))
    assert [(each.subject, each.period) for each in due] == [("", "2026-11"), ("calm", "2026-11")]


def test_a_statement_that_is_told_has_its_figures(engine):
    rows = [
        call_row(team="calm", started_at=NOW - timedelta(days=9), cost_usd=Decimal(cost), joules=joules)
        for cost, joules in (("0.1", 400.0), ("0.2", 500.0))
    ]
    rows += [call_row(team="wild", started_at=NOW - timedelta(days=9), **each) for each in (UNPRICED, UNMETERED)]
    Ledger(engine).commit(rows, journal="j", positions={}, at=NOW)
    with engine.connect() as connection:
        whole, calm, wild = statements(connection, NOW, UTC_DAYS, ("", "calm", "wild"))
    assert calm.facts["cost_usd"] == "0.3"
    assert (calm.facts["calls"], calm.facts["joules"], calm.facts["unpriced_calls"]) == (2, 900.0, 0)
    assert calm.facts["joules_low"] < 900.0 < calm.facts["joules_high"]
    assert calm.text.startswith("What calm consumed in 2026-11: 2 calls, dollars $0.300000, energy 250 mWh (")
    assert calm.text.endswith(" mg).")
    assert wild.facts["cost_usd"] is None
    assert "dollars unknown" in wild.text
    assert wild.text.endswith("Calls that these sums leave out: 1 without token counts, 1 without a price.")
    assert (whole.facts["team"], whole.facts["calls"], whole.facts["joules"]) == (None, 4, 1300.0)


def test_days_and_months_are_those_of_the_ledgers_time_zone(engine, tmp_path):
    """Half past one on the first of December in Kolkata, and an evening in November by UTC."""
    late = datetime(2026, 11, 30, 20, tzinfo=UTC)
    november = [call_row(team="calm", started_at=late - timedelta(hours=hours)) for hours in (2, 3, 30)]
    after = call_row(team="calm", started_at=late - timedelta(minutes=50), **UNPRICED)  # the first of December there
    Ledger(engine).commit([*november, after], journal="j", positions={}, at=NOW)
    with engine.connect() as connection:
        assert list(statements(connection, late, UTC_DAYS, ("calm",))) == []
        (due,) = statements(connection, late, ZoneInfo("Asia/Kolkata"), ("calm",))
        assert (due.period, due.facts["calls"]) == ("2026-11", 3)
        assert list(unpriced(connection, late, ZoneInfo("Asia/Kolkata"))) == []
        (day,) = unpriced(connection, NOW, ZoneInfo("Asia/Kolkata"))
        assert (day.period, day.facts["calls"]) == ("2026-12-01", 1)
        assert list(unpriced(connection, NOW, UTC_DAYS)) == []
    wanted = f'[ledger]\ntz = "Asia/Kolkata"\n[[notify]]\nname = "books"\ndirectory = "{tmp_path}/statements"\n'
    config = configured(tmp_path, wanted + 'events = ["statement"]\n')
    assert rounds(engine, config, late + timedelta(hours=1)).round(threading.Event()) == 1
    (written,) = (tmp_path / "statements").glob("*.html")
    assert "2026-11-01 to 2026-11-30 (Asia/Kolkata)" in written.read_text()


@given(st.lists(st.floats(0, 1e6), min_size=DAYS_NEEDED, max_size=40), st.floats(0.1, 10))
def test_the_rule_knows_no_unit_and_no_order(days, scale):
    median, bound = usual(days)
    assert bound >= 2 * median
    assert usual(sorted(days)) == (median, bound)
    scaled = usual([each * scale for each in days])
    assert scaled == (pytest.approx(median * scale), pytest.approx(bound * scale))


def test_too_few_days_know_no_pattern():
    assert usual([1.0] * (DAYS_NEEDED - 1)) is None
    assert usual([10.0] * 20) == (10.0, 20.0)


def configured(tmp_path, text: str):
    file = tmp_path / "joulegate.toml"
    file.write_text(text)
    return load(file, environment={}).config


def rounds(engine, config, now=NOW):
    return Notices(engine, config, working=lambda: True, standing=lambda: "ok, 2 s behind", now=lambda: now)


def test_each_is_told_once_of_what_it_wants(ledger, tmp_path):
    with webhook() as heard:
        config = configured(
            tmp_path,
            f"""
            [[notify]]
            name = "ops"
            webhook = "{heard.address}/hook"
            events = ["anomaly", "unpriced"]
            [[notify]]
            name = "calm"
            webhook = "{heard.address}/calm"
            events = ["anomaly", "statement"]
            teams = ["calm"]
            """,
        )
        stop = threading.Event()
        assert rounds(ledger, config).round(stop) == 3
        assert rounds(ledger, config).round(stop) == 0  # another process, or the same after a restart
        told = sorted((each["event"], each["subject"]) for each in heard.documents())
        assert told == [("anomaly", "wild dollars"), ("statement", "calm"), ("unpriced", "")]
        assert all(each["text"].startswith(each["title"]) for each in heard.documents())
        assert rounds(ledger, config, NOW + timedelta(days=1)).round(stop) == 0


def test_a_budget_that_passed_a_threshold(engine, tmp_path):
    Ledger(engine).prepare()
    with engine.begin() as connection:
        connection.execute(
            sa.insert(budgets).values(
                name="search-month", measure=1, team="search", unit="usd", amount=Decimal(100), period="month",
                tz="UTC", mode="hard", thresholds=[0.8, 1.0], managed_by="configuration", created_at=NOW,
            )
        )  # fmt: skip
        for threshold, at in ((0.8, NOW), (1.0, NOW + timedelta(hours=1)), (0.5, NOW - timedelta(days=9))):
            connection.execute(
                sa.insert(budget_crossings).values(
                    name="search-month", bucket=1_796_083_200, threshold=threshold, at=at, used=81_250_000_000_000
                )
            )
    with webhook() as heard:
        config = configured(
            tmp_path,
            "".join(
                f'[[notify]]\nname = "{name}"\nwebhook = "{heard.address}"\nevents = ["budget"]\nteams = {teams}\n'
                for name, teams in (("all", []), ("mine", ["search"]), ("others", ["ads"]))
            ),
        )
        teller = rounds(engine, config, NOW + timedelta(hours=2))
        assert [teller.round(threading.Event()) for _ in "ab"] == [4, 0]
    assert {(each["title"], each["facts"]["used"], each["facts"]["limit"]) for each in heard.documents()} == {
        ("Budget search-month: 80 % used", "81.25", "100"),
        ("Budget search-month: 100 % used", "81.25", "100"),
    }
    assert "for team search. Calls beyond it are refused." in heard.documents()[0]["text"]


def test_who_cannot_be_told_is_told_later(ledger, tmp_path):
    with webhook() as heard:
        config = configured(tmp_path, f'[[notify]]\nname = "ops"\nwebhook = "{heard.address}"\nevents = ["unpriced"]')
        heard.answers = [500, 302, 200]
        stop, later = threading.Event(), timedelta()
        for pause, sent in ((0, 0), (31, 0), (0, 0), (61, 1), (3600, 0)):
            later += timedelta(seconds=pause)
            assert rounds(ledger, config, NOW + later).round(stop) == sent, later
        assert len(heard.bodies) == 3  # a redirect is not followed
        assert len({each["idempotency-key"] for each in heard.headers}) == 1
        (row,) = Outbox(ledger).latest(5)
        assert (row.attempts, row.problem, row.sent_at) == (3, None, NOW + timedelta(seconds=92))


def test_of_two_processes_one_sends(engine):
    outbox = Outbox(engine)
    engine_of_the_ledger = Ledger(engine)
    engine_of_the_ledger.prepare()
    assert outbox.put(NOTICE, ["a", "b"], NOW) == 2
    assert outbox.put(NOTICE, ["a", "b"], NOW) == 0
    first, second = outbox.take(["a", "b"], NOW), outbox.take(["a", "b"], NOW)
    assert {first.target, second.target} == {"a", "b"}
    assert first.notice == NOTICE
    assert outbox.take(["a", "b"], NOW) is None
    again = outbox.take(["a"], NOW + SENDING)  # the other process died
    assert (again.target, again.attempts) == ("a", 2)
    outbox.failed(again, "why", NOW)
    assert outbox.take(["a"], NOW + GIVEN_UP + SENDING) is None
    assert outbox.take(["c"], NOW) is None


def test_a_signature_that_a_receiver_can_check(tmp_path, monkeypatch):
    monkeypatch.setenv("HOOK_SECRET", "shh")
    with webhook() as heard:
        config = configured(
            tmp_path,
            f'[[notify]]\nname = "o"\nwebhook = "{heard.address}"\nsecret = "env:HOOK_SECRET"\nevents = ["budget"]',
        )
        targets_of(config, lambda _: lambda _: None)["o"].send(NOTICE, NOW)
    at, signature = (part.split("=")[1] for part in heard.headers[0]["x-joulegate-signature"].split(","))
    expected = hmac.new(b"shh", at.encode() + b"." + heard.bodies[0], hashlib.sha256).hexdigest()
    assert signature == expected
    assert "shh" not in repr(targets_of(config, lambda _: lambda _: None))


def test_a_statement_by_mail_and_as_a_file(ledger, tmp_path):
    with mail_server() as heard:
        config = configured(
            tmp_path,
            f"""
            [mail]
            host = "127.0.0.1"
            port = {heard.port}
            encryption = "none"
            sender = "joulegate@example.com"
            [[notify]]
            name = "post"
            mail = ["finops@example.com", "cto@example.com"]
            events = ["statement"]
            [[notify]]
            name = "files"
            directory = "{tmp_path}/out/statements"
            events = ["statement", "unpriced"]
            teams = ["{EVIL.encode("unicode_escape").decode()}", "calm"]
            """,
        )
        assert rounds(ledger, config).round(threading.Event()) == 4
    message = email.message_from_string(heard.mails[0], policy=default)
    assert (message["to"], message["subject"]) == (
        "finops@example.com, cto@example.com",
        "All teams: statement of 2026-11",
    )
    (attached,) = message.iter_attachments()
    assert attached.get_filename() == "statement-2026-11.html"
    assert "wild" not in message.get_body().get_content()
    assert "<h1>All teams</h1>" in attached.get_content()
    assert "ledger: ok, 2 s behind" in attached.get_content()
    written = sorted(each.name for each in (tmp_path / "out" / "statements").iterdir())
    assert len(written) == 3
    assert written[0] == "statement-calm-2026-11.html"
    assert written[1].startswith("statement-etc-b-passwd-")
    assert (
        json.loads((tmp_path / "out/statements/unpriced-2026-12-01.json").read_text())["notice"]["event"] == "unpriced"
    )
    assert {each.name for each in tmp_path.iterdir()} >= {"joulegate.toml", "out"}


@given(st.text(), st.text())
def test_no_name_of_a_team_leaves_the_directory_and_none_meets_another(one, other):
    page = Page(content=b"", suffix="html", media_type="text/html")
    names = [
        file_name(Notice(event="statement", subject=each, period="2026-11", title="", text="", facts={}), page)
        for each in (one, other)
    ]
    for name in names:
        assert not {"/", "\0"} & set(name)
        assert not name.startswith(".")
        assert len(name.encode()) < 255 or len(one + other) > 100
    assert (names[0] == names[1]) == (one == other)


def test_errors_show_neither_address_nor_secret(tmp_path):
    config = configured(
        tmp_path, '[[notify]]\nname = "o"\nwebhook = "http://127.0.0.1:9/T0/secret"\nevents = ["budget"]'
    )
    with pytest.raises(SendingError) as caught:
        targets_of(config, lambda _: lambda _: None)["o"].send(NOTICE, NOW)
    assert "secret" not in str(caught.value)
    assert "refused" in str(caught.value)


def test_mail_that_some_or_all_are_refused(tmp_path, caplog):
    with mail_server() as heard:

        def send(to: str) -> None:
            mail = f'[mail]\nhost = "127.0.0.1"\nport = {heard.port}\nencryption = "none"\nsender = "j@example.com"\n'
            config = configured(tmp_path, f'{mail}[[notify]]\nname = "o"\nmail = {to}\nevents = ["budget"]')
            targets_of(config, lambda _: lambda _: None)["o"].send(NOTICE, NOW)

        send('["gone@example.com", "here@example.com"]')
        assert len(heard.mails) == 1  # who is there has it
        assert "the mail server refused 1 of the 2 who are told" in caplog.text
        with pytest.raises(SendingError, match="the mail server refused all who are told"):
            send('["gone@example.com"]')
    assert "gone@" not in caplog.text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('webhook = "env:NOBODY_SET_THIS"', "webhook = env:NOBODY_SET_THIS, but NOBODY_SET_THIS is not set"),
        ('webhook = "hook.example.com"', "its webhook is no address that begins with https:// or http://"),
        ('webhook = "http://x"\nsecret = "file:/nowhere/secret"', "secret = file:/nowhere/secret cannot be read"),
    ],
)
def test_a_secret_that_cannot_be_had_is_named_as_the_configuration_does(tmp_path, text, says):
    config = configured(tmp_path, f'[[notify]]\nname = "o"\nevents = ["budget"]\n{text}')
    with pytest.raises(ConfigError, match=f"^notify `o`: {says}"):
        targets_of(config, lambda _: lambda _: None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[notify]]\nname = "o"\nevents = ["budget"]', "needs one of webhook, mail and directory, and has none"),
        ('[[notify]]\nname = "o"\nevents = ["budget"]\nwebhook = "https://x"\ndirectory = "d"', "webhook, directory"),
        ('[[notify]]\nname = "o"\nevents = ["budget"]\nmail = ["a@b"]', "set host and sender in [mail]"),
        ('[[notify]]\nname = "o"\nevents = ["budget"]\ndirectory = "d"\nsecret = "env:X"', "it goes with a webhook"),
        ('[[notify]]\nname = "o"\nevents = []\ndirectory = "d"', "length >= 1"),
        (
            '[[notify]]\nname = "o"\nevents = ["party"]\ndirectory = "d"',
            "allowed are anomaly, budget, statement, unpriced",
        ),
    ],
)
def test_a_configuration_that_tells_nobody_is_an_error(tmp_path, text, says):
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, text)
    assert says in str(caught.value)


def test_the_commands(ledger, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    url = ledger.url.render_as_string(hide_password=False)
    with webhook() as heard:
        (tmp_path / "joulegate.toml").write_text(
            f'[ledger]\nurl = "{url}"\n[[notify]]\nname = "ops"\nwebhook = "{heard.address}"\nevents = ["unpriced"]'
        )
        tried = typed("notify", "test", "ops")
        assert (tried.exit_code, tried.stdout) == (0, "ops was told.\n")
        assert heard.documents()[0]["event"] == "test"
        heard.answers = [503]
        assert typed("notify", "test", "ops").exit_code == 1
        rounds(ledger, load(None, environment={}).config).round(threading.Event())
    shown = typed("notify", "list").stdout
    assert "1 attempts" in shown
    assert "status 503" in " ".join(shown.split())
    (row,) = json.loads(typed("notify", "list", "--json").stdout)
    assert (row["event"], row["target"], row["sent_at"]) == ("unpriced", "ops", None)
    assert "there are ops" in str(typed("notify", "test", "x").exception)
