"""``python -m bench``: nginx, LiteLLM and Joulegate side by side, round by round; a table, or JSON with ``--json``."""

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bench.exchange import Pace
from bench.measure import Direct, Plan, Round, as_json, measure, measure_direct, providers
from bench.processes import Cores
from bench.table import machine, markdown
from bench.targets import TARGETS, litellm_environment

NEEDED = {"nginx": "nginx-light", "wrk": "wrk", "taskset": "util-linux"}
OPEN_FILES = 16384


def main() -> None:
    arguments = _arguments()
    names = arguments.targets.split(",")
    if unknown := set(names) - set(TARGETS):
        raise SystemExit(f"bench: unknown target {', '.join(unknown)}; known are {', '.join(TARGETS)}")
    if missing := [package for program, package in NEEDED.items() if not shutil.which(program)]:
        raise SystemExit(f"bench: install {' '.join(missing)} first (Debian: apt-get install {' '.join(missing)})")
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    if "litellm" in names:
        litellm_environment()
    plan = Plan()
    if arguments.quick:
        plan = replace(plan, warm_s=1.0, load_s=2.0, single_s=1.0, pace=Pace(interval_ms=10, chunks=100))
    cores = Cores.choose()
    os.sched_setaffinity(0, {cores.load})
    rounds: dict[str, list[Round]] = {name: [] for name in names}
    direct: list[Direct] = []
    with tempfile.TemporaryDirectory(prefix="joulegate-bench-") as folder, providers(Path(folder), cores) as ports:
        for number in range(arguments.rounds):
            direct.append(measure_direct(ports, plan, cores, Path(folder)))
            # Each round in another order: what drifts over a round does not always fall on the same target.
            shift = number % len(names)
            for name in names[shift:] + names[:shift]:
                print(f"round {number + 1} of {arguments.rounds}: {name} …", file=sys.stderr, flush=True)
                place = Path(folder) / f"{number}-{name}"
                place.mkdir()
                rounds[name].append(measure(TARGETS[name], ports, plan, cores, place))
    if arguments.json:
        print(
            json.dumps({"at": datetime.now(UTC).isoformat(), "machine": machine(), **as_json(rounds, direct)}, indent=1)
        )
    else:
        print(f"{datetime.now(UTC):%Y-%m-%d}, {machine()}; {arguments.rounds} interleaved rounds, median (range)\n")
        print(markdown(rounds, direct))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What proxies cost, side by side.")
    parser.add_argument("--targets", default=",".join(TARGETS), help="names separated by commas (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds (default: %(default)s)")
    parser.add_argument("--quick", action="store_true", help="short loads: to see that it works, not to quote")
    parser.add_argument("--json", action="store_true", help="every round's figures as JSON")
    return parser.parse_args()


if __name__ == "__main__":
    main()
