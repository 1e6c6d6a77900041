"""What a budget adds to a call in the gate: CPU time, and for callgrind a loop of one kind alone.

    python -m bench.budgets [--budgets 1,1000]
    valgrind --tool=callgrind --callgrind-out-file=/dev/null python -m bench.budgets --loop hard --times 1000

``none``: the gate has budgets, the call has none; ``soft``: it has a soft one, and its reply says nothing; ``hard``: it
has a hard one in dollars, is estimated before and after, reserved for and settled.
"""

from __future__ import annotations

import argparse
import asyncio
import time

from estimator import Usage
from proxy.budgets.budget import budgets_of
from proxy.budgets.expecting import Expecting
from proxy.budgets.exposure import MOST, Exposure
from proxy.budgets.reserving import InForce, Reserving
from proxy.call import Closed, Opened
from proxy.config import load
from proxy.estimating import ConfiguredEstimator
from proxy.gate import Received
from proxy.routing import Routes
from proxy.sections import BudgetSection
from proxy.teams import Attribution
from proxy.wire.surface import Asked

TIMES = 5000
ROUNDS = 7
MODEL = "gpt-4o-mini"
KINDS = ("none", "soft", "hard")


class Nowhere:
    """A journal that costs nothing."""

    def append(self, record: Opened | Closed) -> bool:
        return True


class Bench:
    def __init__(self, budgets: int) -> None:
        sections = [
            BudgetSection(name=f"{mode}-{n}", team=f"{mode}-{n}", unit="usd", limit=1e6, window="month", mode=mode)
            for n in range(budgets)
            for mode in ("soft", "hard")
        ]
        config = load(environment={}).config
        found = budgets_of(sections[:MOST])
        self.exposure = Exposure(1)
        for slot, budget in enumerate(found):
            self.exposure.claim(slot, budget.measure)
            self.exposure.allow(slot, 2**60, 2**62)
        self.reserving = Reserving(self.exposure, 0, Expecting(ConfiguredEstimator(config)), Nowhere())
        self.reserving.follow(InForce.of(found, self.exposure))
        self.call = Received.begin("POST", b"/v1/chat/completions")
        self.call.asked = Asked(model=MODEL, output_limit=500)
        self.call.body = b"x" * 2000
        (self.target, *_) = Routes(config).by_model(self.call.path, MODEL, [])
        self.call.provider = self.target.provider

    def ended(self, team: str) -> Closed:
        self.call.attribution = Attribution(team=team)
        return Closed(
            opened=self.call.opened(), ended_at_us=self.call.started_at_us + 1000, outcome="ok", status=200,
            model=MODEL, provider_request_id=None, usage=Usage(input_tokens=400, output_tokens=300),
            usage_source="reported", flags=(), reason=None, latency_us=1000, time_to_first_token_us=None,
            overhead_us=None, response_bytes=1000, service_tier=None,
        )  # fmt: skip

    async def run(self, kind: str, times: int) -> None:
        closed = self.ended(f"{kind}-0")
        reserving, call, target = self.reserving, self.call, self.target
        for _ in range(times):
            hold = await reserving.reserve(call, target)
            if hold is not None:
                hold.call_id = call.id
            reserving.append(closed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--budgets", default="1,1000", help="how many of each kind there are")
    parser.add_argument("--loop", choices=KINDS)
    parser.add_argument("--times", type=int, default=TIMES)
    asked = parser.parse_args()
    counts = list(map(int, asked.budgets.split(",")))
    if asked.loop is not None:
        asyncio.run(Bench(counts[0]).run(asked.loop, asked.times))
        return
    print(f"{'budgets':>8} " + " ".join(f"{kind:>8}" for kind in KINDS) + "  microseconds of CPU a call, the least")
    for count in counts:
        bench = Bench(count)
        least = [min(cpu(bench, kind, asked.times) for _ in range(ROUNDS)) / asked.times for kind in KINDS]
        print(f"{count:>8} " + " ".join(f"{each * 1e6:>8.1f}" for each in least))


def cpu(bench: Bench, kind: str, times: int) -> float:
    began = time.process_time()
    asyncio.run(bench.run(kind, times))
    return time.process_time() - began


if __name__ == "__main__":
    main()
