"""A table of workloads, a deployment a row: estimated columns are added, the rest stays as it is."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

from estimator.errors import EstimatorError
from estimator.fits import find_fit
from estimator.grid import WORLD, grid
from estimator.workload import estimate_workload
from estimator.workload_rows import workload_of
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
    "assumptions",
    "error",
)


def estimate_table(source: Path, target: Path | None, zone: str | None, fit: str | None = None) -> tuple[int, int]:
    """Read workloads, write them with their estimates, per request; return how many rows, and how many have none.

    A row that cannot be estimated keeps its place: its figures are empty and ``error`` says why.

    Raises:
        ConfigError: the file is not there, is not a table, or the zone or set of constants does not exist.

    """
    try:
        grid(zone or WORLD)
        find_fit(fit)
    except EstimatorError as error:
        raise ConfigError(str(error)) from error
    try:
        with source.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
            reader = csv.DictReader(lines)
            columns = [name for name in reader.fieldnames or () if name not in ADDED]
            if not columns:
                raise ConfigError(f"{source}: no header line")
            rows = list(_estimated(reader, zone, fit))
    except OSError as error:
        raise ConfigError(f"{source}: {error.strerror}") from error
    except csv.Error as error:
        raise ConfigError(f"{source}: {error}") from error
    try:
        with target.open("w", newline="", encoding="utf-8") if target is not None else nullcontext(sys.stdout) as out:
            writer = csv.DictWriter(out, [*columns, *ADDED], extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise ConfigError(f"{target or 'the output'}: {error.strerror}") from error
    return len(rows), sum(bool(row["error"]) for row in rows)


def _estimated(rows: csv.DictReader[str], zone: str | None, fit: str | None) -> Iterator[dict[str, Any]]:
    for read in rows:
        row: dict[str, Any] = {**read, **dict.fromkeys(ADDED, "")}
        try:
            made = estimate_workload(workload_of(read), zone=zone, fit=fit)
        except EstimatorError as error:
            row["error"], row["tier"] = str(error), "unknown"
        else:
            for name, value in (
                ("gpu_joules", made.gpu_joules),
                ("facility_joules", made.joules),
                ("grams_co2e", made.grams_co2e),
            ):
                row[f"{name}_low"], row[name], row[f"{name}_high"] = value.low, value.mid, value.high
            row["tier"], row["assumptions"] = made.tier, "; ".join(made.assumptions)
        yield row
