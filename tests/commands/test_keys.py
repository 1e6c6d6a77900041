from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from typer.testing import CliRunner

from proxy.cli import command_line
from proxy.config import load
from proxy.teams import digest

LIMITED = ("--expires", "90d", "--model", "gpt-4o*", "--model", "o3", "--provider", "openai", "--network", "10.0.0.0/8")


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str):
        return CliRunner().invoke(command_line(), ["keys", *arguments], env={"COLUMNS": "200"})

    return run


def test_what_is_printed_is_what_the_configuration_takes(run, tmp_path):
    shown = run("issue", "search", "--id", "s1", "--project", 'a "b"', *LIMITED)
    assert shown.exit_code == 0, shown.output
    key = next(line.strip() for line in shown.output.splitlines() if line.strip().startswith("jg-"))
    lines = [line.strip() for line in shown.output.partition("[[team.key]]")[2].splitlines()]
    (tmp_path / "joulegate.toml").write_text("\n".join(('[[team]]\nname = "search"', "[[team.key]]", *lines)))
    ((found,),) = [team.key for team in load(tmp_path / "joulegate.toml").config.team]
    assert found.sha256 == digest(key.encode())
    assert (found.id, found.project, found.models, found.providers) == ("s1", 'a "b"', ("gpt-4o*", "o3"), ("openai",))
    assert found.networks == ("10.0.0.0/8",)
    assert timedelta(days=89) < found.expires - datetime.now(UTC) < timedelta(days=91)
    listed = run("list")
    assert key not in listed.output
    assert found.sha256 not in listed.output
    assert all(each in listed.output for each in ("search", "s1", "openai, gpt-4o*, o3", "10.0.0.0/8"))
    (row,) = msgspec.json.decode(run("list", "--json").output)
    assert (row["id"], row["expired"], row["models"]) == ("s1", False, ["gpt-4o*", "o3"])


def test_a_key_without_limits_says_nothing_of_them(run):
    (*_, last) = [line for line in run("issue", "search").output.splitlines() if line.strip()]
    assert last.strip().startswith("sha256 = ")
    made = msgspec.json.decode(run("issue", "search", "--json").output)
    assert (made["team"], made["expires"], made["models"]) == ("search", None, [])
    assert digest(made["key"].encode()) == made["sha256"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--expires", "soon"), "is no date; write 2027-01-31"),
        (("--expires", "2020-01-01"), "is over already"),
        (("--network", "10.0.0.1/8"), "has host bits set"),
    ],
)
def test_a_limit_that_cannot_be_is_bad_usage(run, arguments, says):
    result = run("issue", "search", *arguments)
    assert result.exit_code == 2
    assert says in " ".join(result.output.replace("│", " ").split())
