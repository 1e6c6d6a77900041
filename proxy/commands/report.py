"""``joulegate report``: what the ledger's calls cost, in dollars, joules, grams and liters."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeVar

import typer
from rich.console import Console

from proxy.checks import gate_says
from proxy.commands.export import INSTALL
from proxy.commands.patience import patience
from proxy.config import load
from proxy.errors import ConfigError, LedgerError
from proxy.reports.words import Words

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import Connection

    from proxy.reports.period import Period
    from proxy.reports.table import Report
    from proxy.sections import Config


T = TypeVar("T")
_READING, _WRITING = "reading the ledger", "writing the report"


class Name(StrEnum):
    """The reports there are."""

    COST = "cost"
    ENERGY = "energy"
    CARBON = "carbon"
    WATER = "water"
    FOCUS = "focus"
    SCI = "sci"
    GHG = "ghg"
    MODELS = "models"
    GRIDS = "grids"
    SCALE = "scale"
    STATEMENT = "statement"


class Form(StrEnum):
    """How a report is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    HTML = "html"
    PDF = "pdf"


def report(
    name: Annotated[Name, typer.Argument(help="What to report.", show_default=False)],
    by: Annotated[
        str | None,
        typer.Option(
            help="Dimensions to split by, separated by commas; empty: only the sum.",
            show_default="team,model; of ghg tier",
        ),
    ] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="DATE", help="First day (or moment).")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="DATE", help="Last day, included (or moment).")] = None,
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="One month; the current one by default.")] = None,
    tz: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Time zone that decides what a day is.", show_default="ledger.tz, else UTC"),
    ] = None,
    form: Annotated[
        Form | None,
        typer.Option(
            "--format",
            help="Table for people, html or pdf with charts; csv, json or parquet for programs.",
            show_default="table; of focus csv, of statement html",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    allocate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEAM=dollars|tokens",
            help="Of cost: spread this shared team's dollars over the others by their share of dollars or tokens.",
        ),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Only of calls with this team, model, …; with project= of calls without a project. Repeatable.",
        ),
    ] = None,
    assume: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL=READ+WRITTEN",
            help="Of models, grids, scale: a conversation of so many tokens; without MODEL= of the ledger's models.",
        ),
    ] = None,
    per_day: Annotated[
        int | None, typer.Option(help="Of scale: conversations a day; without it as many as the ledger has.")
    ] = None,
    grids: Annotated[
        str | None,
        typer.Option(metavar="ZONES", help="Of grids: which; of scale: the first.", show_default="WOR,GBR,FRA"),
    ] = None,
    team: Annotated[str | None, typer.Option(help="Of statement: whose; all teams without it.")] = None,
    from_calls: Annotated[
        bool,
        typer.Option("--from-calls", help="Where no sums are kept, read the calls themselves, however many they are."),
    ] = False,
    database: Annotated[str | None, typer.Option(metavar="URL", help="Ledger to read, if not the configured.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration; default: joulegate.toml here.")
    ] = None,
) -> None:
    """Report cost, energy, carbon or water of the metered calls, or their FOCUS, SCI and GHG Protocol forms.

    models, grids and scale show what a conversation takes, which is the mean call of a model or one that is assumed.

    Dollars are exact sums; joules, grams and liters are estimates.
    What the figures leave out stands under the table.

    For example:

    \b
    joulegate report cost --by team,model
    joulegate report energy --by day --month 2026-11 --tz Europe/Berlin
    joulegate report carbon --by provider --from 2026-11-01 --to 2026-11-15 --format csv
    joulegate report energy --by model --where team=search --where zone=DEU
    joulegate report cost --by user,day --from 2026-11-23 --tz Asia/Tokyo --from-calls
    joulegate report cost --by day --format pdf > november.pdf
    joulegate report cost --by team --allocate platform=tokens
    joulegate report scale --assume gpt-4o=2000+1000 --assume claude-opus-4=2000+1000 --per-day 1000000
    joulegate report focus --month 2026-11 > focus.csv
    joulegate report statement --team search --month 2026-11 > search.html
    joulegate report statement --month 2026-11 --format pdf > all-teams.pdf
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    if as_json and form not in (None, Form.JSON):
        raise ConfigError(f"--json and --format {form} contradict each other: give one of them")
    if name is Name.STATEMENT and (as_json or form not in (None, Form.HTML, Form.PDF)):
        raise ConfigError("a statement is for people: give --format html or pdf, or ask for the report you need of it")
    if team is not None and name is not Name.STATEMENT:
        raise ConfigError(f"--team is whose statement it is; of the report {name} give --where team={team}")
    if name is Name.STATEMENT and (by is not None or allocate or where or assume or per_day or grids):
        raise ConfigError("a statement has its own tables: leave out --by, --where and the like")
    if name is Name.FOCUS and form in (Form.TABLE, Form.HTML, Form.PDF):
        raise ConfigError("focus is a file for programs: give --format csv, json or parquet")
    flags: dict[str, object] = {} if database is None else {"ledger.url": database}
    loaded = load(config, flags=flags).config
    # Of another ledger than the service's own the gate knows nothing.
    service = gate_says(loaded) if database is None else None
    form = Form.JSON if as_json else form or (Form.CSV if name is Name.FOCUS else Form.TABLE)
    period, url = Asked(month=month, start=start, end=end, tz=tz or loaded.ledger.tz or "UTC"), loaded.ledger.url
    notes: tuple[str, ...] = ()
    if name is Name.STATEMENT:
        with patience(_READING):
            stating = _stating(team, {each.name for each in loaded.team}, service, from_calls=from_calls)
            page = _ask(url, period, stating)
        with patience(_WRITING):
            written = _of_page(page, form)
    else:
        words = Words(
            by=by,
            where=where or (),
            allocate=allocate or (),
            assume=assume or (),
            per_day=per_day,
            grids=grids,
            from_calls=from_calls,
        )
        with patience(_READING):
            made = _made(name, words, loaded, period, service)
        with patience(_WRITING):
            written = _written(made, form)
        # A CSV file has no place for what its figures leave out.
        notes = made.notes if form is Form.CSV else ()
    if isinstance(written, bytes):
        sys.stdout.buffer.write(written)
    else:
        sys.stdout.write(written)
    sys.stderr.writelines(f"* {note}\n" for note in notes)


class Asked(NamedTuple):
    """A period in the words of the options."""

    month: str | None
    start: str | None
    end: str | None
    tz: str


def _ask(url: str, asked: Asked, make: Callable[[Connection, Period], T]) -> T:
    """Make something of a ledger's period."""
    # SQLAlchemy takes half a second to import, so only here.
    from sqlalchemy.exc import SQLAlchemyError

    from proxy.ledger.engine import open_engine
    from proxy.ledger.revision import require_head
    from proxy.mirror.clickhouse import is_mirror, open_mirror
    from proxy.reports.period import parse

    period = parse(**asked._asdict(), now=datetime.now(UTC))
    mirrored = is_mirror(url)
    engine = open_mirror(url) if mirrored else open_engine(url)
    try:
        if not mirrored:
            require_head(engine)
        with engine.connect() as connection:
            return make(connection, period)
    except SQLAlchemyError as error:
        raise LedgerError(f"the ledger cannot be read: {getattr(error, 'orig', None) or error}") from error
    finally:
        engine.dispose()


def _made(name: Name, words: Words, config: Config, period: Asked, service: str | None) -> Report:
    from proxy.estimating import ConfiguredEstimator
    from proxy.reports.making import question_of

    question = question_of(name.value, words, ConfiguredEstimator(config).supposed, datetime.now(UTC))
    if question.alone is not None:
        return question.alone()
    return _ask(config.ledger.url, period, lambda connection, asked: question.ask(connection, asked, service))


def _stating(
    team: str | None, teams: Collection[str], service: str | None, *, from_calls: bool
) -> Callable[[Connection, Period], str]:
    from proxy.reports.statement import statement
    from proxy.reports.statement_page import as_html

    now = datetime.now(UTC)

    def make(connection: Connection, period: Period) -> str:
        known = {*teams, *_of_directory(connection, team)}
        made = statement(
            connection, period, team=team, known_teams=known, now=now, service=service, from_calls=from_calls
        )
        return as_html(made)

    return make


def _of_directory(connection: Connection, team: str | None) -> Collection[str]:
    """Give the team where the directory has it; a mirror has none."""
    from proxy.directory.rows import team_by_name
    from proxy.mirror.clickhouse import is_mirror

    if team is None or is_mirror(connection.engine.url.render_as_string()):
        return ()
    return () if team_by_name(connection, team) is None else (team,)


def _of_page(page: str, form: Form) -> str | bytes:
    if form is not Form.PDF:
        return page
    from proxy.reports.pdf import as_pdf

    _require_file(form)
    return as_pdf(page)


def _require_file(form: Form) -> None:
    if sys.stdout.isatty():
        raise ConfigError(f"{form} is no text: send it to a file, … --format {form} > report.{form}")


def _as_parquet(made: Report) -> bytes:
    _require_file(Form.PARQUET)
    try:
        from proxy.reports.parquet import as_parquet
    except ImportError as error:
        raise ConfigError(f"Parquet cannot be written ({error}); {INSTALL}") from None
    return as_parquet(made)


def _written(made: Report, form: Form) -> str | bytes:
    from proxy.reports import table

    match form:
        case Form.CSV:
            return table.as_csv(made)
        case Form.PARQUET:
            return _as_parquet(made)
        case Form.JSON:
            return table.as_json(made).decode() + "\n"
        case Form.HTML | Form.PDF:
            from proxy.reports.report_page import as_html

            return _of_page(as_html(made, datetime.now(UTC)), form)
        case Form.TABLE:
            console = Console()
            with console.capture() as captured:  # a table of thousands of lines takes a while
                table.print_table(made, console)
            return captured.get()
