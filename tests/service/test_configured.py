"""A service that was told what its operator knows: rows, reply headers, metrics and reports all stand on it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from decimal import Decimal

import openai
import pytest

from proxy.simulator import in_thread
from tests.service.running import get, service

TOML = """
[estimate]
price_list = "prices.toml"
[[provider]]
name = "house"
origin = "{origin}"
surface = "openai"
region = "aws:eu-north-1"
[[alias]]
name = "prod-chat*"
model = "gpt-4o"
[[alias]]
name = "prod-chat"
model = "llama-3.1-8b-instruct"
provider = "house"
[[route]]
match = "prod-*"
provider = "house"
[[deployment]]
provider = "house"
pue = 1.5
market_grams_per_kwh = 10
[[evidence]]
kind = "measured"
scope = "it"
source = "a meter"
provider = "house"
joules_per_output_token = 2
[[grid]]
source = "carbon_intensity_uk"
zones = ["GBR"]
"""
PRICES = """
name = "own"
currency = "CHF"
[[rate]]
usd = 1.25
date = 2026-01-01
source = "a bank"
[[price]]
provider = "house"
model = "llama-3.1-8b*"
rates = { input = 0, output = 1000 }
"""


def test_what_the_operator_knows_is_what_everything_says(tmp_path):
    (tmp_path / "prices.toml").write_text(PRICES)
    with in_thread() as origin, service(tmp_path, TOML.format(origin=origin)) as running:
        client = openai.OpenAI(base_url=f"{running.gate}/v1", api_key="k")
        reply = client.chat.completions.with_raw_response.create(
            model="prod-chat", messages=[{"role": "user", "content": "hello"}]
        )
        (row,) = running.wait_for_calls(1)
        tokens = row["output_tokens"]
        assert tokens > 0
        assert (row["tier"], row["zone"], row["grid_source"]) == ("measured", "SWE", "owid")
        assert row["it_joules"] == pytest.approx(2 * tokens)
        assert row["joules"] == pytest.approx(1.5 * 2 * tokens)
        assert row["market_grams_co2e"] == pytest.approx(row["joules"] / 3.6e6 * 10)
        assert Decimal(row["cost_usd"]) == Decimal("0.00125") * tokens
        assert row["price_id"] == "own:house/llama-3.1-8b*@listed@CHF2026-01-01"
        assert row["model_requested"] == "prod-chat"
        assert Decimal(reply.headers["x-joulegate-cost-usd"]) == Decimal(row["cost_usd"])
        assert float(reply.headers["x-joulegate-energy-joules"]) == pytest.approx(row["joules"], rel=1e-5)
        assert float(reply.headers["x-joulegate-co2e-grams"]) == pytest.approx(row["grams_co2e"], rel=1e-5)
        deadline = time.monotonic() + 10  # metrics hear of a row after it is in the ledger
        while 'model="prod-chat"' not in (metrics := get(f"{running.console}/metrics").text):
            assert time.monotonic() < deadline, metrics
            time.sleep(0.05)
        report = json.loads(
            subprocess.run(
                [sys.executable, "-m", "proxy.cli", "report", "energy", "--json"],
                cwd=tmp_path,
                capture_output=True,
                check=True,
            ).stdout
        )
        assert report["total"]["joules_high"] == pytest.approx(row["joules_high"])


def test_a_price_list_that_cannot_be_read_keeps_it_from_starting(tmp_path):
    (tmp_path / "joulegate.toml").write_text('[estimate]\nprice_list = "prices.toml"\n')
    (tmp_path / "prices.toml").write_text(PRICES.replace("usd = 1.25", "usd = 0"))
    started = subprocess.run(
        [sys.executable, "-m", "proxy.cli", "serve", "--port", "0", "--console-port", "0", "--for", "1"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert started.returncode == 2
    assert "prices.toml: rate 1" in started.stderr
