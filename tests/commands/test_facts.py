import json
import re

import pytest

from estimator.models import known_models
from proxy.errors import ConfigError
from tests.commands.typed import typed


def test_show_lists_every_source_with_its_licence():
    shown = json.loads(typed("facts", "show", "--json").output)
    licences = {row["id"]: row["licence"] for row in shown["sources"]}
    assert licences["genai-prices"] == "MIT"
    assert licences["owid"] == "CC BY 4.0"
    assert shown["facts_version"] in typed("facts", "show").output


def test_show_of_a_model():
    shown = json.loads(typed("facts", "show", "gpt-4o-2024-08-06", "--json").output)
    assert shown["id"] == "gpt-4o"
    assert shown["usd_per_million_tokens"]["input"] == [[0, "2.5"]]
    assert shown["usd_per_unit"]["web_searches"] == "0.01"


def lines(*arguments: str) -> dict[str, str]:
    """What is shown of a model, by its label."""
    done = typed("facts", "show", *arguments)
    assert done.exit_code == 0
    return dict(re.split(r"  +", line.strip(), maxsplit=1) for line in done.stdout.splitlines()[1:])


def test_a_person_reads_units_sources_and_dates():
    shown = lines("gpt-4o-2024-08-06")
    assert shown["parameters"] == "440 billion"
    assert shown["active per token"] == "44 to 132 billion"
    assert (shown["precision"], shown["shape"]) == ("not public", "not public")
    assert (shown["input"], shown["cached input"]) == ("$2.50 per million tokens", "$1.25 per million tokens")
    assert shown["web searches"] == "$0.01 each"
    for source in ("source", "price source"):
        assert re.search(r", checked \d{4}-\d\d-\d\d, https://", shown[source])
    longer = "$1.25 per million tokens; $2.50 where the input is over 200,000"
    assert lines("gemini-2.5-pro")["input"] == longer
    assert "from 20" in lines("o3")["list price"]


def test_what_is_not_known_of_a_model_is_said():
    shown = lines("llama-3.1-8b-instruct")
    assert shown["parameters"] == "8.03 billion"
    assert shown["shape"].startswith("32 layers, 32 heads of 128, 8 of them with keys and values (")
    assert shown["list price"] == "none known at meta"
    assert lines("omni-moderation-latest")["parameters"] == "not public"


@pytest.mark.parametrize("card", sorted(known_models()))
def test_no_card_is_shown_as_python_writes_it(card):
    shown = typed("facts", "show", card).stdout
    assert not re.search(r"None|True|False|Decimal|[(\[{]['\"\d]|e\+\d", shown), shown


def test_an_unknown_model_names_its_nearest():
    done = typed("facts", "show", "openai/gpt-4oo")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "'openai/gpt-4oo' is no model that is known" in done.stderr
    assert "nearest: gpt-4o" in done.stderr
    assert "docs/how-to/add-a-model.md" in done.stderr


def test_check_finds_the_shipped_facts_sound():
    done = typed("facts", "check")
    assert done.exit_code == 0
    assert "sound" in done.output
    assert json.loads(typed("facts", "check", "--json").output)["problems"] == []


def test_import_does_not_write_half_a_list(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = typed("facts", "import")
    assert isinstance(done.exception, ConfigError)
    assert "--litellm" in str(done.exception)


def test_import_compares_without_writing(tmp_path):
    price_map = tmp_path / "model_prices_and_context_window_backup.json"
    price_map.write_text(
        json.dumps(
            {"gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 3e-06, "output_cost_per_token": 1e-05}}
        )
    )
    done = typed("facts", "import", "--no-write", "--litellm", str(tmp_path), "--json")
    assert done.exit_code == 0
    openai = json.loads(done.output)["providers"]["openai"]
    assert openai["disagreements"] == [{"model": "gpt-4o", "bucket": "input", "genai_prices": "2.5", "litellm": "3"}]
    text = typed("facts", "import", "--no-write", "--litellm", str(tmp_path)).output
    assert "openai/gpt-4o input: genai-prices 2.5, LiteLLM 3 $/M" in text


def test_check_reads_a_price_list_of_ones_own(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('name = "house"\n')
    assert typed("facts", "check", "--prices", str(own)).exit_code == 0
    own.write_text('nam = "house"\n')
    assert isinstance(typed("facts", "check", "--prices", str(own)).exception, ConfigError)
