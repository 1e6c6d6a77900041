"""What an estimate costs: medians of many rounds, in microseconds; run ``python -m bench.estimator [--json]``.

``first`` is the first estimate of a model, which compiles its card and, for a closed model, draws
its Monte Carlo; it is paid once for a model, deployment, provider and zone. ``import`` is a fresh
interpreter's ``import estimator``, in milliseconds, the interpreter's own start taken off.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

from estimator import Usage, centre, estimate
from estimator.closed import likenesses
from estimator.profiles import profile

CASES = (
    ("open model", "llama-3.3-70b-versatile", "groq"),
    ("closed model", "gpt-4o", "openai"),
    ("unknown model", "nobody-knows", "openai"),
)
USAGE = Usage(input_tokens=2000, cached_input_tokens=500, output_tokens=1000)


def median_us(call: Callable[[], object], rounds: int = 300, calls: int = 50) -> float:
    """Return the median over the rounds of the mean time of a call."""
    call()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        for _ in range(calls):
            call()
        times.append((time.perf_counter() - begin) / calls * 1e6)
    return statistics.median(times)


def first_us(model: str, provider: str) -> float:
    """Return the median time of an estimate with nothing compiled; the data files are parsed already."""
    times = []
    for _ in range(9):
        profile.cache_clear()
        likenesses.cache_clear()
        begin = time.perf_counter()
        estimate(USAGE, model, provider=provider)
        times.append((time.perf_counter() - begin) * 1e6)
    return statistics.median(times)


def import_ms() -> float:
    """Return the median time that importing the library adds to a fresh interpreter."""
    script = "import time; begin = time.perf_counter(); import estimator; print(time.perf_counter() - begin)"
    times = [
        float(subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout)
        for _ in range(9)
    ]
    return statistics.median(times) * 1e3


def main() -> None:
    """Print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON")
    as_json = parser.parse_args().json
    figures = {
        label: {
            "estimate_us": median_us(lambda m=model, p=provider: estimate(USAGE, m, provider=p)),
            "centre_us": median_us(lambda m=model, p=provider: centre(USAGE, m, provider=p)),
            "first_us": first_us(model, provider),
        }
        for label, model, provider in CASES
    }
    milliseconds = import_ms()
    if as_json:
        print(json.dumps({"import_ms": milliseconds, "medians": figures}, indent=1))
        return
    print(f"{'':16}{'estimate µs':>12}{'centre µs':>12}{'first µs':>12}")
    for label, row in figures.items():
        print(f"{label:16}{row['estimate_us']:12.1f}{row['centre_us']:12.1f}{row['first_us']:12.0f}")
    print(f"import {milliseconds:.0f} ms")


if __name__ == "__main__":
    main()
