"""The console's further pages. Each is asked for by its address alone, read in a thread, and says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from estimator import Estimate, Usage
from proxy.console import budgets_page, calls, choosing, explore, facts, health_page, teams
from proxy.console.frame import answer, script, sorry
from proxy.console.health import Health
from proxy.ledger.evidence import Evidence
from proxy.ledger.row import Estimator
from proxy.ledger.tables import CallRow
from proxy.reports.period import QuestionError


class Screens:
    """The endpoints; ``estimate`` is what the service estimates calls with, ``health`` how the metering is doing.

    ``tz``: whose days are meant where an address does not say.
    """

    def __init__(
        self,
        engine: Engine,
        evidence: Evidence,
        estimate: Estimator,
        health: Callable[[], Health],
        now: Callable[[], datetime],
        tz: str,
    ) -> None:
        self._engine, self._evidence, self._estimate = engine, evidence, estimate
        self._health, self._now, self._tz = health, now, tz

    def routes(self) -> list[Route]:
        """Give what the console serves of it."""
        return [
            Route("/explore", self.explore),
            Route("/calls", self.calls),
            Route("/calls/{id}", self.call),
            Route("/teams", self.teams),
            Route("/budgets", self.budgets),
            Route("/reports", self.reports),
            Route("/health", self.health),
            Route("/facts", self.facts),
        ]

    async def explore(self, request: Request) -> Response:
        """Answer with sums, and where each leads."""
        return await self._page(
            request,
            "Explore",
            lambda c: explore.page_body(
                c, explore.question(request.query_params, self._tz), self._now(), self._evidence
            ),
            place="/explore",
        )

    async def calls(self, request: Request) -> Response:
        """Answer with calls that fit."""
        return await self._page(
            request,
            "Calls",
            lambda c: calls.list_body(c, request.query_params, self._now(), self._tz),
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

    async def teams(self, request: Request) -> Response:
        """Answer with each team's month."""
        asked = request.query_params
        return await self._page(
            request, "Teams", lambda c: teams.page_body(c, asked, self._now(), self._evidence, self._tz), place="/teams"
        )

    async def budgets(self, request: Request) -> Response:
        """Answer with how budgets stand."""
        asked = request.query_params
        return await self._page(
            request,
            "Budgets",
            lambda c: budgets_page.page_body(c, asked, self._now(), self._evidence),
            place="/budgets",
        )

    async def reports(self, request: Request) -> Response:
        """Answer with links to what can be made of the ledger."""
        asked = request.query_params
        return await self._page(
            request,
            "Reports",
            lambda c: choosing.page_body(c, asked, self._now(), self._tz),
            place="/reports",
            head=script("reports.js"),
        )

    async def health(self, request: Request) -> Response:
        """Answer with how the metering is doing; no ledger is needed for that."""
        return answer(request, "Health", health_page.page_body(self._health()), place="/health")

    async def facts(self, request: Request) -> Response:
        """Answer with what the estimates stand on."""
        asked = request.query_params
        return await self._page(request, "Facts", lambda c: facts.page_body(c, asked, self._now()), place="/facts")

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
        head: str = "",
    ) -> Response:
        def read() -> tuple[int, str]:
            try:
                with self._engine.connect() as connection:
                    body = draw(connection)
            except QuestionError as error:
                return 400, sorry(str(error), f'<a href="{request.url.path}">Begin again</a>')
            except SQLAlchemyError:
                return 503, sorry("The ledger cannot be read at the moment; calls are kept and will be there.")
            return (200, body) if body is not None else (404, sorry(missing, '<a href="/calls">The last calls</a>'))

        status, body = await run_in_threadpool(read)
        return answer(request, title, body, place=place, status=status, head=head if status == 200 else "")
