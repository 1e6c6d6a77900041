import json

from typer.testing import CliRunner

from proxy.cli import app
from proxy.errors import ConfigError

run = CliRunner()


def test_show_lists_every_source_with_its_licence():
    shown = json.loads(run.invoke(app, ["facts", "show", "--json"]).output)
    licences = {row["id"]: row["licence"] for row in shown["sources"]}
    assert licences["genai-prices"] == "MIT"
    assert licences["owid"] == "CC BY 4.0"
    assert shown["facts_version"] in run.invoke(app, ["facts", "show"]).output


def test_show_of_a_model():
    shown = json.loads(run.invoke(app, ["facts", "show", "gpt-4o-2024-08-06", "--json"]).output)
    assert shown["id"] == "gpt-4o"
    assert shown["usd_per_million_tokens"]["input"] == [[0, "2.5"]]
    assert "openai" in run.invoke(app, ["facts", "show", "gpt-4o"]).output
    assert run.invoke(app, ["facts", "show", "nobody-knows"]).exit_code == 1


def test_check_finds_the_shipped_facts_sound():
    done = run.invoke(app, ["facts", "check"])
    assert done.exit_code == 0
    assert "sound" in done.output
    assert json.loads(run.invoke(app, ["facts", "check", "--json"]).output)["problems"] == []


def test_import_does_not_write_half_a_list(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = run.invoke(app, ["facts", "import"])
    assert isinstance(done.exception, ConfigError)
    assert "--litellm" in str(done.exception)


def test_import_compares_without_writing(tmp_path):
    price_map = tmp_path / "model_prices_and_context_window_backup.json"
    price_map.write_text(
        json.dumps(
            {"gpt-4o": {"litellm_provider": "openai", "input_cost_per_token": 3e-06, "output_cost_per_token": 1e-05}}
        )
    )
    done = run.invoke(app, ["facts", "import", "--no-write", "--litellm", str(tmp_path), "--json"])
    assert done.exit_code == 0
    openai = json.loads(done.output)["providers"]["openai"]
    assert openai["disagreements"] == [{"model": "gpt-4o", "bucket": "input", "genai_prices": "2.5", "litellm": "3"}]
    text = run.invoke(app, ["facts", "import", "--no-write", "--litellm", str(tmp_path)]).output
    assert "openai/gpt-4o input: genai-prices 2.5, LiteLLM 3 $/M" in text


def test_check_reads_a_price_list_of_ones_own(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text('name = "house"\n')
    assert run.invoke(app, ["facts", "check", "--prices", str(own)]).exit_code == 0
    own.write_text('nam = "house"\n')
    assert isinstance(run.invoke(app, ["facts", "check", "--prices", str(own)]).exception, ConfigError)
