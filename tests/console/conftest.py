from __future__ import annotations

import asyncio
import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
import uvicorn

from proxy.console import RecentCalls, build_console
from proxy.estimating import ConfiguredEstimator
from proxy.ledger.engine import open_engine
from proxy.ledger.tables import CallRow
from proxy.metrics import Metrics
from proxy.sections import Config
from proxy.serving import QuietServer
from proxy.space import Space
from tests.databases import open_ledger
from tests.rows import insert, known

NOON = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)


NOTHING_COUNTED = dict.fromkeys(("opened", "closed", "recorded", "waiting", "lost", "poison", "torn", "unestimated"), 0)


class Recorder:
    """What a recorder tells, to be changed by a test."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.leads = True
        self.calls_in_flight = 0
        self.streams_open = 0
        self.lag_seconds = 0.0
        self.gate_problems: list[str] = []
        self.notice: str | None = None
        self.ledgers_replaced = 0
        self.journal_space = Space(segments=1, segment_bytes=0, free_bytes=10**9)
        self.record_counts = dict(NOTHING_COUNTED)


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    text: str


@dataclass
class Running:
    """A console served over loopback, fed as the recorder feeds it."""

    port: int
    engine: sa.Engine
    metrics: Metrics
    recent: RecentCalls
    recorder: Recorder

    def record(self, *rows: CallRow) -> None:
        insert(self.engine, *rows)
        self.metrics.record(rows)
        self.recent.add(rows)

    def get(self, path: str, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", path, headers={name.replace("_", "-"): v for name, v in headers.items()})
            reply = connection.getresponse()
            return Reply(
                reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read().decode(errors="replace")
            )

    def post(self, path: str, body: str | bytes = b"", **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request(
                "POST", path, body=body, headers={name.replace("_", "-"): v for name, v in headers.items()}
            )
            reply = connection.getresponse()
            return Reply(
                reply.status, {k.lower(): v for k, v in reply.getheaders()}, reply.read().decode(errors="replace")
            )

    @contextlib.contextmanager
    def events(self, path: str, **headers: str) -> Iterator[Iterator[dict[str, str]]]:
        """Read server-sent events as a browser would."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with contextlib.closing(connection):
            connection.request("GET", path, headers=headers)
            reply = connection.getresponse()
            assert reply.getheader("content-type") == "text/event-stream; charset=utf-8"
            with contextlib.closing(reply):
                yield _events(reply)


def _events(reply: http.client.HTTPResponse) -> Iterator[dict[str, str]]:
    fields: dict[str, list[str]] = {}
    deadline = time.monotonic() + 20
    while line := reply.readline():
        assert time.monotonic() < deadline, "only heartbeats came"
        text = line.decode().rstrip("\n")
        if text:
            name, _, value = text.partition(": ")
            fields.setdefault(name, []).append(value)
        elif fields:
            found, fields = {name: "\n".join(values) for name, values in fields.items()}, {}
            if "event" in found:
                yield found


@pytest.fixture(scope="session")
def axe() -> str:
    """Deque's checker of accessibility, as the lock of the tests' Node packages has it (MPL-2.0)."""
    path = Path(__file__).parent.parent / "sdk/node/node_modules/axe-core/axe.min.js"
    assert path.exists(), "npm ci --prefix tests/sdk/node; `make test-all` does it"
    return path.read_text()


@pytest.fixture
def console(tmp_path) -> Iterator[Running]:
    with serve(f"sqlite:///{tmp_path}/ledger.db", now=lambda: NOON) as running:
        yield running


@contextlib.contextmanager
def serve(url: str, *, migrated: bool = True, port: int = 0, **options) -> Iterator[Running]:
    engine = open_ledger(url) if migrated else open_engine(url)
    recent, recorder = RecentCalls(), Recorder()
    metrics = Metrics(teams={"search", "ads"}, providers={"openai"}, model_name=known({"gpt-4o", "house-model"}))
    metrics.watch(recorder)
    app = build_console(
        estimate=ConfiguredEstimator(Config()).supposed,
        estimate_call=ConfiguredEstimator(Config()),
        engine=engine,
        metrics=metrics,
        recent=recent,
        recorder=recorder,
        gate_url="http://127.0.0.1:8700",
        closing=lambda: server.should_exit,
        **options,
    )
    server = QuietServer(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=5))
    listening = socket.create_server(("127.0.0.1", port))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])))
    thread.start()
    try:
        yield Running(listening.getsockname()[1], engine, metrics, recent, recorder)
    finally:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()
        listening.close()
        engine.dispose()
