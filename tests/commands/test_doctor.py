import contextlib
import json
import os
import re
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import Result

from tests.commands.typed import typed
from tests.directory.asking import issue, make_team
from tests.service.running import service

CONFIGURATION = """
[gate]
listen = "127.0.0.1:0"
workers = 4
[console]
listen = "127.0.0.1:0"
[[provider]]
name = "openai"
credential = "env:OPENAI_API_KEY"
region = "aws:eu-north-1"
[[provider]]
name = "inhouse"
origin = "http://127.0.0.1:8000"
zone = "FRA"
[[route]]
match = "inhouse-*"
provider = "inhouse"
[[route]]
match = "gpt-4*"
provider = "inhouse"
model = "llama-3.3-70b"
team = "search"
fallback = ["openai", "groq"]
[[team]]
name = "search"
[[team.key]]
id = "search-1"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
[[team]]
name = "support [old]"
"""
SECRET = "sk-canary-2b7e1c"
PORTS = '[gate]\nlisten = "127.0.0.1:0"\n[console]\nlisten = "127.0.0.1:0"\n'


def doctor(folder: Path, toml: str, *arguments: str, **variables: str) -> Result:
    (folder / "joulegate.toml").write_text(toml)
    inherited = {name: None for name in os.environ if name.startswith("JOULEGATE_")}
    with contextlib.chdir(folder):
        return typed("doctor", *arguments, **inherited | variables)


def checks(done: Result | subprocess.CompletedProcess[str]) -> dict[str, tuple[str, str]]:
    assert done.stderr == ""
    return {each["what"]: (each["level"], each["says"]) for each in json.loads(done.stdout)["checks"]}


def in_a_process(folder: Path, *before: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "-m", "proxy.cli", "doctor", "--json"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=False,
    )


def section(page: str, title: str) -> list[list[str]]:
    """The lines of a table, cut where two spaces are."""
    lines = page.partition(f"\n{title}\n")[2].partition("\n\n")[0].splitlines()
    return [re.split(r"  +", line.strip()) for line in lines]


def test_all_that_is_configured_is_shown(tmp_path):
    done = doctor(tmp_path, CONFIGURATION, OPENAI_API_KEY=SECRET, JOULEGATE_GATE_KEYS="required")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith("Joulegate ")
    assert "configuration joulegate.toml" in done.stdout.splitlines()[0]
    settings = section(done.stdout, "Settings")
    assert ["gate.workers", "4", "joulegate.toml"] in settings
    assert ["gate.keys", "required", "environment"] in settings
    assert ["gate.drain_s", "60.0", "default"] in settings
    assert ["estimate.price_list", "not set", "default"] in settings
    providers = section(done.stdout, "Providers")
    assert ["openai", "https://api.openai.com", "openai", "present", "aws:eu-north-1"] in providers
    assert ["inhouse", "http://127.0.0.1:8000", "openai", "caller's", "FRA"] in providers
    assert ["bedrock", "not set", "bedrock", "caller's", "unknown"] in providers
    assert section(done.stdout, "Routes")[1:3] == [
        ["1", "inhouse-*", "inhouse"],
        ["2", "gpt-4* of team search", "inhouse as llama-3.3-70b, else openai, else groq"],
    ]
    assert section(done.stdout, "Teams")[1:] == [["search", "1"], ["support [old]", "0"]]
    assert ["ok", "provider openai", "credential env:OPENAI_API_KEY is there"] in section(done.stdout, "Checks")
    assert done.stdout.endswith("\nReady for joulegate serve.\n")
    assert SECRET not in done.stdout
    assert "\x1b" not in done.stdout
    assert not [line for line in done.stdout.splitlines() if line != line.rstrip()]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["joulegate.toml"]  # it only looked


def test_json_has_the_same(tmp_path):
    done = doctor(tmp_path, CONFIGURATION, "--json")
    shown = json.loads(done.stdout)
    assert done.exit_code == 1
    assert shown["configuration"] == "joulegate.toml"
    assert {"setting": "gate.workers", "value": 4, "from": "joulegate.toml"} in shown["settings"]
    openai = next(row for row in shown["providers"] if row["name"] == "openai")
    assert openai["credential"] == "env:OPENAI_API_KEY"
    assert openai["credential_present"] is False
    assert (openai["zone"], openai["region"]) == (None, "aws:eu-north-1")
    assert [(route["match"], route["provider"], route["fallback"]) for route in shown["routes"]] == [
        ("inhouse-*", "inhouse", []),
        ("gpt-4*", "inhouse", ["openai", "groq"]),
    ]
    assert shown["teams"] == [{"name": "search", "keys": 1}, {"name": "support [old]", "keys": 0}]
    assert checks(done)["provider openai"] == (
        "error",
        "credential = env:OPENAI_API_KEY, but OPENAI_API_KEY is not set; set it or remove the line",
    )


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("sqlite:joulegate.db", "is no ledger"),
        ("nonsense", "is no ledger"),
        ("mysql://user@host/db", "is no ledger"),
        ("postgresql+psycopg://user:canary@host:canary/db", "is no ledger"),
        ("postgresql+nosuch://user:canary@host/db", "nosuch"),
        ("postgresql+pg8000://user:canary@host/db", "No module named 'pg8000'"),
        ("sqlite+aiosqlite:///joulegate.db", "aiosqlite"),
        ("sqlite://", "would be gone"),
        ("sqlite:///joulegate.db?timeout=canary", "cannot be used"),
        ("sqlite:///taken/joulegate.db", "Not a directory"),
        ("sqlite:///text.db", "file is not a database"),
        ("sqlite:////proc/joulegate/joulegate.db", "cannot be written"),
    ],
)
def test_a_ledger_that_cannot_be_used_is_an_error(tmp_path, url, said):
    (tmp_path / "taken").touch()
    (tmp_path / "text.db").write_text("this is a page of text" * 100)
    done = doctor(tmp_path, PORTS, "--json", JOULEGATE_LEDGER_URL=url)
    level, says = checks(done)["ledger.url"]
    assert (done.exit_code, level) == (1, "error")
    assert said in says
    assert "canary@" not in done.stdout
    assert ":canary" not in done.stdout


def test_a_database_that_is_away_is_a_warning(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    url = f"postgresql+psycopg://user:canary@127.0.0.1:{port}/db"
    done = doctor(tmp_path, PORTS, "--json", JOULEGATE_LEDGER_URL=url)
    level, says = checks(done)["ledger"]
    assert (done.exit_code, level) == (0, "warning")
    assert "refused" in says
    assert "calls wait in the journal" in says
    assert "canary" not in done.stdout


@pytest.mark.parametrize(
    ("url", "level"),
    [
        ("clickhousedb://user:canary@host:8123/db", "ok"),
        ("clickhousedb://user:canary@host:canary/db", "error"),
        ("postgresql+psycopg://user:canary@host/db", "error"),
    ],
)
def test_a_mirror_is_looked_at_and_its_password_is_not_shown(tmp_path, url, level):
    done = doctor(tmp_path, PORTS, "--json", JOULEGATE_MIRROR_URL=url)
    assert checks(done)["mirror.url"][0] == level
    assert done.exit_code == (1 if level == "error" else 0)
    assert "canary@" not in done.stdout
    assert ":canary" not in done.stdout


def test_a_ledger_of_a_newer_release_is_an_error(tmp_path):
    with sqlite3.connect(tmp_path / "joulegate.db") as connection:
        connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
        connection.execute("INSERT INTO alembic_version VALUES ('9999')")
    connection.close()
    done = doctor(tmp_path, PORTS, "--json")
    level, says = checks(done)["ledger"]
    assert (done.exit_code, level) == (1, "error")
    assert "9999, newer than this release's" in says


@pytest.mark.parametrize(
    ("lines", "sender"),
    [
        ('[[route]]\nmatch = "house-*"\nprovider = "azure"', "route house-*"),
        ('[[route]]\nmatch = "house-*"\nprovider = "openai"\nfallback = ["azure"]', "route house-*"),
        ('[[provider]]\nname = "azure"\nmodels = ["house-*"]', "model name house-*"),
    ],
)
def test_calls_sent_to_a_provider_without_an_origin_are_an_error(tmp_path, lines, sender):
    done = doctor(tmp_path, PORTS + lines, "--json")
    level, says = checks(done)["provider azure"]
    assert (done.exit_code, level) == (1, "error")
    assert says == f'has no origin, but {sender} sends calls there; set origin in [[provider]] name = "azure"'


def test_zone_and_region_together_are_refused(tmp_path):
    toml = '[[provider]]\nname = "openai"\nzone = "FRA"\nregion = "aws:eu-north-1"\n'
    (tmp_path / "joulegate.toml").write_text(toml)
    done = in_a_process(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert 'provider `openai`: zone = "FRA" and region = "aws:eu-north-1"' in done.stderr


def test_what_deserves_a_second_look_is_a_warning(tmp_path):
    toml = '[gate]\nlisten = "0.0.0.0:0"\nkeys = "required"\n[console]\nlisten = "127.0.0.1:0"\n'
    toml += '[[provider]]\nname = "azure"\ncredential = "env:AZURE"\n'
    done = doctor(tmp_path, toml, "--json", JOULEGATE_PORT="8700", AZURE=SECRET)
    found = [(each["level"], each["what"], each["says"]) for each in json.loads(done.stdout)["checks"]]
    assert done.exit_code == 0
    assert ("warning", "environment", "JOULEGATE_PORT is no setting, so it is ignored") in found
    warned = {what for level, what, _ in found if level == "warning"}
    assert warned == {"environment", "gate.keys", "provider azure"}
    assert doctor(tmp_path, toml, JOULEGATE_PORT="8700", AZURE=SECRET).stdout.endswith(", with 3 warnings.\n")


def test_a_key_in_the_file_and_in_the_ledger_is_an_error_that_names_it(tmp_path, ledger_url, engine):
    make_team(engine)
    issue(engine, id="twice")
    key = f'[[team]]\nname = "search"\n[[team.key]]\nid = "twice"\nsha256 = "{"0" * 64}"\n'
    done = doctor(tmp_path, f'{PORTS}[ledger]\nurl = "{ledger_url}"\n{key}', "--json")
    level, says = checks(done)["team.key"]
    assert (done.exit_code, level) == (1, "error")
    assert says.startswith("key id `twice` is in the configuration and was given by command or API too")


@pytest.mark.parametrize(
    ("settings", "token", "what", "level", "says"),
    [
        ("", "", "console.listen", "error", 'has no token: set token = "env:NAME"'),
        ('token = "env:TOKEN"', "", "console.token", "error", "credential = env:TOKEN, but TOKEN is not set"),
        ('token = "env:TOKEN"', "short", "console.token", "error", "has 5 characters, too few to be no guess"),
        ('token = "plain"', "", "console.token", "error", "credential is a reference"),
        ('token = "env:TOKEN"', SECRET * 3, "console.token", "ok", "1 is good: console"),
        (
            'tokens = { ada = "env:TOKEN", bob = "env:TOKEN" }',
            SECRET * 3,
            "console.token",
            "ok",
            "2 are good: ada, bob",
        ),
    ],
)
def test_a_console_off_loopback_needs_a_token(tmp_path, settings, token, what, level, says):
    toml = f'[gate]\nlisten = "127.0.0.1:0"\n[console]\nlisten = "0.0.0.0:0"\n{settings}\n'
    done = doctor(tmp_path, toml, "--json", TOKEN=token)
    assert checks(done)[what][0] == level
    assert says in checks(done)[what][1]
    assert done.exit_code == (level == "error")
    assert not token or f'"{token}"' not in done.stdout


def test_a_taken_port_and_a_folder_that_is_a_file_are_errors(tmp_path):
    (tmp_path / "journal").touch()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        variables = {"JOULEGATE_GATE_LISTEN": listen, "JOULEGATE_JOURNAL_DIRECTORY": "journal/calls"}
        done = doctor(tmp_path, PORTS, **variables)
    assert done.exit_code == 1
    assert f"{listen} cannot be opened (Address already in use);" in done.stdout
    assert f"journal/calls cannot be written ({tmp_path / 'journal'}: Not a directory)" in done.stdout
    assert done.stdout.endswith("\n2 errors: joulegate serve would not start.\n")


def test_a_grid_without_its_credential_is_an_error(tmp_path):
    done = doctor(tmp_path, PORTS + '[[grid]]\nsource = "electricity_maps"\nzones = ["FRA"]\n', "--json")
    level, says = checks(done)["estimates"]
    assert (done.exit_code, level) == (1, "error")
    assert "needs a credential" in says


def test_what_waits_in_the_journal_and_what_was_set_aside_is_said(tmp_path):
    done = doctor(tmp_path, PORTS, "--json")
    assert checks(done)["journal"] == ("ok", "holds 0 bytes in 0 segments")
    aside = tmp_path / "joulegate-journal" / "set-aside"
    aside.mkdir(parents=True)
    name = "1-0000000000000000-000001.journal"
    (aside / name).write_bytes(b"x")
    (aside.parent / name).write_bytes(b"x" * 1234)
    done = doctor(tmp_path, PORTS)
    assert "holds 1,234 bytes in 1 segments" in done.stdout
    assert (
        f"1 segments with something that could not be recorded are kept in {aside.relative_to(tmp_path)}" in done.stdout
    )
    assert done.exit_code == 0


def test_few_descriptors_are_a_warning(tmp_path):
    (tmp_path / "joulegate.toml").write_text(PORTS)
    done = in_a_process(tmp_path, "sh", "-c", 'ulimit -n 200; exec "$@"', "sh")
    assert checks(done)["files"][0] == "warning"


def test_a_service_that_runs_is_asked_how_it_is_doing(tmp_path):
    with service(tmp_path, "") as running:
        listens = {
            "JOULEGATE_GATE_LISTEN": running.gate.removeprefix("http://"),
            "JOULEGATE_CONSOLE_LISTEN": running.console.removeprefix("http://"),
        }
        done = doctor(tmp_path, "", "--json", **listens)
        found = checks(done)
    assert done.exit_code == 0
    level, says = found["gate.listen"]
    assert (level, says.startswith(f"a gate runs on {listens['JOULEGATE_GATE_LISTEN']}: ready, the ledger is")) == (
        "ok",
        True,
    )
    assert found["console.listen"] == (
        "ok",
        f"a console runs on {listens['JOULEGATE_CONSOLE_LISTEN']}, the metering is ok",
    )
