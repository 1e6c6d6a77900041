"""The console as an ASGI application; of the ledger it changes teams, keys and budgets, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

import msgspec
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from estimator import Intensity
from proxy.calculator.own import Own
from proxy.console import api, pages
from proxy.console.access import Access
from proxy.console.asking import PERIOD, flag, require_known, whole
from proxy.console.budget_forms import BudgetForms
from proxy.console.budgets import Budgets
from proxy.console.calculator import Calculator
from proxy.console.directory import Directory, refused
from proxy.console.frame import PLACES, answer, sorry, wants_page
from proxy.console.guard import SESSION, Guard
from proxy.console.health import Health, Recording, health, said
from proxy.console.live import Draw, event, follow
from proxy.console.recent import RecentCalls
from proxy.console.reports import Reports
from proxy.console.screens import Screens
from proxy.console.signing_in import SigningIn
from proxy.console.tables import call_rows
from proxy.console.today import Sums, Today
from proxy.errors import DirectoryError, NoSumsError, RowsGoneError
from proxy.ledger import read
from proxy.ledger.evidence import Evidence
from proxy.ledger.row import Estimator
from proxy.ledger.tables import CallRow
from proxy.metrics import CONTENT_TYPE, Metrics
from proxy.reports import split
from proxy.reports.conversations import Estimating
from proxy.reports.period import Period, QuestionError, parse, today, zone_named

_NUMBER_MOST = 2**63 - 1  # of a call, in the order in which they were recorded here
_STATIC = Path(__file__).parent / "static"


class Json(Response):
    """A JSON reply."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        """Encode with msgspec."""
        return msgspec.json.encode(content)


def build_console(
    *,
    engine: Engine,
    metrics: Metrics,
    recent: RecentCalls,
    recorder: Recording,
    gate_url: str,
    names: Collection[str] = (),
    access: Access | None = None,
    providers: Collection[str] = (),
    estimate: Estimating,
    estimate_call: Estimator,
    configured: Callable[[datetime], Own | None] = lambda at: None,
    hours: Callable[[datetime], Sequence[Intensity]] = lambda at: (),
    key_problems: Callable[[], Sequence[str]] = list,
    budget_problems: Callable[[], Sequence[str]] = list,
    closing: Callable[[], bool] = lambda: False,
    tz: str = "UTC",
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Starlette:
    """Build the application.

    ``gate_url`` is shown to newcomers (no path). ``names`` are host names besides loopback's that it
    answers to on a loopback address. ``access`` knows who may use it: everybody, where it is not given.
    ``providers`` are those that a key may be limited to; ``estimate`` is what the service estimates
    supposed calls with, ``estimate_call`` stored ones.
    ``configured`` gives the configuration as the calculator takes it, with the prices of a day, ``hours`` what is
    known of the grids in an hour.
    ``key_problems`` says why keys are not in force as they should be, ``budget_problems`` which budgets are not kept
    and why. Open streams end when ``closing()`` is true.
    ``tz`` is whose days are meant where nobody says.
    """

    def judged() -> Health:
        return health(recorder, key_problems(), budget_problems())

    access = access or Access({})
    evidence = Evidence()
    calculator = Calculator(engine, now, configured, hours)
    console = _Console(engine, evidence, calculator.prepare, metrics, recent, judged, gate_url, closing, now, tz)
    return Starlette(
        routes=[
            Route("/", console.page),
            Route("/live", console.live),
            Route("/metrics", console.metrics),
            Route("/healthz", console.healthz),
            Route("/api/calls", console.calls),
            Route("/api/totals", console.totals),
            Route("/api/health", console.health),
            Route("/api/live", console.api_live),
            Route("/api/openapi.json", console.openapi),
            *Budgets(engine, now, tz).routes(),
            *BudgetForms(engine, access, now, tz).routes(),
            *Directory(engine, providers, now).routes(),
            *Screens(engine, evidence, estimate_call, judged, now, tz).routes(),
            *Reports(engine, estimate, now, lambda: said(judged()), tz).routes(),
            *calculator.routes(),
            *SigningIn(access).routes(),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[Middleware(Guard, access=access, names=names)],
        exception_handlers={
            DirectoryError: refused,
            QuestionError: _bad_question,
            SQLAlchemyError: _ledger_away,
            404: _nowhere,
        },
    )


class _Console:
    """The endpoints and what they share."""

    def __init__(
        self,
        engine: Engine,
        evidence: Evidence,
        on_page: Callable[[], None],
        metrics: Metrics,
        recent: RecentCalls,
        judged: Callable[[], Health],
        gate_url: str,
        closing: Callable[[], bool],
        now: Callable[[], datetime],
        tz: str,
    ) -> None:
        self._engine = engine
        self._on_page = on_page
        self._metrics = metrics
        self._recent = recent
        self._judged = judged
        self._gate_url = gate_url
        self._closing = closing
        self._now, self._tz = now, tz
        self._today = Today(engine, evidence, now=now)

    async def page(self, request: Request) -> Response:
        zone = zone_named(request.query_params.get("tz", self._tz))

        def draw() -> str:
            after, calls = self._latest(pages.CALLS_SHOWN)
            return pages.page(
                sums=self._sums(zone.key),
                health=self._judged(),
                calls=calls,
                after=after,
                pulse=self._recent.pulse,
                gate_url=self._gate_url,
                signed_in=SESSION in request.scope,
            )

        self._on_page()
        return HTMLResponse(await run_in_threadpool(draw))

    async def live(self, request: Request) -> Response:
        zone = zone_named(request.query_params.get("tz", self._tz))

        async def sums() -> str:
            return pages.today_section(await run_in_threadpool(self._sums, zone.key))

        async def line() -> str:
            return pages.health_line(self._judged())

        async def pulse() -> str:
            return self._recent.pulse.section()

        def written(rows: list[CallRow], number: int) -> bytes:
            return event("calls", call_rows(rows[: pages.CALLS_SHOWN]), number)

        return self._stream(request, written, {"pulse": pulse, "today": sums, "health": line})

    async def api_live(self, request: Request) -> Response:
        def written(rows: list[CallRow], number: int) -> bytes:
            first = number - len(rows) + 1
            return b"".join(
                event("call", msgspec.json.encode(api.call_json(row)).decode(), first + position)
                for position, row in enumerate(reversed(rows))
            )

        return self._stream(request, written, {})

    async def metrics(self, _: Request) -> Response:
        # Rendering holds the interpreter for tens of milliseconds; elsewhere it would hold the event loop.
        return Response(await run_in_threadpool(self._metrics.render), media_type=CONTENT_TYPE)

    async def healthz(self, _: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def health(self, _: Request) -> Response:
        return Json(self._judged())

    async def calls(self, request: Request) -> Response:
        limit = _limit(request.query_params.get("limit", "50"))
        _, rows = await run_in_threadpool(self._latest, limit)
        return Json({"calls": [api.call_json(row) for row in rows]})

    async def totals(self, request: Request) -> Response:
        asked = request.query_params
        require_known(asked, "by", *PERIOD)
        by = split.dimensions(asked.get("by", ""))
        period = self._period(asked.get("month"), asked.get("from"), asked.get("to"), asked.get("tz", self._tz))
        from_calls = flag(asked, "from_calls")

        def ask() -> object:
            with self._engine.connect() as connection:
                found = split.split(connection, by, period, from_calls=from_calls)
            return api.totals_json(by, period, found.groups, found.total)

        return Json(await run_in_threadpool(ask))

    async def openapi(self, _: Request) -> Response:
        return Json(api.openapi())

    def _stream(
        self, request: Request, written: Callable[[list[CallRow], int], bytes], redrawn: dict[str, Draw]
    ) -> Response:
        after = request.headers.get("last-event-id") or request.query_params.get("after", "")
        number = whole(after, _NUMBER_MOST)
        number = self._recent.latest(0)[0] if number is None else number
        events = follow(self._recent, number, written=written, redrawn=redrawn, closing=self._closing)
        return StreamingResponse(events, media_type="text/event-stream", headers={"x-accel-buffering": "no"})

    def _period(self, month: str | None, start: str | None, end: str | None, tz: str) -> Period:
        if month is None and start is None and end is None:
            return today(self._now(), zone_named(tz))
        return parse(month=month, start=start, end=end, tz=tz, now=self._now())

    def _latest(self, limit: int) -> tuple[int, list[CallRow]]:
        """Give the last calls, at first also those that an earlier process recorded."""
        if not self._recent.seeded:
            try:
                with self._engine.connect() as connection:
                    self._recent.seed(read.recent(connection, limit=api.CALLS_MOST))
            except SQLAlchemyError:
                pass  # not there yet, or away: the next page tries again
        return self._recent.latest(limit)

    def _sums(self, tz: str) -> Sums | None:
        try:
            return self._today.sums(zone_named(tz))
        except SQLAlchemyError:
            return None


def _limit(text: str) -> int:
    found = whole(text, api.CALLS_MOST)
    if found:
        return found
    raise QuestionError(f"limit={text[:64]!r}: give a whole number from 1 to {api.CALLS_MOST}")


def _bad_question(request: Request, error: Exception) -> Response:
    cause = error.__cause__
    if not isinstance(cause, NoSumsError) or isinstance(cause, RowsGoneError):
        return _failed(request, 400, str(error))
    query = escape(request.url.include_query_params(from_calls="true").query)
    return _failed(request, 400, str(error), f'<a href="?{query}">Have the calls read</a>, which takes longer')


def _ledger_away(request: Request, _: Exception) -> Response:
    return _failed(request, 503, "the ledger cannot be read at the moment")


def _nowhere(request: Request, _: Exception) -> Response:
    if not wants_page(request):
        return PlainTextResponse("Not Found", status_code=404)
    return answer(request, "Nothing here", sorry("There is no such page.", _TO_LIVE), place="", status=404)


_TO_LIVE = '<a href="/">Live</a>'


def _failed(request: Request, status: int, message: str, *ways_out: str) -> Response:
    """Say what is wrong: to a program as JSON, on a page to who opened an address that a page of ours gave them."""
    if not wants_page(request):
        return Json({"error": {"message": message}}, status_code=status)
    place = next((path for path, _ in PLACES if path != "/" and path in request.url.path), "/")
    return answer(
        request,
        "That cannot be shown",
        sorry(message, " · ".join([*ways_out, f'<a href="{place}">Begin again</a>'])),
        place=place,
        status=status,
    )
