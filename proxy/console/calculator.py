"""The calculator in the console: its page, what it needs beside it, and means of one's own traffic to begin with."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

import proxy.calculator
from estimator import Intensity, resolve
from proxy.calculator.asked import Asked, AskedError, asked_of
from proxy.calculator.documents import served
from proxy.calculator.own import Own
from proxy.console.describing import get, list_of
from proxy.console.frame import heading
from proxy.console.guard import HEADERS
from proxy.ledger import read
from proxy.ledger.read import Totals
from proxy.reports.period import QuestionError

_STATIC: Final = Path(proxy.calculator.__file__).parent / "static"
_POLICY: Final = HEADERS["content-security-policy"].replace("form-action 'none'", "form-action 'self'")
DAYS: Final = 30
MODELS: Final = 50  # that are given at most
PREPARED_AFTER_S: Final = 1.0


class Mean(msgspec.Struct, kw_only=True, frozen=True):
    """One model at one provider: its mean call; ``reason`` says why there is none."""

    provider: str | None
    model: str | None
    card: str | None  # the model as the calculator calls it; null where nothing is known of it
    calls: int  # with token counts
    calls_per_day: float  # all of them, over the days since the first call
    input_tokens: float | None
    cached_input_tokens: float | None
    output_tokens: float | None
    reason: str | None


class Calculator:
    """The endpoints."""

    def __init__(
        self,
        engine: Engine,
        now: Callable[[], datetime],
        configured: Callable[[datetime], Own | None],
        hours: Callable[[datetime], Sequence[Intensity]],
    ) -> None:
        self._engine, self._now, self._configured, self._hours = engine, now, configured, hours
        self._own: tuple[date, Own | None] | None = None
        self._prepared = False

    def _today(self) -> Own | None:
        """Give the configuration with today's prices."""
        now = self._now()
        if self._own is None or self._own[0] != now.date():
            self._own = now.date(), self._configured(now)
        return self._own[1]

    def routes(self) -> list[BaseRoute]:
        """Give what the console serves of it."""
        return [
            Route("/calculator", self.page),
            Route("/api/traffic", self.traffic),
            Mount("/calculator/static", StaticFiles(directory=_STATIC)),
        ]

    def prepare(self) -> None:
        """Make the calculator's facts ready in a while, off the way of who looks at another page: it takes a second."""
        if not self._prepared:
            self._prepared = True
            timer = threading.Timer(PREPARED_AFTER_S, lambda: served(Asked(), own=self._today()))
            timer.daemon = True
            timer.start()

    async def page(self, request: Request) -> Response:
        """Answer with the page, filled in as the query asks."""
        query = request.query_params

        def draw() -> str:
            own = self._today()
            try:
                asked = asked_of(query, own)
            except AskedError as error:
                raise QuestionError(str(error)) from error
            hours = self._hours(self._now())
            return served(asked, heading=heading("/calculator"), audit="audit" in query, own=own, hours=hours)

        return HTMLResponse(await run_in_threadpool(draw), headers={"content-security-policy": _POLICY})

    async def traffic(self, _: Request) -> Response:
        """Answer with the mean call of each model of the last days, the most called first."""
        now = self._now()
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        start, end = midnight - timedelta(days=DAYS), midnight + timedelta(days=1)  # whole days, as sums are kept

        def ask() -> list[Mean]:
            with self._engine.connect() as connection:
                groups, days = read.splits(
                    connection,
                    (("provider", "model"), ("day",)),
                    start=start,
                    end=end,
                    zone=ZoneInfo("UTC"),
                    sums_only=True,
                )
            called = [str(day.key[0]) for day in days if day.calls]
            first = datetime.fromisoformat(min(called)).replace(tzinfo=UTC) if called else now
            elapsed = max(1.0, (now - max(start, first)) / timedelta(days=1))
            groups.sort(key=lambda group: (-group.calls, group.key[1] or "", group.key[0] or ""))
            own = self._today()
            return [_mean(group, elapsed, own) for group in groups[:MODELS] if group.calls]

        means = await run_in_threadpool(ask)
        body = msgspec.json.encode({"from": start, "to": now, "models": means})
        return Response(body, media_type="application/json")


def paths() -> dict[str, Any]:
    """Describe the API's part of it (OpenAPI)."""
    moment = {"type": "string", "format": "date-time"}
    return {
        "/api/traffic": get(
            "The mean call of each model over the last 30 days, for the calculator; the most called first.",
            {
                "type": "object",
                "properties": {"from": moment, "to": moment, "models": list_of("Mean")},
                "required": ["from", "to", "models"],
            },
        )
    }


def _mean(total: Totals, days: float, own: Own | None) -> Mean:
    provider, model = total.key
    counted = total.reported_calls + total.counted_calls + total.inferred_calls
    card = None if model is None else resolve(model, provider)
    known_as = None if card is None else card.id
    if model is not None and own is not None:
        known_as = own.names.get(model.lower(), known_as)

    def per_call(tokens: int | None) -> float | None:
        return None if tokens is None or not counted else tokens / counted

    reason = None
    if model is None:
        reason = "no call said which model"
    elif not counted or total.input_tokens is None:
        reason = "no call has token counts"
    return Mean(
        provider=provider,
        model=model,
        card=known_as,
        calls=counted,
        calls_per_day=total.calls / days,
        input_tokens=per_call(total.input_tokens),
        cached_input_tokens=per_call(total.cached_input_tokens),
        output_tokens=per_call(total.output_tokens),
        reason=reason,
    )
