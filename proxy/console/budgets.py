"""How budgets stand, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import msgspec
from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proxy.console.describing import Json, get, list_of
from proxy.ledger.budget_states import BudgetShown, states

TYPES = (BudgetShown,)


class BudgetStates:
    """The endpoint."""

    def __init__(self, engine: Engine, now: Callable[[], datetime]) -> None:
        self._engine, self._now = engine, now

    def routes(self) -> list[Route]:
        """Give what the console serves of it."""
        return [Route("/api/budgets", self.list)]

    async def list(self, _: Request) -> Response:
        """Answer with all budgets in use."""

        def ask() -> bytes:
            with self._engine.connect() as connection:
                return msgspec.json.encode({"budgets": states(connection, self._now())})

        return Response(await run_in_threadpool(ask), media_type="application/json")


def paths() -> Json:
    """Describe it."""
    listed: Json = {"type": "object", "required": ["budgets"], "properties": {"budgets": list_of("BudgetShown")}}
    return {"/api/budgets": get("Budgets in use, by name, and how they stand; amounts are decimal strings.", listed)}
