"""Live traffic of a few teams through the official OpenAI SDK, for ``joulegate serve --demo``.

All of it goes to the gate, which the demo's configuration points at the simulated provider; nothing
leaves the machine.
"""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import openai

from proxy.demo_teams import TEAMS, Habit, Made, Turn

__all__ = ["TEAMS", "Made", "Tally", "demo_config_toml", "drive"]

PROVIDERS = {"openai": "USA", "groq": "USA", "mistral": "SWE"}  # name: electricity zone
IN_FLIGHT_AT_MOST = 64
TIMEOUT_S = 60.0


@dataclass(slots=True, kw_only=True)
class Tally:
    """What a client counts of its own traffic."""

    operations: int = 0
    requests: int = 0
    ok: int = 0
    errors: int = 0
    aborted: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def add(self, made: Made) -> None:
        """Count one operation in."""
        self.operations += 1
        self.requests += made.requests
        self.ok += made.ending == "ok"
        self.errors += made.ending == "error"
        self.aborted += made.ending == "aborted"
        self.input_tokens += made.input_tokens or 0
        self.output_tokens += made.output_tokens or 0


def demo_config_toml(
    simulator_origin: str, *, keys: Mapping[str, str] | None = None, credential: str | None = None
) -> str:
    """Give the demo's configuration: every provider it uses is the simulator, every team has its key.

    ``credential`` is a reference (``env:NAME`` or ``file:PATH``) to what the gate sends upstream in place of our keys.
    """
    lines: list[str] = []
    for name, zone in PROVIDERS.items():
        lines += ["[[provider]]", f'name = "{name}"', f'origin = "{simulator_origin}"', f'zone = "{zone}"']
        lines += [f'credential = "{credential}"'] if credential is not None else []
    for team in TEAMS:
        lines += ["[[team]]", f'name = "{team}"']
        if keys is not None and team in keys:
            digest = hashlib.sha256(keys[team].encode()).hexdigest()
            lines += ["[[team.key]]", f'id = "demo-{team}"', f'sha256 = "{digest}"']
    return "\n".join(lines) + "\n"


async def drive(
    gate_url: str,
    *,
    keys: Mapping[str, str],
    until: asyncio.Event | None = None,
    operations: int | None = None,
    rate: float = 2.0,
    seed: int = 0,
    on_made: Callable[[Made], None] | None = None,
) -> Tally:
    """Make traffic until the event is set or so many operations are made, and count it.

    ``keys`` gives our key of a team; a team without one names itself in headers. ``rate`` is operations per second.
    Never raises for what a provider or the gate answers: that is counted.
    """
    dice = random.Random(seed)  # noqa: S311 - which prompt comes next is no secret
    tally = Tally()
    running: set[asyncio.Task[None]] = set()
    stop = until or asyncio.Event()
    clients = {team: _client(gate_url, team, keys.get(team)) for team in TEAMS}

    async def make(team: str, habit: Habit, chance: random.Random) -> None:
        made = Made(team=team, habit=habit.act.__name__.strip("_"))
        _CURRENT.set(made)
        turn = Turn(
            client=clients[team], model=habit.model, dice=chance, made=made, headers=_headers(team, habit, chance)
        )
        try:
            await habit.act(turn)
        except openai.OpenAIError:
            made.ending = "error"
        tally.add(made)
        if on_made is not None:
            on_made(made)

    try:
        for _ in iter(int, 1) if operations is None else range(operations):
            if await _set_within(stop, dice.expovariate(rate)):
                break
            team = dice.choices(list(TEAMS), weights=[one.weight for one in TEAMS.values()])[0]
            habits = TEAMS[team].habits
            habit = dice.choices(habits, weights=[one.weight for one in habits])[0]
            if len(running) >= IN_FLIGHT_AT_MOST:
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.ensure_future(make(team, habit, random.Random(dice.random())))  # noqa: S311
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for client in clients.values():
            await client.close()
    return tally


_CURRENT: contextvars.ContextVar[Made] = contextvars.ContextVar("made")


async def _count_request(_: object) -> None:
    _CURRENT.get().requests += 1


async def _note_call(response: object) -> None:
    headers = getattr(response, "headers", {})
    if call_id := headers.get("x-joulegate-call-id"):
        _CURRENT.get().call_ids.append(call_id)


def _client(gate_url: str, team: str, key: str | None) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{gate_url}/v1",
        api_key=key or "demo-key-of-the-provider",
        default_headers={} if key is not None else {"x-joulegate-team": team},
        max_retries=2,
        timeout=TIMEOUT_S,
        http_client=openai.DefaultAsyncHttpxClient(
            event_hooks={"request": [_count_request], "response": [_note_call]},
            trust_env=False,  # a proxy of the environment has no business between loopback addresses
        ),
    )


def _headers(team: str, habit: Habit, dice: random.Random) -> dict[str, str]:
    return {
        "x-joulegate-project": dice.choice(TEAMS[team].projects),
        "x-joulegate-user": f"{team}-{dice.randint(1, 5)}",
        "x-joulegate-tags": f"env={dice.choice(('prod', 'prod', 'staging'))}",
        **habit.headers,
    }


async def _set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
