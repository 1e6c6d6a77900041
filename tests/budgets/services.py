"""Whole services with budgets, a provider whose replies cost what a test says, and callers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from estimator import Usage, estimate
from proxy.budgets.units import steps_of
from proxy.ledger.engine import open_engine
from proxy.ledger.tables import calls as calls_table
from tests.loopback import Script, Seen, reply
from tests.service.running import Service

MODEL = "gpt-4o-mini"
COME_AGAIN_MOST = 20
SETTLED_S = 40.0
IN_USD, OUT_USD = 0.15e-6, 0.6e-6  # a token, at the price of the model since 2024-07-18


def config(origin: str, *budgets: str, workers: int = 1, url: str | None = None) -> str:
    ledger = "" if url is None else f'[ledger]\nurl = "{url}"\n'
    return f"""
{ledger}
[gate]
workers = {workers}
[[provider]]
name = "openai"
origin = "{origin}"
zone = "USA"
[[team]]
name = "search"
""" + "\n".join(f"[[budget]]\n{budget}\n" for budget in budgets)


def budget(name: str = "b", unit: str = "usd", limit: float = 1.0, window: str | None = "month", **more: object) -> str:
    said = {"name": name, "unit": unit, "limit": limit, "window": window, "mode": "hard", "team": "search"} | more
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in said.items() if value is not None)


def answers(tokens: Callable[[], int], wait_s: float = 0.0) -> Script:
    """A provider whose answers have so many tokens, ten of them asked."""

    async def script(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(wait_s)
        made = tokens()
        usage = {"prompt_tokens": 10, "completion_tokens": made, "total_tokens": 10 + made}
        choice = {"index": 0, "message": {"role": "assistant", "content": "word"}, "finish_reason": "stop"}
        body = {"id": "c", "object": "chat.completion", "created": 1, "model": MODEL, "choices": [choice]}
        writer.write(reply(json.dumps(body | {"usage": usage}).encode()))

    return script


async def as_asked(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """A provider whose answers have so many tokens, after so many seconds, as the message says: "1000 0.2"."""
    tokens, wait_s = json.loads(seen.body)["messages"][0]["content"].split()
    await answers(lambda: int(tokens), float(wait_s))(seen, writer)


@dataclass
class Calls:
    """Calls made at once, and what became of them."""

    statuses: Counter[int] = field(default_factory=Counter)
    refusals: list[tuple[dict[str, str], dict[str, object]]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)


def asks(team: str = "search", output_limit: int | None = 1000, says: str = "hello") -> bytes:
    body: dict[str, object] = {"model": MODEL, "messages": [{"role": "user", "content": says}]}
    if output_limit is not None:
        body["max_tokens"] = output_limit
    written = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: gate\r\ncontent-type: application/json\r\nconnection: close\r\n"
        f"x-joulegate-team: {team}\r\nauthorization: Bearer sk-1\r\ncontent-length: {len(written)}\r\n\r\n"
    )
    return head.encode() + written


def call(gates: list[str], count: int, request: bytes, *, again: int = COME_AGAIN_MOST) -> Calls:
    """Make so many calls at once, spread over gates; gives what was answered.

    Who is told that nobody can say yet what is left comes again a second later, as SDKs do: on a busy machine the
    first lease of a budget may take longer than a call waits for it.
    """
    made = Calls()

    async def one(number: int) -> None:
        port = int(gates[number % len(gates)].rsplit(":", 1)[1])
        for _ in range(again):
            status, headers, body = await _answered(port, request)
            if status != 429 or again == 1 or json.loads(body)["error"]["code"] != "budget_unknown":
                break
            await asyncio.sleep(int(headers["retry-after"]))
        made.statuses[status] += 1
        made.headers.append(headers)
        if status == 429:
            made.refusals.append((headers, json.loads(body)))

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(count)))

    asyncio.run(all_of_them())
    return made


async def _answered(port: int, request: bytes) -> tuple[int, dict[str, str], bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        answer = await reader.read()
    finally:
        writer.close()
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    return int(lines[0].split(" ")[1]), dict(line.lower().split(": ", 1) for line in lines[1:]), body


def a_call(unit: str, output_tokens: int = 1000) -> float:
    """What an answer takes of a unit."""
    made = estimate(Usage(input_tokens=10, output_tokens=output_tokens), MODEL, provider="openai", zone="USA")
    return float(made.cost_usd) if unit == "usd" else made.grams_co2e.mid


def spent(url: str, unit: str, team: str = "search") -> int:
    """What the rows of a team say, in steps."""
    column = calls_table.c.cost_usd if unit == "usd" else calls_table.c.grams_co2e
    engine = open_engine(url)
    with engine.connect() as connection:
        found = connection.scalars(sa.select(column).where(calls_table.c.team == team, column.is_not(None)))
        total = sum(steps_of(each, unit) for each in found)
    engine.dispose()
    return total


def rows(url: str, team: str | None = None) -> Counter[str]:
    """Count the calls in the ledger, all or a team's, by how they ended."""
    engine, c = open_engine(url), calls_table.c
    with engine.connect() as connection:
        select = sa.select(c.outcome, sa.func.count()).group_by(c.outcome)
        found = connection.execute(select if team is None else select.where(c.team == team))
        counted = Counter({row.outcome: row[1] for row in found})
    engine.dispose()
    return counted


def wait_for_rows(url: str, count: int, team: str | None = None) -> None:
    deadline = time.monotonic() + SETTLED_S
    while (there := rows(url, team)).total() < count:
        assert time.monotonic() < deadline, there
        time.sleep(0.1)


def use_up(gates: list[str], request: bytes) -> tuple[int, int]:
    """Make calls at all machines at once until none is answered any more; gives how many were, and how many made."""
    answered = asked = refused = 0
    deadline = time.monotonic() + SETTLED_S
    while refused < 2 and time.monotonic() < deadline:
        made = call(gates, len(gates), request)
        asked += len(gates)
        if made.statuses[200]:
            answered, refused = answered + made.statuses[200], 0
        elif any(int(headers["retry-after"]) == 1 for headers, _ in made.refusals):  # somebody holds what is left
            time.sleep(0.3)
        else:
            refused += 1
    return answered, asked


def one_of(url: str | None, folder: Path) -> str:
    return url or f"sqlite:///{folder}/joulegate.db"


def kill(running: Service, victim: str) -> None:
    pids = running.named_children()
    os.kill(pids[victim], signal.SIGKILL)
