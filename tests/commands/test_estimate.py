import csv
import io
import json
from decimal import Decimal
from pathlib import Path

import pytest

from proxy.errors import ConfigError
from tests.commands.typed import typed


def test_a_table_with_bands_tier_and_sources():
    done = typed("estimate", "gpt-4o", "--in", "2000", "--out", "1000")
    assert done.exit_code == 0
    for word in ("closed_model", "facility energy", "Wh", "$0.015", "ecologits-0.11.3", "assumed", " phone charges, "):
        assert word in done.output


def test_json_keeps_every_digit_of_the_dollars():
    done = typed("estimate", "gpt-4o", "--in", "2000", "--cached", "1800", "--out", "1000", "--json")
    made = json.loads(done.output)
    assert done.exit_code == 0
    assert float(made["cost_usd"]) == 0.01275
    assert made["tier"] == "closed_model"
    assert made["joules"]["low"] < made["joules"]["mid"] < made["joules"]["high"]


def test_the_worked_example_of_the_methodology():
    done = typed(
        "estimate",
        *("llama-3.1-8b-instruct", "--gpu", "H100", "--n-gpus", "1", "--batch", "64", "--pue", "1.2", "--zone", "FRA"),
        *("--fit", "study", "--explain"),
    )
    assert done.exit_code == 0
    for figure in ("188.1 J", "292.8 J", "351.4 J", "97.61 mWh", "41.44 g/kWh", "50.54 TFLOP"):
        assert figure in done.output


def test_the_audit_method():
    made = json.loads(typed("estimate", "claude-opus-4", "--method", "audit", "--json").output)
    assert made["joules"]["mid"] == pytest.approx(378)
    assert made["grams_co2e"]["mid"] == pytest.approx(0.04578)


def test_an_unknown_model_is_the_answer_no_and_names_its_nearest():
    done = typed("estimate", "opnai/claude-sonet-4")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "'opnai/claude-sonet-4' is no model that is known here" in done.stderr
    assert "nearest: claude-sonnet-4," in done.stderr
    assert "docs/how-to/add-a-model.md" in done.stderr
    made = typed("estimate", "opnai/claude-sonet-4", "--json")
    assert made.exit_code == 1
    figures = json.loads(made.stdout)
    assert all(figures[name] is None for name in ("flops", "joules", "grams_co2e", "liters", "cost_usd"))
    assert "nearest" not in typed("estimate", "qqqqqq").stderr


def test_a_known_model_of_unknown_size_and_price_is_the_answer_no():
    done = typed("estimate", "omni-moderation-latest")
    assert done.exit_code == 1
    assert "no public figure for the size of omni-moderation-latest" in done.stdout
    assert "(page)" not in done.stdout
    assert "sources" not in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("gpt-4o", "--zone", "XXX"),
        ("llama-3.1-8b", "--gpu", "abacus"),
        ("--csv", "nowhere.csv"),
        ("gpt-4o", "--pue", "0.5"),
        ("gpt-4o", "--in", "10", "--cached", "20"),
    ],
)
def test_what_cannot_be_asked_is_an_error_that_says_why(arguments):
    done = typed("estimate", *arguments)
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
    assert typed("estimate", "--csv", str(source), "--out-csv", str(target), "--fit", "study").exit_code == 0
    with target.open(newline="") as lines:
        now, then = csv.DictReader(lines)
    assert float(now["gpu_joules"]) == pytest.approx(188.063426, rel=1e-6)
    assert float(now["facility_joules"]) == pytest.approx(351.387955, rel=1e-6)
    assert float(now["gpu_joules_low"]) < float(now["gpu_joules"]) < float(now["gpu_joules_high"])
    assert (now["tier"], now["a_column_of_mine"]) == ("deployment", "kept")
    assert float(then["gpu_joules"]) > float(now["gpu_joules"])
    assert typed("estimate", "--csv", str(source), "--fit", "study").output == target.read_text()
    assert typed("estimate", "--csv", str(source)).output != target.read_text()


MEASURED = Path(__file__).parents[1] / "estimator" / "data" / "measured.csv"


def estimated(path, *options):
    done = typed("estimate", "--csv", str(path), *options)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return list(csv.DictReader(io.StringIO(done.stdout))), done


def test_every_measured_row_gets_an_estimate():
    rows, done = estimated(MEASURED)
    assert done.exit_code == 0
    assert len(rows) == 464
    for row in rows:
        assert row["error"] == ""
        assert row["tier"] == "deployment"
        assert 0 < float(row["gpu_joules_low"]) < float(row["gpu_joules"]) < float(row["gpu_joules_high"])


@pytest.mark.parametrize(
    "change",
    [
        {"total_params_b": ""},
        {"avg_output_tokens": ""},
        {"layers": "many"},
        {"gpu": "abacus"},
        {"n_gpus": "many"},
        {"n_gpus": "1e400"},
        {"batch_or_concurrency": "0"},
        {"batch_or_concurrency": "inf"},
        {"avg_output_tokens": "-5"},
        {"avg_input_tokens": "1e300"},
        {"total_params_b": "-8"},
        {"active_params_b": "80"},
        {"precision": "int3"},
        {"n_kv_heads": "0"},
    ],
    ids=str,
)
def test_a_bad_row_keeps_its_place_and_says_why(change, tmp_path):
    rows, done = estimated(table(tmp_path / "in.csv", ROW, {**ROW, **change}, ROW))
    assert done.exit_code == 0
    assert "1 of 3 rows" in done.stderr
    assert [bool(row["error"]) for row in rows] == [False, True, False]
    assert rows[1]["gpu_joules"] == ""
    assert rows[1]["tier"] == "unknown"
    assert rows[0] == rows[2]


def test_a_table_of_bad_rows_is_the_answer_no(tmp_path):
    rows, done = estimated(table(tmp_path / "in.csv", {**ROW, "gpu": "abacus"}))
    assert done.exit_code == 1
    assert "abacus" in rows[0]["error"]


def test_optional_columns_may_be_absent(tmp_path):
    needed = {
        name: ROW[name]
        for name in ROW
        if name
        in {
            *("total_params_b", "layers", "n_heads", "head_dim", "gpu", "n_gpus"),
            *("batch_or_concurrency", "avg_input_tokens", "avg_output_tokens"),
        }
    }
    path = tmp_path / "in.csv"
    path.write_text(",".join(needed) + "\n" + ",".join(needed.values()) + ",more,than,columns\n")
    rows, done = estimated(path)
    assert done.exit_code == 0
    assert rows[0]["error"] == ""


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("H100", "H100-SXM-80GB"),
        ("NVIDIA H100 80GB HBM3", "H100-SXM-80GB"),
        ("h100-sxm5-80gb", "H100-SXM-80GB"),
        ("A100-80GB", "A100-SXM-80GB"),
        ("NVIDIA A100-SXM4-40GB", "A100-SXM-40GB"),
        ("B200", "B200-SXM-180GB"),
        ("AMD Instinct MI300X", "MI300X-192GB"),
        ("MI300X-SXM-192GB", "MI300X"),
    ],
)
def test_accelerators_go_by_many_names(name, same, tmp_path):
    rows, _ = estimated(table(tmp_path / "in.csv", {**ROW, "gpu": name}, {**ROW, "gpu": same}))
    assert rows[0]["error"] == ""
    assert rows[0]["gpu_joules"] == rows[1]["gpu_joules"]


def test_groups_of_data_parallel_devices_work_alike(tmp_path):
    two = {**ROW, "n_gpus": "2", "dp": "2", "ep": "1"}
    path = tmp_path / "in.csv"
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, two)
        writer.writeheader()
        writer.writerows([ROW, two])
    rows, _ = estimated(path)
    assert rows[0]["gpu_joules"] == rows[1]["gpu_joules"]


@pytest.mark.parametrize("content", ["", "\n\n", "a,b\n1,2\n", "\x00\x01,\xff\n\x02"])
def test_what_is_no_table_does_not_crash(content, tmp_path):
    path = tmp_path / "in.csv"
    path.write_bytes(content.encode("latin-1"))
    done = typed("estimate", "--csv", str(path))
    assert isinstance(done.exception, ConfigError | SystemExit)


def test_a_table_without_rows_says_so(tmp_path):
    path = tmp_path / "in.csv"
    path.write_text(",".join(ROW) + "\n")
    with pytest.raises(ConfigError, match="no row below the header line"):
        raise typed("estimate", "--csv", str(path)).exception


def test_json_has_the_parts_of_the_network():
    parts = json.loads(typed("estimate", "llama-3.1-8b", "--json").output)["flops_parts"]
    assert [part["name"] for part in parts][:3] == ["embedding", "QKV projections", "attention"]
    assert sum(part["share"] for part in parts) == pytest.approx(1)


def test_speculation_meter_and_widest_prior_are_options():
    machine = ("llama-3.1-8b", "--gpu", "H100", "--n-gpus", "1", "--batch", "1", "--json")
    plain, drafted = (json.loads(typed("estimate", *machine, *more).output) for more in ((), ("--draft-tokens", "4")))
    assert drafted["gpu_joules"]["mid"] < plain["gpu_joules"]["mid"]
    metered = json.loads(typed("estimate", "llama-3.1-8b", "--measured-joules", "200", "--json").output)
    assert (metered["tier"], metered["gpu_joules"]["mid"]) == ("measured", 200)
    done = typed("estimate", "nobody-knows", "--widest", "--json")
    assert done.exit_code == 0
    assert json.loads(done.output)["tier"] == "unknown"
    assert json.loads(done.output)["joules"]["mid"] > 0


def test_prices_of_ones_own_and_a_providers_list(tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(
        'name = "house"\n[[price]]\nprovider = "vllm"\nmodel = "*"\nrates = { input = 1, output = 2.5 }\n',
        encoding="utf-8",
    )
    call = ["estimate", "llama-3.1-8b-instruct", "--provider", "vllm", "--json", "--prices"]
    assert Decimal(json.loads(typed(*call, str(own)).output)["cost_usd"]) == Decimal("0.0045")
    assert json.loads(typed(*call, "ovhcloud").output)["price_id"].startswith("ovhcloud/")
    assert isinstance(typed(*call, str(tmp_path / "none.toml")).exception, ConfigError)
    shown = json.loads(typed("estimate", "gpt-5.4", "--region", "eu", "--json").output)
    assert (Decimal(shown["cost_usd"]), shown["grid_source"]) == (Decimal("0.022"), "owid")
    assert shown["like"]["phone_charge"]["mid"] == pytest.approx(shown["joules"]["mid"] / 43200)


def test_a_share_of_the_training_is_optional_and_stated():
    plain = json.loads(typed("estimate", "mistral-large-instruct-2407", "--json").output)
    assert "training_grams_co2e" not in plain
    asked = ["estimate", "mistral-large-instruct-2407", "--lifetime-tokens", "1e12"]
    made = json.loads(typed(*asked, "--json").output)
    assert made["training_grams_co2e"] == pytest.approx(20_400e6 * 3_000 / 1e12)
    assert made["grams_co2e"] == plain["grams_co2e"]
    assert "mistral-lca-2025" in made["training_basis"]
    said = typed(*asked).output.splitlines()[-1]
    assert said.startswith("training: 61.2 g, not in the figures: 20400 t (mistral-lca-2025, 2025: life cycle")


@pytest.mark.parametrize(
    ("model", "why"),
    [("gpt-4o", "nobody states what the training of gpt-4o took"), ("deepseek-v3.1", "no CO2e is stated")],
)
def test_a_training_nobody_states_is_unknown(model, why):
    made = json.loads(typed("estimate", model, "--lifetime-tokens", "1e12", "--json").output)
    assert made["training_grams_co2e"] is None
    assert why in made["training_basis"]


def test_a_lifetime_shorter_than_the_call_is_refused():
    done = typed("estimate", "mistral-large-instruct-2407", "--lifetime-tokens", "100")
    assert isinstance(done.exception, ConfigError)
