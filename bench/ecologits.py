"""EcoLogits 0.11.3's energy of a request, written from its documentation, to stand beside ours; never shipped.

Per output token and GPU ``α·exp(β·B)·P_active + γ`` Wh (P in billions), GPUs in 16 bits, a batch of 64, and
the server's share of the generation time; no input tokens, no cache, no precision, no hardware but the H100.
Run ``python -m bench.ecologits`` for its score on the measured rows beside ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from bench.measured import Row, read
from bench.validation import SLICES, estimated, score
from estimator.ranges import Range
from estimator.units import JOULES_PER_WH

ALPHA, BETA, GAMMA = 1.1665273170451914e-06, -0.011205921025579175, 4.052928146734005e-05
LATENCY = (0.0006785088094353663, 0.0003119310311688259, 0.019473717579473387)
BATCH = 64
GPU_GIGABYTES = 80
SERVER_KW = 1.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Energy of one request: its GPUs, its servers, and with PUE."""

    gpu_joules: float
    it_joules: float
    joules: float


def request(total_b: float, active_b: float, output_tokens: float, pue: float = 1.2) -> Request:
    """Return the energy of a request by parameters in billions."""
    gpus = 2 ** math.ceil(math.log2(math.ceil(1.2 * total_b * 16 / 8 / GPU_GIGABYTES)))
    per_token_wh = ALPHA * math.exp(BETA * BATCH) * active_b + GAMMA
    seconds = output_tokens * (LATENCY[0] * active_b + LATENCY[1] * BATCH + LATENCY[2])
    server_wh = seconds / 3600 * SERVER_KW * 1000 * gpus / 8 / BATCH
    gpu = gpus * output_tokens * per_token_wh * JOULES_PER_WH
    servers = gpu + server_wh * JOULES_PER_WH
    return Request(gpu_joules=gpu, it_joules=servers, joules=servers * pue)


def scored(rows: list[Row]) -> list[tuple[Row, Range]]:
    """Return each measured row with EcoLogits' joules of its GPUs; it states no band for them."""
    found = []
    for row in rows:
        work = row.workload
        made = request(work.total_params / 1e9, work.active_params / 1e9, work.output_tokens)
        found.append((row, Range.exact(made.gpu_joules)))
    return found


def main() -> None:
    """Print both, slice by slice."""
    rows = read()
    theirs, ours = scored(rows), estimated(rows)
    print(f"{'median error, predicted over measured':40}{'EcoLogits':>18}{'Joulegate':>18}")
    for name in ("all", "gpu", "batch", "experts"):
        of = SLICES[name]
        for value in sorted({of(row) for row in rows}):
            line = f"{value:40}"
            for table in (theirs, ours):
                got = score([pair for pair in table if of(pair[0]) == value])
                line += f"{got['median_error']:11.1%}{got['bias']:7.2f}"
            print(line)


if __name__ == "__main__":
    main()
