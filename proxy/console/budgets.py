"""Budgets over HTTP, as the commands have them: how they stand, made, changed and taken out of use."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proxy.console.describing import TEXT, Json, delete, found, get, in_path, list_of, patch, post, ref
from proxy.console.directory import body_of, json_reply
from proxy.console.guard import actor_of
from proxy.directory import budgets
from proxy.errors import DirectoryError
from proxy.ledger.budget_states import BudgetShown, states

TYPES = (BudgetShown, budgets.BudgetWanted, budgets.BudgetChange)
_BUDGET = in_path("name", "The budget.")


class Budgets:
    """The endpoints; ``tz`` is whose days are meant where nobody says."""

    def __init__(self, engine: Engine, now: Callable[[], datetime], tz: str) -> None:
        self._engine, self._now, self._tz = engine, now, tz

    def routes(self) -> list[Route]:
        """Give what the console serves of it."""
        return [
            Route("/api/budgets", self.list, methods=["GET"]),
            Route("/api/budgets", self.add, methods=["POST"]),
            Route("/api/budgets/{name}", self.budget, methods=["GET"]),
            Route("/api/budgets/{name}", self.change, methods=["PATCH"]),
            Route("/api/budgets/{name}", self.remove, methods=["DELETE"]),
        ]

    async def list(self, _: Request) -> Response:
        """Answer with all budgets in use."""

        def ask() -> object:
            with self._engine.connect() as connection:
                return {"budgets": states(connection, self._now())}

        return json_reply(await run_in_threadpool(ask))

    async def budget(self, request: Request) -> Response:
        """Answer with one of them."""
        return json_reply(await run_in_threadpool(self._shown, request.path_params["name"]))

    async def add(self, request: Request) -> Response:
        """Make one."""
        asked = budgets.wanted(await body_of(request, dict[str, object]), tz=self._tz)
        actor = actor_of(request.scope)
        await run_in_threadpool(budgets.add, self._engine, asked, actor=actor, at=self._now())
        return json_reply(await run_in_threadpool(self._shown, asked.name), 201)

    async def change(self, request: Request) -> Response:
        """Give one another limit, window, mode or thresholds."""
        asked = await body_of(request, budgets.BudgetChange)
        name, actor = request.path_params["name"], actor_of(request.scope)
        await run_in_threadpool(budgets.change, self._engine, name, asked, actor=actor, at=self._now())
        return json_reply(await run_in_threadpool(self._shown, name))

    async def remove(self, request: Request) -> Response:
        """Take one out of use."""
        name, actor = request.path_params["name"], actor_of(request.scope)
        await run_in_threadpool(budgets.remove, self._engine, name, actor=actor, at=self._now())
        return json_reply({"removed": name})

    def _shown(self, name: str) -> BudgetShown:
        with self._engine.connect() as connection:
            shown = states(connection, self._now(), (name,)) if "\0" not in name else []
        if not shown:
            raise DirectoryError("missing", "name", f"there is no budget {name[:64]!r} in use")
        return shown[0]


def paths() -> Json:
    """Describe them."""
    listed: Json = {"type": "object", "required": ["budgets"], "properties": {"budgets": list_of("BudgetShown")}}
    removed: Json = {"type": "object", "required": ["removed"], "properties": {"removed": TEXT}}
    shown = ref("BudgetShown")
    return {
        "/api/budgets": get("Budgets in use, by name, and how they stand; amounts are decimal strings.", listed)
        | post("Make a budget; gates go by it within seconds.", 201, shown, "BudgetWanted"),
        "/api/budgets/{name}": found("A budget.", shown, _BUDGET)
        | patch("Give a budget another limit, window, mode or thresholds.", shown, "BudgetChange", _BUDGET)
        | delete("Take a budget out of use.", removed, _BUDGET),
    }
