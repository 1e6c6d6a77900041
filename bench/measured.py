"""The measured rows that the estimator is fitted and scored on: workloads with the joules and seconds they took."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from estimator.workload import Workload
from estimator.workload_rows import workload_of

TABLE = Path(__file__).parents[1] / "tests" / "estimator" / "data" / "measured.csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One run: GPU joules of a mean request, replica seconds of an output token, and what it belongs to."""

    workload: Workload
    gpu_joules: float
    seconds_per_token: float
    model: str  # without version of the weights' format: what must be left out together
    family: str
    task: str


def read(path: Path = TABLE) -> list[Row]:
    """Return every row of the table."""
    with path.open(newline="", encoding="utf-8") as lines:
        rows = []
        for row in csv.DictReader(lines):
            work = workload_of(row)
            rows.append(
                Row(
                    workload=work,
                    gpu_joules=float(row["joules_per_output_token"]) * work.output_tokens,
                    seconds_per_token=1 / float(row["output_tps"]),
                    model=_architecture(work.model),
                    family=row["family"],
                    task=row["task"],
                )
            )
    return rows


def _architecture(name: str) -> str:
    """Return the name that all training and format variants of a model share."""
    short = re.sub(r"Meta-|-FP8|-Instruct|-Thinking|-2507", "", name.split("/")[-1])
    return short.replace("Llama-3.3-70B", "Llama-3.1-70B")
