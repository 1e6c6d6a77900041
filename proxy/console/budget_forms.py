"""Budgets made, changed and taken out of use on a page, by the functions that the API and the command have.

Plain forms: each is sent, answered with a redirection where it was done, and else drawn again with what was typed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from html import escape
from urllib.parse import urlencode

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from proxy.console.access import Access
from proxy.console.budget_fields import (
    CHANGED,
    NEW,
    SCOPE,
    WINDOWS,
    Fields,
    Wrong,
    said,
    typed_of,
    unit_named,
    wrong_of,
)
from proxy.console.budgets_page import amount_of
from proxy.console.forms import fields_of, genuine, token_field
from proxy.console.frame import answer, sorry
from proxy.console.guard import actor_of
from proxy.console.marks import name as named
from proxy.directory import budgets, keys, teams
from proxy.errors import DirectoryError
from proxy.ledger.budget_states import BudgetShown, states

PATH = "/budgets"
_OFFERED = 200  # of teams, and of keys
_BY = ("name", *SCOPE, "limit", "unit", "window", "tz", "mode", "thresholds")
_STATUS = {"invalid": 400, "missing": 404, "conflict": 409}
_OLD = Wrong(
    "", "This form is older than the console, or of another session. Nothing was changed: look it over, send it again."
)
_AWAY = Wrong("", "The ledger cannot be written at the moment. Send it again in a while.")


class BudgetForms:
    """The pages; ``access`` knows which forms are ours, ``tz`` is whose days are proposed."""

    def __init__(self, engine: Engine, access: Access, now: Callable[[], datetime], tz: str) -> None:
        self._engine, self._access, self._now, self._tz = engine, access, now, tz

    def routes(self) -> list[Route]:
        """Give what the console serves of it; a budget's name stands in the query, whatever it is."""
        return [
            Route(f"{PATH}/add", self.add, methods=["GET", "POST"]),
            Route(f"{PATH}/change", self.change, methods=["GET", "POST"]),
            Route(f"{PATH}/remove", self.remove, methods=["GET", "POST"]),
        ]

    async def add(self, request: Request) -> Response:
        """Ask what a budget is to be, or make it."""
        if request.method != "POST":
            asked = {key: text for key in _BY if (text := request.query_params.get(key))}
            return await self._adding(request, NEW | {"tz": self._tz} | asked)
        fields = await fields_of(request)

        def act() -> None:
            asked = budgets.wanted(said(fields, _BY), tz=self._tz)
            budgets.add(self._engine, asked, actor=actor_of(request.scope), at=self._now())

        wrong, status = await self._done(request, fields, act)
        if wrong is None:
            return _back(added=fields["name"].strip())
        return await self._adding(request, fields, wrong, status)

    async def change(self, request: Request) -> Response:
        """Ask what is to be another way of a budget, or make it so."""
        name = request.query_params.get("name", "")
        found = await self._found(request, name)
        if isinstance(found, Response):
            return found
        if request.method != "POST":
            return self._changing(request, found, typed_of(found))
        fields = await fields_of(request)

        def act() -> None:
            asked = said(fields, CHANGED)
            if found.unit != "concurrent_requests":
                asked.setdefault("window", None)
            budgets.change(
                self._engine, name, budgets.change_wanted(asked), actor=actor_of(request.scope), at=self._now()
            )

        wrong, status = await self._done(request, fields, act)
        return _back(changed=name) if wrong is None else self._changing(request, found, fields, wrong, status)

    async def remove(self, request: Request) -> Response:
        """Ask whether a budget is to go, or take it out of use."""
        name = request.query_params.get("name", "")
        found = await self._found(request, name)
        if isinstance(found, Response):
            return found
        wrong, status = None, 200
        if request.method == "POST":

            def act() -> None:
                budgets.remove(self._engine, name, actor=actor_of(request.scope), at=self._now())

            wrong, status = await self._done(request, await fields_of(request), act)
            if wrong is None:
                return _back(removed=name)
        return self._removing(request, found, wrong, status)

    async def _done(
        self, request: Request, fields: Mapping[str, str], act: Callable[[], None]
    ) -> tuple[Wrong | None, int]:
        """Do what a form asks for; gives what is wrong, and the answer's status."""
        if not genuine(self._access, request, fields):
            return _OLD, 403
        try:
            await run_in_threadpool(act)
        except DirectoryError as error:
            return wrong_of(error), _STATUS[error.why]
        except SQLAlchemyError:
            return _AWAY, 503
        return None, 200

    async def _found(self, request: Request, name: str) -> BudgetShown | Response:
        """Read a budget that can be changed here, or say why there is none."""

        def read() -> BudgetShown:
            with self._engine.connect() as connection:
                budgets.changeable(connection, name)
                return states(connection, self._now(), (name,))[0]

        try:
            return await run_in_threadpool(read)
        except DirectoryError as error:
            page = sorry(str(error), f'<a href="{PATH}">The budgets in use</a>')
            return answer(request, "That cannot be changed here", page, place=PATH, status=_STATUS[error.why])

    async def _adding(
        self, request: Request, typed: Mapping[str, str], wrong: Wrong | None = None, status: int = 200
    ) -> Response:
        def offered() -> dict[str, list[str]]:
            try:
                with self._engine.connect() as connection:
                    found, _ = keys.page(connection, state="active", limit=_OFFERED, now=self._now())
                    return {"team": teams.names(connection, _OFFERED), "key": [key.id for key in found]}
            except SQLAlchemyError:
                return {}

        draw = Fields(typed, wrong, await run_in_threadpool(offered) | {"window": list(WINDOWS)})
        windows = draw.windows("; none of requests at once")
        body = (
            f"{draw.summary('The budget was not made.')}"
            f'<form class="edit" method="post" action="{PATH}/add">{token_field(self._access, request)}'
            f"{draw.name()}{draw.scope()}"
            f'<fieldset><legend>How much</legend><div class="row">{draw.limit()}{draw.unit()}{windows}</div>'
            f"</fieldset>{draw.mode()}{draw.thresholds()}"
            f'<p class="act"><button type="submit">Make the budget</button> <a href="{PATH}">Back without it</a></p>'
            "</form>"
        )
        return answer(request, "A new budget", f"{_ABOUT}{body}", place=PATH, status=status)

    def _changing(
        self,
        request: Request,
        budget: BudgetShown,
        typed: Mapping[str, str],
        wrong: Wrong | None = None,
        status: int = 200,
    ) -> Response:
        draw = Fields(typed, wrong, {"window": list(WINDOWS)})
        windows = "" if budget.unit == "concurrent_requests" else draw.windows()
        mode = "" if budget.unit == "concurrent_requests" else draw.mode()
        body = (
            f"{_standing(budget)}{draw.summary('The budget was not changed.')}"
            f'<form class="edit" method="post" action="{_address("change", budget)}">'
            f"{token_field(self._access, request)}"
            f'<fieldset><legend>How much</legend><div class="row">{draw.limit(f"in {unit_named(budget.unit)}")}'
            f'{windows}</div><p class="hint">Another amount is for what is used already, too; with another window or'
            f" zone the calls there are are counted anew.</p></fieldset>{mode}{draw.thresholds()}"
            '<p class="act"><button type="submit">Change the budget</button>'
            f' <a href="{PATH}">Leave it as it is</a> <a href="{_address("remove", budget)}">Remove it …</a></p></form>'
        )
        return answer(request, f"Budget {budget.name}", body, place=PATH, status=status)

    def _removing(self, request: Request, budget: BudgetShown, wrong: Wrong | None, status: int) -> Response:
        refuses = " Calls that it refuses now go through again." if budget.mode == "hard" else ""
        body = (
            f"{_standing(budget)}{Fields({}, wrong).summary('The budget was not removed.')}"
            f"<p>Nothing is held to it any more, on all machines within seconds.{refuses} What calls have used stays in"
            " every report, and a budget of the same name made later counts the calls of its window so far.</p>"
            f'<form class="edit" method="post" action="{_address("remove", budget)}">'
            f'{token_field(self._access, request)}<p class="act"><button type="submit" class="grave">Remove the budget'
            f'</button> <a href="{PATH}">Keep it</a></p></form>'
        )
        return answer(request, f"Remove budget {budget.name}?", body, place=PATH, status=status)


_ABOUT = (
    '<p class="soft">Gates of all machines go by it within seconds; the calls of its window so far are counted.'
    " Who has a key of ours is bound by it; others say themselves whose calls theirs are.</p>"
)


def _back(**done: str) -> Response:
    return RedirectResponse(f"{PATH}?{urlencode(done)}", status_code=303)


def _address(what: str, budget: BudgetShown) -> str:
    return escape(f"{PATH}/{what}?{urlencode({'name': budget.name})}")


def _standing(budget: BudgetShown) -> str:
    """Say what a budget is, and how much of it is used."""
    whose = ", ".join(f"{key} {named(who)}" for key in SCOPE if (who := getattr(budget, key)) is not None)
    window = "" if budget.window is None else f", window {escape(budget.window)}"
    used = "" if budget.used is None else f" Used so far: {amount_of(budget.used, budget)}."
    return f"<p>Calls of {whose}: {amount_of(budget.limit, budget)}{window}.{used}</p>"
