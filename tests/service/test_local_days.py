"""A service whose ledger has a time zone of its own: sums, reports and the doctor go by it."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import openai

from proxy.simulator import in_thread
from tests.service.running import Service, service

KATHMANDU = ZoneInfo("Asia/Kathmandu")


def configured(origin: str, tz: str) -> str:
    return f'[ledger]\ntz = "{tz}"\n[[provider]]\nname = "openai"\norigin = "{origin}"\n'


def told(running: Service, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "proxy.cli", *words]
    return subprocess.run(command, cwd=running.folder, capture_output=True, text=True, check=False, timeout=60)


def call(running: Service) -> None:
    client = openai.OpenAI(base_url=f"{running.gate}/v1", api_key="sk")
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "hi"}], user="u")


def test_a_service_keeps_the_days_of_its_time_zone_from_the_first_call_on(tmp_path):
    with in_thread() as origin:
        with service(tmp_path, configured(origin, "Asia/Kathmandu")) as running:
            call(running)
            (row,) = running.wait_for_calls(1)
            sums = running.calls("SELECT calls, quarter FROM details_by_local_day")
            begun = datetime.fromisoformat(row["started_at"]).replace(tzinfo=UTC).astimezone(KATHMANDU)
            midnight = begun.replace(hour=0, minute=0, second=0, microsecond=0)
            assert [tuple(each) for each in sums] == [(1, int(midnight.timestamp()) // 900)]
            words = ("report", "cost", "--by", "day,user", "--json", "--from", f"{begun:%Y-%m-%d}")
            made = json.loads(told(running, *words).stdout)
            assert made["tz"] == "Asia/Kathmandu"
            assert [each["day"] for each in made["rows"]] == [f"{begun:%Y-%m-%d}"]
            assert json.loads(told(running, *words, "--tz", "UTC").stdout)["tz"] == "UTC"
            said = told(running, "doctor").stdout
            assert "sums are kept by days of Asia/Kathmandu too, of all calls" in said
        with service(tmp_path, configured(origin, "Europe/Berlin")) as running:  # it moves
            call(running)
            running.wait_for_calls(2)
            assert "sums are kept by days of Europe/Berlin too, of calls from" in running.output.decode()
            said = told(running, "doctor").stdout
            assert "sums are kept by days of Europe/Berlin too, of calls from" in said
            sums = running.calls("SELECT sum(calls) FROM details_by_local_day")
            assert [tuple(each) for each in sums] == [(2,)]  # until then days are those of before
        (tmp_path / "joulegate.toml").write_text(configured(origin, "UTC"))
        said = told(running, "doctor").stdout
        assert "is UTC, and the ledger keeps days of Europe/Berlin: all machines should say the same" in said
