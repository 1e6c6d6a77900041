"""How far the estimator is from watt meters; run ``python -m bench.validation [--csv FILE] [--fit study] [--json]``.

A table has the columns of ``tests/estimator/data/measured.csv``. The constants were fitted on that table, so
its score is of rows the fit has seen; ``python -m bench.fit_energy --cross`` scores rows it has not.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

from bench.measured import TABLE, Row, read
from estimator.ranges import Range
from estimator.workload import estimate_workload

Scored = tuple[Row, Range]


def score(scored: list[Scored]) -> dict[str, float]:
    """Return rows, median error, bias, share within a factor of two, and coverage of the 90 % band."""
    logs = [math.log(made.mid / row.gpu_joules) for row, made in scored]
    size = sorted(abs(math.expm1(value)) for value in logs)
    middle = len(size) // 2
    return {
        "rows": len(logs),
        "median_error": size[middle] if len(size) % 2 else (size[middle - 1] + size[middle]) / 2,
        "bias": math.exp(sum(logs) / len(logs)),
        "within_2x": sum(abs(value) < math.log(2) for value in logs) / len(logs),
        "coverage": sum(row.gpu_joules in made for row, made in scored) / len(logs),
    }


def batch_class(row: Row) -> str:
    """Name the range of batches a row is in."""
    for limit in (16.5, 64, 256):
        if row.workload.batch <= limit:
            return f"batch ≤ {limit:.0f}"
    return "batch > 256"


SLICES: dict[str, Callable[[Row], str]] = {
    "all": lambda row: "all rows",
    "gpu": lambda row: row.workload.gpu,
    "batch": batch_class,
    "precision": lambda row: row.workload.precision,
    "experts": lambda row: "experts" if row.workload.experts else "dense",
    "stack": lambda row: row.workload.stack,
    "task": lambda row: row.task,
    "family": lambda row: row.family,
    "model": lambda row: row.model,
}


def by_slices(scored: list[Scored]) -> dict[str, dict[str, float]]:
    """Return the score of every slice, as ``gpu: H100-SXM-80GB``."""
    table = {}
    for name, of in SLICES.items():
        for value in sorted({of(row) for row, _ in scored}):
            table[f"{name}: {value}"] = score([pair for pair in scored if of(pair[0]) == value])
    return table


def pairs(rows: list[Row]) -> list[tuple[float, float]]:
    """Return pairs of rows on one machine: how many times the output, and ln of predicted over measured ratio.

    One machine: the same model, GPU, count, precision and server, batches within 15 %; another task.
    """
    joules = {id(row): made.mid for row, made in estimated(rows)}
    found = []
    for one, other in combinations(rows, 2):
        here, there = one.workload, other.workload
        same = (
            (one.model, here.gpu, here.n_gpus, here.precision, here.stack)
            == (other.model, there.gpu, there.n_gpus, there.precision, there.stack)
            and one.task != other.task
            and abs(math.log(here.batch / there.batch)) < 0.15
        )
        if same:
            longer = max(here.output_tokens, there.output_tokens) / min(here.output_tokens, there.output_tokens)
            error = math.log(joules[id(other)] / joules[id(one)]) - math.log(other.gpu_joules / one.gpu_joules)
            found.append((longer, error))
    return found


def estimated(rows: list[Row], fit: str | None = None) -> list[Scored]:
    """Estimate every row with its deployment known."""
    return [(row, estimate_workload(row.workload, fit=fit).gpu_joules) for row in rows]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", type=Path, default=TABLE, help="another table of measured rows")
    parser.add_argument("--fit", help="a dated set of constants instead of the newest")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    table = by_slices(estimated(read(arguments.csv), arguments.fit))
    if arguments.json:
        print(json.dumps(table, indent=1))
        return
    print(f"{'':32}{'rows':>6}{'median':>9}{'bias':>7}{'within 2x':>11}{'in band':>9}")
    for name, row in table.items():
        print(
            f"{name:32}{row['rows']:6}{row['median_error']:9.1%}{row['bias']:7.2f}"
            f"{row['within_2x']:11.1%}{row['coverage']:9.1%}"
        )


if __name__ == "__main__":
    main()
