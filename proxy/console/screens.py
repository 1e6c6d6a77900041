"""The console's further pages. Each is asked for by its address alone, read in a thread, and says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from html import escape

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from estimator import Estimate, Usage
from proxy.console import calls, explore
from proxy.console.frame import answer
from proxy.ledger.row import Estimator
from proxy.ledger.tables import CallRow
from proxy.reports.period import QuestionError


class Screens:
    """The endpoints; ``estimate`` is what the service estimates calls with."""

    def __init__(self, engine: Engine, estimate: Estimator, now: Callable[[], datetime]) -> None:
        self._engine, self._estimate, self._now = engine, estimate, now

    def routes(self) -> list[Route]:
        """Give what the console serves of it."""
        return [
            Route("/explore", self.explore),
            Route("/calls", self.calls),
            Route("/calls/{id}", self.call),
        ]

    async def explore(self, request: Request) -> Response:
        """Answer with sums, and where each leads."""
        return await self._page(
            request,
            "Explore",
            lambda c: explore.page_body(c, explore.question(request.query_params), self._now()),
            place="/explore",
        )

    async def calls(self, request: Request) -> Response:
        """Answer with calls that fit."""
        return await self._page(
            request,
            "Calls",
            lambda c: calls.list_body(c, request.query_params, self._now()),
            place="/explore",
        )

    async def call(self, request: Request) -> Response:
        """Answer with one call."""
        call_id = request.path_params["id"]
        return await self._page(
            request,
            "One call",
            lambda c: calls.call_body(c, call_id, self._anew),
            place="/explore",
            missing="There is no such call. It may be too old: sums are kept longer than calls are. "
            "A call that has just ended is here within a second.",
        )

    def _anew(self, row: CallRow, usage: Usage) -> Estimate:
        return self._estimate(
            usage,
            row.model or row.model_requested or "",
            provider=row.provider,
            zone=row.zone,
            at=row.started_at,
            service_tier=row.service_tier,
            region=row.region,
        )

    async def _page(
        self,
        request: Request,
        title: str,
        draw: Callable[[Connection], str | None],
        *,
        place: str,
        missing: str = "",
    ) -> Response:
        def read() -> tuple[int, str]:
            try:
                with self._engine.connect() as connection:
                    body = draw(connection)
            except QuestionError as error:
                return 400, _sorry(str(error), f'<a href="{request.url.path}">Begin again</a>')
            except SQLAlchemyError:
                return 503, _sorry("The ledger cannot be read at the moment; calls are kept and will be there.")
            return (200, body) if body is not None else (404, _sorry(missing, '<a href="/calls">The last calls</a>'))

        status, body = await run_in_threadpool(read)
        return answer(request, title, body, place=place, status=status)


def _sorry(words: str, way_out: str = "") -> str:
    """Say what is wrong, and what to do; ``way_out`` is HTML."""
    return f'<section class="empty" role="alert"><p>{escape(words)}</p><p>{way_out}</p></section>'
