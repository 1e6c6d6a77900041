"""The measured rounds as a table: medians with their range; ratios are taken within each round first."""

import os
import platform
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

from bench.measure import Direct, Round

Rounds = dict[str, list[Round]]


def markdown(rounds: Rounds, direct: list[Direct]) -> str:
    """Two tables: cost (CPU time) and what a caller feels (added time, memory, start)."""
    cost = ["CPU µs/request", "× nginx", "LiteLLM / this", "req/s on one core"]
    cost += ["CPU µs/chunk", "chunk × nginx", "chunk LiteLLM / this"]
    felt = ["added p50 ms, c=1", "added p99 ms, c=1", "chunk delay added p50 ms", "chunk delay added p99 ms"]
    felt += ["MB under load", "MB per 1,000 streams", "command to first answer s"]
    return "\n".join([*_table(cost, _cost(rounds)), "", *_table(felt, _felt(rounds, direct))])


def machine() -> str:
    """The machine in one line, so that a figure is never without it."""
    model = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        "unknown CPU",
    )
    memory = next((int(line.split()[1]) // 2**20 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} cores, {model}, {memory} GiB, Linux {platform.release()}, {python}"


def _cost(rounds: Rounds) -> Iterable[tuple[str, list[str]]]:
    for name, measured in rounds.items():
        yield (
            name,
            [
                _range([one.cpu_us_per_request for one in measured]),
                _ratio(measured, rounds.get("nginx"), lambda one: one.cpu_us_per_request),
                _ratio(rounds.get("litellm"), measured, lambda one: one.cpu_us_per_request),
                _range([one.requests_per_s for one in measured]),
                _range([one.cpu_us_per_chunk for one in measured]),
                _ratio(measured, rounds.get("nginx"), lambda one: one.cpu_us_per_chunk),
                _ratio(rounds.get("litellm"), measured, lambda one: one.cpu_us_per_chunk),
            ],
        )


def _felt(rounds: Rounds, direct: list[Direct]) -> Iterable[tuple[str, list[str]]]:
    for name, measured in rounds.items():
        pairs = list(zip(measured, direct, strict=True))
        yield (
            name,
            [
                _range([one.p50_ms - none.p50_ms for one, none in pairs]),
                _range([one.p99_ms - none.p99_ms for one, none in pairs]),
                _range([one.chunk_p50_ms - none.chunk_p50_ms for one, none in pairs]),
                _range([one.chunk_p99_ms - none.chunk_p99_ms for one, none in pairs]),
                _range([one.resident_mb for one in measured]),
                _range([one.mb_per_1000_streams for one in measured]),
                _range([one.start_s for one in measured]),
            ],
        )


def _table(heads: list[str], rows: Iterable[tuple[str, list[str]]]) -> Iterable[str]:
    yield f"| target | {' | '.join(heads)} |"
    yield f"| --- |{' ---: |' * len(heads)}"
    for name, cells in rows:
        yield f"| {name} | {' | '.join(cells)} |"


def _ratio(over: list[Round] | None, under: list[Round] | None, figure: Callable[[Round], float]) -> str:
    if over is None or under is None:
        return ""
    return _range([figure(one) / figure(other) for one, other in zip(over, under, strict=True)])


def _range(values: list[float]) -> str:
    """Median and, from three values on, the smallest and the largest."""
    middle = _number(statistics.median(values))
    return middle if len(values) < 3 else f"{middle} ({_number(min(values))}–{_number(max(values))})"


def _number(value: float) -> str:
    size = abs(value)
    return f"{value:,.0f}" if size >= 100 else f"{value:.1f}" if size >= 10 else f"{value:.2f}"


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()
