"""``joulegate budgets``, where it is more than the directory's functions."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from proxy.directory import teams
from tests.commands.typed import typed

WANTED = ("--team", "search", "--unit", "usd", "--limit", "500", "--window", "month")


def test_where_no_time_zone_is_said_it_is_that_of_the_ledger(tmp_path, engine, ledger_url):
    teams.add(engine, "search", actor="cli:ada", at=datetime(2026, 11, 23, tzinfo=UTC))
    file = tmp_path / "joulegate.toml"
    file.write_text(f'[ledger]\nurl = "{ledger_url}"\ntz = "Asia/Kolkata"\n')
    for name, words, tz in (("of-ledger", (), "Asia/Kolkata"), ("own", ("--tz", "Europe/Berlin"), "Europe/Berlin")):
        added = typed("budgets", "add", name, *WANTED, *words, "--config", str(file))
        assert added.exit_code == 0, added.output
        shown = typed("budgets", "show", name, "--json", "--config", str(file))
        assert json.loads(shown.stdout)["budget"]["tz"] == tz
    plain = typed("budgets", "add", "plain", *WANTED, "--database", ledger_url, "--json")
    assert json.loads(plain.stdout)["tz"] == "UTC"
