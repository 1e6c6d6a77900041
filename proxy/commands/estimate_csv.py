"""A table of workloads, a deployment a row: estimated columns are added, the rest stays as it is."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from estimator.errors import EstimatorError
from estimator.workload import Workload, estimate_workload
from proxy.errors import ConfigError

ADDED: Final = (
    "gpu_joules_low",
    "gpu_joules",
    "gpu_joules_high",
    "facility_joules_low",
    "facility_joules",
    "facility_joules_high",
    "grams_co2e_low",
    "grams_co2e",
    "grams_co2e_high",
    "tier",
)


def estimate_table(source: Path, target: Path | None, zone: str | None) -> None:
    """Read workloads, write them with their estimates, per request.

    Raises:
        ConfigError: the file is not there, or a row lacks a fact; the message names line and column.

    """
    try:
        with source.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines)
            columns = [name for name in reader.fieldnames or () if name not in ADDED]
            rows = list(_estimated(reader, zone))
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}") from error
    with target.open("w", newline="", encoding="utf-8") if target is not None else nullcontext(sys.stdout) as out:
        writer = csv.DictWriter(out, [*columns, *ADDED], extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _estimated(rows: Iterable[dict[str, Any]], zone: str | None) -> Iterator[dict[str, Any]]:
    for number, row in enumerate(rows, start=2):
        try:
            made = estimate_workload(_workload(row), zone=zone)
        except (KeyError, ValueError) as error:
            what = f"column {error}" if isinstance(error, KeyError) else str(error)
            raise ConfigError(f"line {number}: {what}") from error
        except EstimatorError as error:
            raise ConfigError(f"line {number}: {error}") from error
        for name, value in (
            ("gpu_joules", made.gpu_joules),
            ("facility_joules", made.joules),
            ("grams_co2e", made.grams_co2e),
        ):
            row[f"{name}_low"], row[name], row[f"{name}_high"] = value.low, value.mid, value.high
        row["tier"] = made.tier
        yield row


def _workload(row: dict[str, Any]) -> Workload:
    def number(name: str, default: float | None = None) -> float:
        text = row[name] if default is None else row.get(name)
        if text in (None, ""):
            if default is None:
                raise ValueError(f"column {name} is empty")
            return default
        return float(text)

    source = str(row.get("source", "")).lower()
    old = any(name in source for name in ("vllm 0.4", "vllm 0.5", "leaderboard-v2"))
    return Workload(
        model=row.get("model") or "",
        kind=row.get("kind") or ("moe" if number("n_experts", 0) else "dense"),
        total_params=number("total_params_b") * 1e9,
        active_params=number("active_params_b") * 1e9,
        layers=int(number("layers")),
        heads=int(number("n_heads")),
        kv_heads=int(number("n_kv_heads")),
        head_dim=int(number("head_dim")),
        experts=int(number("n_experts", 0)),
        experts_active=int(number("topk", 0)),
        full_layers=int(number("full_attn_layers", number("layers"))),
        window_layers=int(number("swa_layers", 0)),
        window=int(number("swa_window", 0)),
        kv_elements=int(number("kv_elems_per_layer", 2 * number("n_kv_heads") * number("head_dim"))),
        state_bytes=number("state_bytes_per_seq", 0),
        precision=row["precision"],
        gpu=row["gpu"],
        n_gpus=int(number("n_gpus")),
        tensor_parallel=int(number("tp", 0)) or None,
        batch=number("batch_or_concurrency"),
        input_tokens=number("avg_input_tokens"),
        cached_tokens=number("avg_cached_tokens", 0),
        output_tokens=number("avg_output_tokens"),
        output_cv2=number("out_len_cv2", 0),
        stack="vllm-2024" if old else "current",
    )
