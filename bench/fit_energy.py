"""Fit the roofline's constants on the measured rows; run ``python -m bench.fit_energy [--cross]``.

Least squares on the logarithms of joules per request, with seconds per token beside them (weight 0.3) so
that time and power stay apart, a robust loss, and a weak pull towards the starting points, which are guesses
from data sheets. Models weigh by the root of their rows. Nothing but the shipped formula is evaluated.
``--cross`` leaves each model, then each family, out, fits the rest and prints what the left-out rows say.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Iterable

from bench.measured import Row, read
from estimator.fits import Fit, find_fit
from estimator.novelty import widening
from estimator.ranges import combined
from estimator.workload import compiled

# Where each constant starts and is weakly held: 0.15 per unit of its logarithm.
START = {
    "tau_layer_s": 6e-5,
    "tau_seq_s": 2e-5,
    "tau_seq_layer_s": 3e-7,
    "omega_2024": 11.0,
    "s": 0.35,
    "s_overhead": 0.6,
    "phi": 1.3,
    "beta": 0.6,
    "beta_b200": 0.6,
    "fp8_overhead": 2.0,
    "moe_efficiency": 0.5,
}
HOLD = 0.15
TIME_WEIGHT = 0.3
ROBUST = 0.15  # logarithmic errors beyond this count linearly
B200 = "B200-SXM-180GB"
UNSEEN_SIGMA = 0.08  # a laboratory or a version of the server that no row is of; assumption


def constants_of(logs: dict[str, float]) -> Fit:
    """Return the set of constants of a point of the search; what is fixed comes from the shipped set."""
    at = {name: math.exp(value) for name, value in logs.items()}
    special = at.pop("beta_b200")
    return find_fit()._replace(**at, s_overhead_2024=at["s"], beta_of={B200: special})


def errors(rows: Iterable[Row], fit: Fit) -> list[tuple[float, float]]:
    """Return ln(predicted / measured) of joules and of seconds for each row."""
    made = []
    for row in rows:
        work = row.workload
        drawn = compiled(work, fit).draw(work.input_tokens, work.cached_tokens, work.output_tokens, work.output_cv2)
        seconds = drawn.gpu_seconds / work.n_gpus / work.output_tokens
        made.append((math.log(drawn.gpu_joules / row.gpu_joules), math.log(seconds / row.seconds_per_token)))
    return made


def fitted(rows: list[Row], steps: int = 25) -> dict[str, float]:
    """Return the logarithms of the constants that fit the rows best (Levenberg-Marquardt on robust weights)."""
    counts = Counter(row.model for row in rows)
    weights = [counts[row.model] ** -0.25 for row in rows]
    scale = len(weights) / sum(weight**2 for weight in weights)
    weights = [weight * math.sqrt(scale) for weight in weights]
    start = {name: math.log(value) for name, value in START.items()}

    def residuals(at: dict[str, float]) -> list[float]:
        out = []
        for weight, (energy, time) in zip(weights, errors(rows, constants_of(at)), strict=True):
            out += [weight * energy, weight * TIME_WEIGHT * time]
        return out + [HOLD * (at[name] - start[name]) for name in start]

    return _search(residuals, start, steps)


def _search(
    residuals: Callable[[dict[str, float]], list[float]], start: dict[str, float], steps: int
) -> dict[str, float]:
    at, damping = dict(start), 1e-2
    now = residuals(at)
    for _ in range(steps):
        slopes = []
        for name in at:
            moved = residuals({**at, name: at[name] + 1e-4})
            slopes.append([(b - a) / 1e-4 for a, b in zip(now, moved, strict=True)])
        robust = [1 / math.sqrt(1 + (r / ROBUST) ** 2) for r in now]
        normal = [[sum(w * a * b for w, a, b in zip(robust, x, y, strict=True)) for y in slopes] for x in slopes]
        pull = [-sum(w * a * r for w, a, r in zip(robust, x, now, strict=True)) for x in slopes]
        while damping < 1e6:
            damped = [[v * (1 + damping * (i == j)) for j, v in enumerate(row)] for i, row in enumerate(normal)]
            step = _solved(damped, pull)
            tried = {name: at[name] + d for name, d in zip(at, step, strict=True)}
            then = residuals(tried)
            if _loss(then) < _loss(now):
                gain = _loss(now) - _loss(then)
                at, now, damping = tried, then, damping / 5
                break
            damping *= 5
        else:
            break
        if gain < 1e-7 * _loss(now):
            break
    return at


def _loss(residuals: list[float]) -> float:
    return sum(2 * ROBUST**2 * (math.sqrt(1 + (r / ROBUST) ** 2) - 1) for r in residuals)


def _solved(matrix: list[list[float]], right: list[float]) -> list[float]:
    """Solve a small positive definite system by Gauss elimination."""
    rows = [[*row, value] for row, value in zip(matrix, right, strict=True)]
    size = len(rows)
    for i in range(size):
        pivot = max(range(i, size), key=lambda r: abs(rows[r][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for r in range(i + 1, size):
            factor = rows[r][i] / rows[i][i]
            rows[r] = [a - factor * b for a, b in zip(rows[r], rows[i], strict=True)]
    out = [0.0] * size
    for i in reversed(range(size)):
        out[i] = (rows[i][size] - sum(rows[i][j] * out[j] for j in range(i + 1, size))) / rows[i][i]
    return out


def left_out(rows: list[Row], by: Callable[[Row], str]) -> list[float]:
    """Return ln(predicted / measured) joules of each row under constants fitted without its group."""
    out = [0.0] * len(rows)
    for group in sorted({by(row) for row in rows}):
        fit = constants_of(fitted([row for row in rows if by(row) != group], steps=12))
        held = [i for i, row in enumerate(rows) if by(row) == group]
        for i, (energy, _) in zip(held, errors([rows[i] for i in held], fit), strict=True):
            out[i] = energy
    return out


# What no row may be like: rows of a kind left out all at once, as [unseen] in roofline.toml takes them.
STRANGE: dict[str, Callable[[Row], bool]] = {
    "accelerator: A100": lambda row: row.workload.gpu.startswith("A100"),
    "accelerator: H100": lambda row: row.workload.gpu.startswith("H100"),
    "accelerator: B200": lambda row: row.workload.gpu.startswith("B200"),
    "batch: up to 16": lambda row: row.workload.batch < 16.5,
    "batch: above 600": lambda row: row.workload.batch > 600,
    "batch: above 1 100": lambda row: row.workload.batch > 1100,
    "spread: expert parallel": lambda row: row.workload.expert_parallel > 1,
    "context: above 3 000": lambda row: row.workload.input_tokens + row.workload.output_tokens > 3000,
}


def strangeness(rows: list[Row], strange: Callable[[Row], bool]) -> float:
    """Return the mean ln(predicted / measured) joules of rows of a kind under constants fitted without any of it."""
    fit = constants_of(fitted([row for row in rows if not strange(row)], steps=12))
    found = errors([row for row in rows if strange(row)], fit)
    return sum(energy for energy, _ in found) / len(found)


def summary(logs: list[float]) -> str:
    """Write an error's median, bias and share within a factor of two."""
    size = sorted(abs(math.expm1(value)) for value in logs)
    within = sum(abs(value) < math.log(2) for value in logs) / len(logs)
    return (
        f"median {size[len(size) // 2]:6.1%}   bias {math.exp(sum(logs) / len(logs)):.2f}   within 2x {within:6.1%}"
        f"   rows {len(logs)}"
    )


def band(logs: list[float]) -> tuple[float, float]:
    """Return the 90 % multipliers from predicted to measured, widened for what no row is of."""
    ordered = sorted(-value for value in logs)
    low, high = ordered[int(0.05 * len(ordered))], ordered[int(0.95 * len(ordered))]
    unseen = 1.645 * UNSEEN_SIGMA
    return math.exp(-math.hypot(low, unseen)), math.exp(math.hypot(high, unseen))


def kind_of(row: Row) -> str:
    """Say which of the two bands is a row's."""
    return "sparse" if row.workload.experts > 0 or row.workload.precision != "bfloat16" else "dense"


def bands_of(rows: list[Row], left: list[list[float]]) -> dict[str, tuple[float, float]]:
    """Return both bands from the errors of rows left out, by whatever they were left out by."""
    return {
        kind: band([e for logs in left for e, row in zip(logs, rows, strict=True) if kind_of(row) == kind])
        for kind in ("dense", "sparse")
    }


def coverage(
    rows: list[Row], logs: list[float], bands: dict[str, tuple[float, float]], wider: tuple[float, float] = (1.0, 1.0)
) -> float:
    """Return the share of measured joules that lie in the band around the predicted ones."""
    inside = 0
    for row, error in zip(rows, logs, strict=True):
        low, high = combined(bands[kind_of(row)], wider)
        inside += low <= math.exp(-error) <= high
    return inside / len(rows)


def main() -> None:
    """Print the constants, their score on the rows, and with ``--cross`` on rows left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cross", action="store_true", help="leave models and families out (minutes)")
    cross = parser.parse_args().cross
    rows = read()
    best = fitted(rows)
    for name, value in best.items():
        print(f"{name:16} = {math.exp(value):.4g}")
    found = errors(rows, constants_of(best))
    print(f"joules, rows of the fit     {summary([energy for energy, _ in found])}")
    print(f"seconds, rows of the fit    {summary([time for _, time in found])}")
    if not cross:
        return
    by = {"model": left_out(rows, lambda row: row.model), "family": left_out(rows, lambda row: row.family)}
    bands = bands_of(rows, list(by.values()))
    by["accelerator"] = left_out(rows, lambda row: row.workload.gpu)
    for name, logs in by.items():
        wider = widening(("accelerator",)) if name == "accelerator" else (1.0, 1.0)
        print(f"joules, {name:12} left out {summary(logs)}   in the band {coverage(rows, logs, bands, wider):6.1%}")
    for kind, (low, high) in bands.items():
        print(f"{kind:6} band of 90 %          × {low:.3f} to {high:.3f}")
    for name, strange in STRANGE.items():
        print(f"left out, {name:24}  bias {math.exp(strangeness(rows, strange)):.2f}")


if __name__ == "__main__":
    main()
