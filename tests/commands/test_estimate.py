import csv
import json

import pytest
from typer.testing import CliRunner

from proxy.cli import app
from proxy.errors import ConfigError

run = CliRunner()


def invoke(*arguments):
    return run.invoke(app, ["estimate", *arguments])


def test_a_table_with_bands_tier_and_sources():
    done = invoke("gpt-4o", "--in", "2000", "--out", "1000")
    assert done.exit_code == 0
    for word in ("closed_model", "facility energy", "Wh", "$0.015", "ecologits-0.11.3", "assumed"):
        assert word in done.output


def test_json_keeps_every_digit_of_the_dollars():
    done = invoke("gpt-4o", "--in", "2000", "--cached", "1800", "--out", "1000", "--json")
    made = json.loads(done.output)
    assert done.exit_code == 0
    assert float(made["cost_usd"]) == 0.01275
    assert made["tier"] == "closed_model"
    assert made["joules"]["low"] < made["joules"]["mid"] < made["joules"]["high"]


def test_the_worked_example_of_the_methodology():
    done = invoke(
        *("llama-3.1-8b-instruct", "--gpu", "H100", "--n-gpus", "1", "--batch", "64", "--pue", "1.2", "--zone", "FRA"),
        "--explain",
    )
    assert done.exit_code == 0
    for figure in ("188.1 J", "292.8 J", "351.4 J", "97.61 mWh", "41.44 g/kWh", "50.54 TFLOP"):
        assert figure in done.output


def test_the_audit_method():
    made = json.loads(invoke("claude-opus-4", "--method", "audit", "--json").output)
    assert made["joules"]["mid"] == pytest.approx(378)
    assert made["grams_co2e"]["mid"] == pytest.approx(0.04578)


def test_nothing_known_is_the_answer_no():
    done = invoke("nobody-knows")
    assert done.exit_code == 1
    assert "estimator/data/models" in done.output.replace("\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("gpt-4o", "--zone", "XXX"),
        ("llama-3.1-8b", "--gpu", "abacus"),
        ("--csv", "nowhere.csv"),
        ("gpt-4o", "--pue", "0.5"),
    ],
)
def test_what_cannot_be_asked_is_an_error_that_says_why(arguments):
    done = invoke(*arguments)
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception)


ROW = {
    "source": "ml.energy-leaderboard-v3.0 (vLLM 0.11.1)",
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "kind": "dense",
    "total_params_b": "8.03",
    "active_params_b": "8.03",
    "layers": "32",
    "n_heads": "32",
    "n_kv_heads": "8",
    "head_dim": "128",
    "n_experts": "0",
    "topk": "0",
    "full_attn_layers": "32",
    "swa_layers": "0",
    "swa_window": "0",
    "kv_elems_per_layer": "2048",
    "state_bytes_per_seq": "0",
    "precision": "bfloat16",
    "gpu": "H100-SXM-80GB",
    "n_gpus": "1",
    "tp": "1",
    "batch_or_concurrency": "64",
    "avg_input_tokens": "2000",
    "avg_output_tokens": "1000",
    "out_len_cv2": "0",
    "a_column_of_mine": "kept",
}


def table(path, *rows):
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, ROW)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_a_table_of_workloads(tmp_path):
    old = {**ROW, "source": "ml.energy-leaderboard-v2.x (vLLM 0.4-0.5)"}
    source, target = table(tmp_path / "in.csv", ROW, old), tmp_path / "out.csv"
    assert invoke("--csv", str(source), "--out-csv", str(target)).exit_code == 0
    with target.open(newline="") as lines:
        now, then = csv.DictReader(lines)
    assert float(now["gpu_joules"]) == pytest.approx(188.063426, rel=1e-6)
    assert float(now["facility_joules"]) == pytest.approx(351.387955, rel=1e-6)
    assert float(now["gpu_joules_low"]) < float(now["gpu_joules"]) < float(now["gpu_joules_high"])
    assert (now["tier"], now["a_column_of_mine"]) == ("deployment", "kept")
    assert float(then["gpu_joules"]) > float(now["gpu_joules"])
    assert invoke("--csv", str(source)).output == target.read_text()


@pytest.mark.parametrize(
    ("change", "what"), [({"layers": ""}, "layers"), ({"gpu": "abacus"}, "abacus"), ({"n_gpus": "many"}, "many")]
)
def test_a_row_that_lacks_a_fact_is_named(change, what, tmp_path):
    done = invoke("--csv", str(table(tmp_path / "in.csv", ROW, {**ROW, **change})))
    assert isinstance(done.exception, ConfigError)
    assert "line 3" in str(done.exception)
    assert what in str(done.exception)
