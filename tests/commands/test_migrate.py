from __future__ import annotations

import functools
import json

import pytest
import sqlalchemy as sa

from proxy.ledger.engine import open_engine
from proxy.ledger.rollups import left
from tests.commands.typed import typed
from tests.expanded import expand
from tests.rows import call_row, insert


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return functools.partial(typed, "migrate")


def test_a_new_ledger_is_made_where_the_configuration_says(run, tmp_path):
    (tmp_path / "joulegate.toml").write_text('[ledger]\nurl = "sqlite:///here.db"\n')
    check = run("check")
    assert (check.exit_code, "There is no ledger yet" in check.output) == (1, True)
    assert [path.name for path in tmp_path.iterdir()] == ["joulegate.toml"]
    result = run()
    assert result.exit_code == 0, result.output
    assert "brought from empty to" in result.output
    assert "already at" in run("up").output
    check = run("check")
    assert (check.exit_code, "as this release needs it" in check.output) == (0, True)
    engine = sa.create_engine(f"sqlite:///{tmp_path}/here.db")
    views = sa.inspect(engine).get_view_names()
    engine.dispose()
    assert "calls" in views


def test_sums_are_made_of_what_an_old_release_left(run, tmp_path):
    run()
    engine = open_engine(f"sqlite:///{tmp_path}/joulegate.db")
    insert(engine, *(call_row() for _ in range(20)))
    result = run("up", "--json")
    assert json.loads(result.stdout)["at_head"]
    with engine.connect() as connection:
        assert left(connection) == 0
        assert connection.exec_driver_sql("SELECT sum(calls) FROM calls_by_day").scalar() == 20
    engine.dispose()


def test_json_says_the_same(run):
    url = ("--database", "sqlite:///other.db", "--json")
    before, up, after = (json.loads(run(action, *url).stdout) for action in ("check", "up", "check"))
    head = up["head"]
    assert before == {"revision": None, "head": head, "at_head": False, "applied": [], "pending": up["applied"]}
    assert up["applied"][-1] == head
    assert after == {"revision": head, "head": head, "at_head": True, "applied": [], "pending": []}


def test_both_databases_are_asked_and_brought_up(run, empty_url):
    url = ("--database", empty_url, "--json")
    check = run("check", *url)
    assert (check.exit_code, json.loads(check.stdout)["revision"]) == (1, None)
    up = run("up", *url)
    assert (up.exit_code, json.loads(up.stdout)["at_head"]) == (0, True)
    check = run("check", *url)
    assert (check.exit_code, json.loads(check.stdout)["pending"]) == (0, [])


def test_a_newer_ledger_is_a_no_for_check_and_an_error_for_up(run, tmp_path):
    run("up", "--database", "sqlite:///newer.db")
    engine = sa.create_engine(f"sqlite:///{tmp_path}/newer.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        connection.exec_driver_sql("UPDATE compatibility SET oldest = '9998'")
    engine.dispose()
    check = run("check", "--database", "sqlite:///newer.db")
    assert (check.exit_code, "upgrade Joulegate" in check.output) == (1, True)
    up = run("up", "--database", "sqlite:///newer.db")
    assert (up.exit_code, "newer Joulegate" in up.output) == (2, True)


def test_a_ledger_that_a_newer_release_expanded_is_left_as_it_is(run, tmp_path):
    run("up", "--database", "sqlite:///expanded.db")
    engine = sa.create_engine(f"sqlite:///{tmp_path}/expanded.db")
    expand(engine)
    for action in ("check", "up"):
        ran = run(action, "--database", "sqlite:///expanded.db")
        assert (ran.exit_code, "is at 9999 of a newer release, which this one" in ran.output) == (0, True)
        told = json.loads(run(action, "--database", "sqlite:///expanded.db", "--json").stdout)
        assert (told["revision"], told["at_head"], told["applied"], told["pending"]) == ("9999", False, [], [])
    assert sa.inspect(engine).has_table("later_sums")
    engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["up", "--database", "nonsense"], "cannot be used"),
        (["up", "--database", "nosuch://me:hunter2@host/db"], "nosuch"),
        (["check", "--config", "missing.toml"], "missing.toml"),
        (["sideways"], "sideways"),
    ],
)
def test_bad_usage_says_what_is_wrong_and_shows_no_password(run, arguments, says):
    result = run(*arguments)
    assert result.exit_code == 2
    assert says in result.output
    assert "hunter2" not in result.output
