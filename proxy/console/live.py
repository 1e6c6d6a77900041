"""Server-sent events: what comes in while a page is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from proxy.console.recent import RecentCalls
from proxy.ledger.tables import CallRow

LOOK_SECONDS = 0.25  # how often an open page looks for new calls
BEAT_SECONDS = 15.0  # something is sent at least this often, so that a dead connection is noticed
REDRAW_SECONDS = 2.0  # sums and health change at most this often

Draw = Callable[[], Awaitable[str]]


def event(name: str, data: str, number: int | None = None) -> bytes:
    """Frame one event; a browser that reconnects tells the last number it got."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    identity = "" if number is None else f"id: {number}\n"
    return f"event: {name}\n{identity}{lines}\n".encode()


async def follow(
    recent: RecentCalls,
    after: int,
    *,
    written: Callable[[list[CallRow], int], bytes],
    redrawn: dict[str, Draw],
    closing: Callable[[], bool],
) -> AsyncIterator[bytes]:
    """Give events: the calls after ``after``, and each part in ``redrawn``, first at once and then when it changes."""
    number = after
    shown: dict[str, str] = {}
    yield b"retry: 1000\n\n"
    quiet, since_redraw = 0.0, REDRAW_SECONDS
    while not closing():
        number, rows = recent.after(number)
        out = [written(rows, number)] if rows else []
        if redrawn and since_redraw >= REDRAW_SECONDS:
            since_redraw = 0.0
            for name, draw in redrawn.items():
                text = await draw()
                if text != shown.get(name):
                    shown[name] = text
                    out.append(event(name, text))
        if quiet >= BEAT_SECONDS:
            out.append(b": still here\n\n")
        quiet = 0.0 if out else quiet + LOOK_SECONDS
        since_redraw += LOOK_SECONDS
        if out:
            yield b"".join(out)
        await asyncio.sleep(LOOK_SECONDS)
