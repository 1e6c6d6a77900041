"""A configuration that says all that the calculator takes from one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from proxy.calculator.own import Own
from proxy.config import load
from proxy.sections import Config

AT = datetime(2026, 11, 23, 8, 30, tzinfo=UTC)

PRICES = """
name = "acme-2026"
currency = "EUR"

[[rate]]
usd = 1.082317
date = 2026-07-01
source = "a central bank"

[[rate]]
usd = 2.0
date = 2026-12-01
source = "a later day"

[[price]]
provider = "house"
model = "House-Model"
rates = { input = 0.123456789, output = [[0, 1.5], [1000, 2.25]] }
units = { requests = 0.0001 }

[[price]]
provider = "openai"
model = "gpt-4o*"
until = 2026-11-30
rates = { input = 2, cached_input = 1, output = 8.5 }

[[price]]
provider = "openai"
model = "gpt-4o*"
from = 2026-12-01
rates = { input = 20, output = 85 }

[[price]]
provider = "vllm"
model = "llama-*"
rates = { input = 0.05, output = 0.07 }

[[price]]
provider = "house"
model = "llama-3.3*"
rates = { input = 0.4, output = 0.6 }

[[discount]]
provider = "anthropic"
model = "*"
share_off = 0.15

[priced_as]
gateway = "openai"
"""

CONFIG = """
[estimate]
price_list = "PRICES"
zone = "FRA"

[[provider]]
name = "house"
origin = "http://127.0.0.1:9000"
surface = "openai"
zone = "SWE"

[[provider]]
name = "gateway"
origin = "http://127.0.0.1:9001"
surface = "openai"

[[alias]]
name = "Chat-Prod"
model = "gpt-4o-2024-08-06"

[[alias]]
name = "chat-prod"
provider = "house"
model = "llama-3.3-70b-instruct"

[[alias]]
name = "gpt-4o-mini"
provider = "gateway"
model = "claude-opus-4"

[[alias]]
name = "left-behind"
model = "nobody-knows-this"

[[deployment]]
provider = "house"
model = "llama-3.3*"
gpu = "h100"
n_gpus = 4
precision = "fp8-e4m3"
batch = 48
tensor_parallel = 2
kv_bytes = 1.0
host_share = 0.25
reserve = 1.3
pue = 1.07
market_grams_per_kwh = 12.5

[[deployment]]
provider = "h*"
gpu = "A100-SXM-80GB"
kv_bytes = 1.0
tensor_parallel = 1

[[deployment]]
model = "chat-*"
batch = 5.5
host_share = 0.0

[[deployment]]
provider = "anthropic"
model = "claude-opus*"
n_gpus = 8
reserve = 1.0
kv_bytes = 1.0
market_grams_per_kwh = 0.0
"""


# Meters and a provider's statement, for some models, some sellers, and some that nobody knows.
METERS = """
[[evidence]]
kind = "measured"
scope = "it"
source = "the rack's plug, October"
provider = "house"
model = "llama-3.3*"
joules_per_call = 1.5
joules_per_input_token = 0.02
joules_per_cached_input_token = 0.001
joules_per_output_token = 0.9
band = [0.9, 1.15]

[[evidence]]
kind = "measured"
scope = "gpu"
source = "NVML <b>of ours</b>"
provider = "[gv]*"
model = "*"
joules_per_output_token = 0.4

[[evidence]]
kind = "disclosed"
scope = "facility"
source = "a provider's report"
provider = "anthropic"
model = "claude-[!s]*"
joules_per_input_token = 0.01
joules_per_output_token = 1.1

[[evidence]]
kind = "disclosed"
scope = "it"
source = "a maker's page"
provider = "*"
model = "[a-f]?*-v[0-9]*"
joules_per_call = 900

[[evidence]]
kind = "measured"
scope = "facility"
source = "the whole hall"
provider = "vllm"
model = "nobody-[z-a]*"
joules_per_call = 1
"""


def configuration(folder: Path, *, meters: bool = False) -> Config:
    """Write and read it; with ``meters`` it states joules, and has the widest prior for models that nobody knows."""
    prices, config = folder / "prices.toml", folder / "joulegate.toml"
    prices.write_text(PRICES)
    text = CONFIG.replace("PRICES", str(prices))
    if meters:
        text = text.replace("[estimate]\n", '[estimate]\nunknown = "widest"\n') + METERS
    config.write_text(text)
    return load(config, environment={}).config


def own(folder: Path, *, meters: bool = False) -> Own:
    """Give it as the calculator takes it."""
    found = Own.of(configuration(folder, meters=meters), AT)
    assert found is not None
    return found
