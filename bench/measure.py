"""One round of one target: started, warmed, loaded, streamed through, its memory read, stopped."""

import contextlib
import http.client
import statistics
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from bench.exchange import Pace, question
from bench.load import Streamed, open_streams, read_streams, wrk
from bench.processes import Cores, Running, free_port
from bench.targets import Launch, Providers, Target, canned_provider, paced_provider, plain_environment

PACE = Pace(interval_ms=10, chunks=800)
MEMORY_PACE = Pace(interval_ms=1000, chunks=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How much is asked of each target in each round."""

    connections: int = 32
    warm_s: float = 2.0
    load_s: float = 5.0
    single_s: float = 3.0
    streams: int = 40
    pace: Pace = PACE
    open_streams: int = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What one target did in one round."""

    start_s: float  # from the command to its first answered request
    cpu_us_per_request: float  # user + system time of the whole process tree
    requests_per_s: float
    p50_ms: float  # one connection
    p99_ms: float
    cpu_us_per_chunk: float
    chunk_p50_ms: float  # from the provider's write to the client's read
    chunk_p99_ms: float
    resident_mb: float  # proportional set size, under load
    mb_per_1000_streams: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """The same, with no proxy between: what is taken off to get what a proxy adds."""

    p50_ms: float
    p99_ms: float
    chunk_p50_ms: float
    chunk_p99_ms: float


@contextlib.contextmanager
def providers(folder: Path, cores: Cores) -> Iterator[Providers]:
    """The two mock providers, on the load's core, for as long as the benchmark runs."""
    ports = Providers(canned=free_port(), paced=free_port())
    commands = {"canned": canned_provider(folder / "canned", ports.canned), "paced": paced_provider(ports.paced)}
    running = [
        Running(
            command, core=cores.load, log=folder / f"{name}.log", environment=plain_environment(), folder=Path.cwd()
        )
        for name, command in commands.items()
    ]
    try:
        for provider, port in zip(running, (ports.canned, ports.paced), strict=True):
            _first_answer(
                f"http://127.0.0.1:{port}/v1/chat/completions",
                "sk-none",
                provider,
                body=question(pace=Pace(interval_ms=1, chunks=1)),
            )
        yield ports
    finally:
        for provider in running:
            provider.stop()


def measure_direct(ports: Providers, plan: Plan, cores: Cores, folder: Path) -> Direct:
    whole = f"http://127.0.0.1:{ports.canned}/v1/chat/completions"
    stream = f"http://127.0.0.1:{ports.paced}/v1/chat/completions"
    single = wrk(whole, key="sk-none", connections=1, seconds=plan.single_s, cores=cores, folder=folder)
    seen = read_streams(stream, key="sk-none", streams=plan.streams, pace=plan.pace)
    return Direct(
        p50_ms=single.p50_ms,
        p99_ms=single.p99_ms,
        chunk_p50_ms=statistics.median(seen.delays_ms),
        chunk_p99_ms=_p99(seen.delays_ms),
    )


def measure(target: Target, ports: Providers, plan: Plan, cores: Cores, folder: Path) -> Round:
    launch = target(folder, ports)
    running = Running(
        launch.command, core=cores.target, log=folder / "target.log", environment=launch.environment, folder=folder
    )
    try:
        start_s = _first_answer(launch.whole_url, launch.key, running, body=question()) - running.started_at
        load = {"key": launch.key, "cores": cores, "folder": folder}
        wrk(launch.whole_url, connections=plan.connections, seconds=plan.warm_s, **load)
        before = running.settled_cpu_seconds()
        many = wrk(launch.whole_url, connections=plan.connections, seconds=plan.load_s, **load)
        cpu_us_per_request = (running.settled_cpu_seconds() - before) * 1e6 / many.requests
        single = wrk(launch.whole_url, connections=1, seconds=plan.single_s, **load)
        read_streams(launch.stream_url, key=launch.key, streams=plan.streams, pace=Pace(interval_ms=10, chunks=20))
        before = running.settled_cpu_seconds()
        seen = read_streams(launch.stream_url, key=launch.key, streams=plan.streams, pace=plan.pace)
        cpu_us_per_chunk = (running.settled_cpu_seconds() - before) * 1e6 / seen.chunks
        return Round(
            start_s=start_s,
            cpu_us_per_request=cpu_us_per_request,
            requests_per_s=many.requests / many.seconds,
            p50_ms=single.p50_ms,
            p99_ms=single.p99_ms,
            cpu_us_per_chunk=cpu_us_per_chunk,
            chunk_p50_ms=statistics.median(seen.delays_ms),
            chunk_p99_ms=_p99(seen.delays_ms),
            resident_mb=running.resident_bytes() / 1e6,
            mb_per_1000_streams=_streams_mb(launch, running, plan.open_streams) * 1000 / plan.open_streams,
        )
    finally:
        running.stop()


def _streams_mb(launch: Launch, running: Running, streams: int) -> float:
    """Memory that a number of open streams take, after each has had its first chunk."""
    before = running.resident_bytes()

    async def run() -> int:
        readers = await open_streams(
            launch.stream_url, key=launch.key, streams=streams, pace=MEMORY_PACE, seen=Streamed()
        )
        resident = running.resident_bytes()
        for reader in readers:
            reader.transport.abort()
        return resident

    return (uvloop.run(run()) - before) / 1e6


def _first_answer(url: str, key: str, running: Running, *, body: bytes, patience_s: float = 120.0) -> float:
    """Ask until there is an answer; the monotonic time at which it had come."""
    parts = urlsplit(url)
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("POST", parts.path, body=body, headers=headers)
            answer = connection.getresponse()
            answer.read()
            if answer.status == 200:
                return time.monotonic()
        running.check()
        time.sleep(0.005)
    raise SystemExit(f"bench: {running.command[0]} gave no answer in {patience_s:g} s; see {running.log}")


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


def as_json(rounds: dict[str, list[Round]], direct: list[Direct]) -> dict[str, object]:
    return {
        "direct": [asdict(one) for one in direct],
        "targets": {name: [asdict(one) for one in measured] for name, measured in rounds.items()},
    }
