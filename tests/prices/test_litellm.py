import json
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from proxy.prices.litellm import FILE, find_map, litellm_listings

MAP = {
    "sample_spec": {"litellm_provider": "one of https://docs", "input_cost_per_token": 0.0},
    "gpt-9": {
        "litellm_provider": "openai",
        "input_cost_per_token": 1.25e-06,
        "input_cost_per_token_above_272k_tokens": 2.5e-06,
        "input_cost_per_token_batches": 6.25e-07,
        "input_cost_per_token_above_272k_tokens_batches": 1.25e-06,
        "output_cost_per_token": 1e-05,
        "output_cost_per_token_flex": 5e-06,
        "cache_read_input_token_cost": 1.25e-07,
        "regional_processing_uplift_multiplier_eu": 1.1,
    },
    "claude-9": {
        "litellm_provider": "anthropic",
        "input_cost_per_token": 5e-06,
        "provider_specific_entry": {"us": 1.1},
    },
    "whisper-9": {"litellm_provider": "openai", "input_cost_per_second": 0.0001},
    "noise-9": {"litellm_provider": "groq", "input_cost_per_token": 2.0000000000000002e-07},
    "minute-9": {"litellm_provider": "groq", "input_cost_per_second": 0.00133333333},
    "free-9": {"litellm_provider": "openai", "input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
    "azure/eu/gpt-9": {"litellm_provider": "azure", "input_cost_per_token": 1e-06},
    "azure/hd/1024-x-1792/dall-e-9": {"litellm_provider": "azure", "input_cost_per_token": 1e-06},
    "bedrock/us-gov-west-1/claude-9": {"litellm_provider": "bedrock", "input_cost_per_token": 1.2e-06},
    "bedrock/us-east-1/1-month-commitment/claude-9": {"litellm_provider": "bedrock", "input_cost_per_token": 1e-06},
    "xai/grok-9": {"litellm_provider": "xai", "input_cost_per_token": 3e-06, "output_cost_per_token": 1.5e-05},
    "dashscope/qwen-9": {
        "litellm_provider": "dashscope",
        "tiered_pricing": [
            {"range": [256000.0, 1e6], "input_cost_per_token": 1.2e-06, "output_cost_per_token": 3.6e-06},
            {
                "range": [0, 256000.0],
                "input_cost_per_token": 4e-07,
                "output_cost_per_token": 1.2e-06,
                "cache_read_input_token_cost": 8e-08,
            },
        ],
    },
    "nobody/x": {"litellm_provider": "nobody", "input_cost_per_token": 1.0},
}


@pytest.fixture
def price_map(tmp_path: Path) -> Path:
    path = tmp_path / FILE
    path.write_text(json.dumps(MAP), encoding="utf-8")
    return path


def test_the_map_is_read_exactly(price_map):
    lists = litellm_listings(price_map)
    assert set(lists) == {"openai", "xai", "anthropic", "azure", "bedrock", "groq", "alibaba"}
    assert lists["alibaba"][0].prices == [
        {
            "rates": {
                "input": [[0, "0.4"], [256000, "1.2"]],
                "cached_input": [[0, "0.08"]],
                "output": [[0, "1.2"], [256000, "3.6"]],
            }
        }
    ]
    nine, whisper = lists["openai"]
    assert (nine.id, nine.match) == ("gpt-9", ["=gpt-9"])
    assert nine.prices == [
        {"rates": {"input": [[0, "1.25"], [272000, "2.5"]], "cached_input": "0.125", "output": "10"}}
    ]
    assert nine.tiers == {
        "batch": [{"rates": {"input": [[0, "0.625"], [272000, "1.25"]]}}],
        "flex": [{"rates": {"output": "5"}}],
    }
    assert nine.regions == {"eu": "1.1"}
    assert lists["anthropic"][0].regions == {"us": "1.1"}
    assert [listing.id for listing in lists["azure"]] == ["eu/gpt-9"]
    assert [listing.id for listing in lists["bedrock"]] == ["us-gov-west-1/claude-9"]
    assert whisper.prices == [{"rates": {}, "units": {"audio_hours": "0.36"}}]
    assert [listing.id for listing in lists["xai"]] == ["grok-9"]


def test_binary_fractions_of_the_map_are_no_prices(price_map):
    noise, minute = litellm_listings(price_map)["groq"]
    assert noise.prices == [{"rates": {"input": "0.2"}}]
    assert minute.prices == [{"rates": {}, "units": {"audio_hours": "4.8"}}]


def test_the_map_is_found_by_path(price_map, tmp_path):
    assert find_map(price_map) == price_map
    assert find_map(tmp_path) == price_map
    with pytest.raises(ConfigError, match="wheel"):
        find_map(tmp_path / "nowhere")
