"""The reports of ``joulegate report`` over HTTP: as JSON or CSV for programs, a statement as a page for people."""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import datetime

from sqlalchemy import Engine
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proxy.console.asking import PERIOD, flag, require_known, whole
from proxy.directory.rows import team_by_name
from proxy.directory.teams import names
from proxy.errors import ConfigError
from proxy.reports import report_page, table
from proxy.reports.conversations import Estimating
from proxy.reports.making import NAMES, question_of
from proxy.reports.page import content_security_policy
from proxy.reports.pdf import as_pdf
from proxy.reports.period import Period, QuestionError, parse
from proxy.reports.statement import statement
from proxy.reports.statement_page import as_html
from proxy.reports.table import Report
from proxy.reports.words import Words

FORMS = {  # how a report is written, and whether a browser shows it or keeps it
    "json": ("application/json", False),
    "csv": ("text/csv", True),
    "parquet": ("application/vnd.apache.parquet", True),
    "html": ("text/html; charset=utf-8", False),
    "pdf": ("application/pdf", True),
}
FOR_PROGRAMS = ("json", "csv", "parquet")  # that FOCUS has alone: nobody reads its fifty columns
_ASKED = ("by", "where", "allocate", "assume", "per_day", "grids", "format", *PERIOD)
_SEVERAL = ("where", "allocate", "assume")
_PER_DAY_MOST = 10**12  # conversations
TEAMS_NAMED_AT_MOST = 50  # where somebody asks for one that there is not


class Reports:
    """The endpoints; every team of the directory may have a statement without a call.

    ``standing`` says how the metering stands, which belongs beside every figure; ``tz`` is whose days are meant where
    nobody says.
    """

    def __init__(
        self, engine: Engine, estimate: Estimating, now: Callable[[], datetime], standing: Callable[[], str], tz: str
    ) -> None:
        self._engine, self._estimate, self._now, self._standing, self._tz = engine, estimate, now, standing, tz

    def routes(self) -> list[Route]:
        """Give what the console serves of it."""
        return [Route("/api/reports/{name}", self.report), Route("/reports/statement", self.statement)]

    async def report(self, request: Request) -> Response:
        """Answer with a report; its notes, which CSV has no place for, are in JSON alone."""
        asked, name = request.query_params, request.path_params["name"]
        if name not in NAMES:
            raise QuestionError(f"no report {name!r}: there are {', '.join(NAMES)}, and the page /reports/statement")
        require_known(asked, *_ASKED, several=_SEVERAL)
        form = _form(asked.get("format", "json"), FOR_PROGRAMS if name == "focus" else FORMS)
        words = Words(
            by=asked.get("by"),
            where=asked.getlist("where"),
            allocate=asked.getlist("allocate"),
            assume=asked.getlist("assume"),
            per_day=_whole(asked.get("per_day")),
            grids=asked.get("grids"),
            from_calls=flag(asked, "from_calls"),
        )
        question = question_of(name, words, self._estimate, self._now())
        period = self._period(request)

        def ask() -> bytes:
            if question.alone is not None:
                made = question.alone()
            else:
                with self._engine.connect() as connection:
                    made = question.ask(connection, period, self._standing())
            return _written(made, form, self._now())

        return _reply(await run_in_threadpool(ask), form, name, period)

    async def statement(self, request: Request) -> Response:
        """Answer with the statement of a team, or of all of them."""
        require_known(request.query_params, "team", "format", *PERIOD)
        period, team = self._period(request), request.query_params.get("team")
        form = _form(request.query_params.get("format", "html"), ("html", "pdf"))
        from_calls = flag(request.query_params, "from_calls")

        def ask() -> bytes:
            with self._engine.connect() as connection:
                known = set(names(connection, TEAMS_NAMED_AT_MOST))
                if team is not None and team_by_name(connection, team) is not None:
                    known.add(team)
                made = statement(
                    connection,
                    period,
                    team=team,
                    known_teams=known,
                    now=self._now(),
                    service=self._standing(),
                    from_calls=from_calls,
                )
            return _page(as_html(made), form)

        return _reply(await run_in_threadpool(ask), form, "statement", period)

    def _period(self, request: Request) -> Period:
        asked = request.query_params
        return parse(
            month=asked.get("month"),
            start=asked.get("from"),
            end=asked.get("to"),
            tz=asked.get("tz", self._tz),
            now=self._now(),
        )


def _whole(text: str | None) -> int | None:
    found = None if text is None else whole(text, _PER_DAY_MOST)
    if text is not None and found is None:
        raise QuestionError(f"per_day={text[:64]!r}: give a whole number up to {_PER_DAY_MOST:,}")
    return found


def _form(asked: str, forms: Collection[str]) -> str:
    if asked not in forms:
        raise QuestionError(f"format={asked!r}: choose from {', '.join(forms)}")
    return asked


def _written(made: Report, form: str, now: datetime) -> bytes:
    """Write a report; raises QuestionError where what its form needs is not installed."""
    match form:
        case "json":
            return table.as_json(made)
        case "csv":
            return table.as_csv(made).encode()
        case "parquet":
            try:
                from proxy.reports.parquet import as_parquet
            except ImportError:
                raise QuestionError("Parquet cannot be written here: install joulegate[parquet]") from None
            return as_parquet(made)
        case _:
            return _page(report_page.as_html(made, now), form)


def _page(text: str, form: str) -> bytes:
    if form == "html":
        return text.encode()
    try:
        return as_pdf(text)
    except ConfigError as error:
        raise QuestionError(str(error)) from None


def _reply(body: bytes, form: str, name: str, period: Period) -> Response:
    media_type, kept = FORMS[form]
    headers = {}
    if form == "html":
        headers["content-security-policy"] = content_security_policy()
    if kept:
        first, last = period.ends()
        headers["content-disposition"] = f'attachment; filename="{name}-{first[:10]}-{last[:10]}.{form}"'
    return Response(body, media_type=media_type, headers=headers)
