"""``joulegate reconcile``: hold what a provider states against the ledger, and say what explains the rest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from proxy.aligned import Column, print_aligned
from proxy.config import load, resolve_secret
from proxy.errors import ConfigError, LedgerError
from proxy.reconciling.api import api_of
from proxy.reconciling.comparison import Compared, Key, Recorded, Side, beyond, compare, statement_sides
from proxy.reconciling.pages import Page
from proxy.reconciling.shape import Stated, StatementError
from proxy.reconciling.statement import Days, Statement, read_statement, statement_of
from proxy.sections import Config

NO = 1
_MOST_DAYS = 366
_NAMES = ("model", "key", "project")
Named = Callable[[str, str, str | None], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    statement: Statement
    source: str
    kept: bool  # False: it was read before
    by: tuple[str, ...]
    compared: list[Compared]
    beyond: list[str]


def reconcile(
    file: Annotated[
        Path | None,
        typer.Argument(help="An invoice, or an export of usage or cost: a CSV file, or an API's answers in JSON."),
    ] = None,
    fetch: Annotated[
        str | None, typer.Option(metavar="PROVIDER", help="Ask the provider instead: openai or anthropic.")
    ] = None,
    admin_key: Annotated[
        str | None, typer.Option(metavar="REFERENCE", help="With --fetch: env:NAME or file:PATH of an admin key.")
    ] = None,
    start: Annotated[str | None, typer.Option("--from", metavar="DATE", help="With --fetch: first day (UTC).")] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="With --fetch: last day (UTC), included.")
    ] = None,
    by: Annotated[str, typer.Option(help="What to compare beside provider and day: model, key, project.")] = "model",
    tolerance: Annotated[
        float | None,
        typer.Option(min=0, metavar="PERCENT", help="Exit status 1 where a provider's sum differs by more."),
    ] = None,
    provider: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose it is, where that has another name here.")
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option(metavar="THEIRS=OURS", help="A key's or project's name here; may be repeated.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    database: Annotated[str | None, typer.Option(metavar="URL", help="Ledger, if not the configured.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration; default: joulegate.toml here.")
    ] = None,
) -> None:
    """Hold a provider's statement against the ledger, day by day (UTC).

    What differs is taken apart: calls that only one side has, tokens, calls without a price, another
    price. Exports of OpenAI's and Anthropic's consoles and answers of their usage and cost APIs are
    understood as they are; with --fetch these APIs are asked. The statement is kept in the table
    statements.

    For example:

    \b
    joulegate reconcile cost_2026-11.csv
    joulegate reconcile usage.csv --by key --rename key_abc=search-ci --tolerance 1
    joulegate reconcile --fetch openai --admin-key env:OPENAI_ADMIN_KEY --from 2026-11-01 --to 2026-11-30
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    names = tuple(name.strip() for name in by.split(",") if name.strip())
    if unknown := [name for name in names if name not in _NAMES]:
        raise ConfigError(f"--by {unknown[0]}: choose from {', '.join(_NAMES)}")
    if (file is None) == (fetch is None):
        raise ConfigError("give a file, or --fetch and a provider's name: one of the two")
    flags: dict[str, object] = {} if database is None else {"ledger.url": database}
    found = load(config, flags=flags).config
    named = _naming(found, dict(map(_renamed, rename or ())))
    if file is not None:
        if given := [name for name, value in (("--admin-key", admin_key), ("--from", start), ("--to", end)) if value]:
            raise ConfigError(f"{given[0]} belongs to --fetch; a file is read as it is")
        statement, source = _read(file, provider)
    else:
        statement, source = _fetched(fetch or "", admin_key, _days(start, end), names, provider)
    share = None if tolerance is None else Decimal(str(tolerance)) / 100
    outcome = _compare(found.ledger.url, source, statement, names, named, share)
    if as_json:
        typer.echo(json.dumps(_document(outcome), indent=2))
    else:
        _print(outcome)
    if outcome.beyond:
        raise typer.Exit(NO)


def _read(file: Path, provider: str | None) -> tuple[Statement, str]:
    try:
        written = file.read_bytes()
        return read_statement(written.decode(), provider), _digest(written)
    except (OSError, UnicodeDecodeError) as error:
        raise StatementError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    except StatementError as error:
        raise StatementError(f"{file}: {error}") from None


def _days(start: str | None, end: str | None) -> Days:
    if start is None or end is None:
        raise ConfigError("--fetch needs --from and --to: the first and the last day (UTC)")
    try:
        first, last = date.fromisoformat(start), date.fromisoformat(end)
    except ValueError:
        raise ConfigError(f"--from {start} --to {end}: write a day as 2026-11-23") from None
    if not 0 <= (last - first).days < _MOST_DAYS:
        raise ConfigError(f"--from {start} --to {end}: that is no stretch of 1 to {_MOST_DAYS} days")
    return first, last


def _fetched(
    asked: str, admin_key: str | None, days: Days, by: Sequence[str], provider: str | None
) -> tuple[Statement, str]:
    """Ask a provider; the same content has the same digest, in whatever order and pages it comes."""
    api = api_of(asked)
    if admin_key is None:
        raise ConfigError(f"--fetch {asked} needs --admin-key env:NAME or file:PATH; make one at {api.keys_at}")
    key = resolve_secret(admin_key, owner="--admin-key").decode()
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from proxy.reconciling.fetch import Fetch, connected

    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}, {task.completed} pages"), TimeElapsedColumn())
    pages: list[Page] = []
    with (
        connected() as client,
        Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress,
    ):
        asking = Fetch(api=api, key=key, client=client)
        for endpoint in api.endpoints(by):
            task = progress.add_task(f"asking {api.origin}{endpoint.path}")
            for page in asking.pages(endpoint, *days):
                pages.append(page)
                progress.advance(task)
    left_out = [f"{api.provider} does not state {each.says} by {', '.join(by)}" for each in api.left_out(by)]
    statement = statement_of(pages, provider or api.provider, left_out)
    said = sorted(repr(line) for line in statement.lines)
    return statement, _digest("\n".join(said).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _renamed(text: str) -> tuple[str, str]:
    theirs, equals, ours = text.partition("=")
    if not (theirs and equals and ours):
        raise ConfigError(f"--rename {text!r}: write it as THEIRS=OURS")
    return theirs, ours


def _naming(config: Config, renamed: Mapping[str, str]) -> Named:
    """Give the names under which both sides are compared: a model by its card, whatever either calls it."""
    from proxy.estimating import ConfiguredEstimator

    estimate = ConfiguredEstimator(config)

    def named(provider: str, dimension: str, value: str | None) -> str | None:
        if value is None or dimension != "model":
            return None if value is None else renamed.get(value, value)
        spelled = value.lower().replace(" ", "-").replace(".", "-")  # Claude Sonnet 4.5
        found = (estimate.card_id(each, provider) for each in (value, spelled))
        return next(filter(None, found), value.lower())

    return named


def _compare(
    url: str,
    source: str,
    statement: Statement,
    by: tuple[str, ...],
    named: Named,
    tolerance: Decimal | None,
) -> _Outcome:
    # SQLAlchemy takes half a second to import, so only here.
    from sqlalchemy.exc import SQLAlchemyError

    from proxy.ledger.engine import WRITE, open_engine
    from proxy.ledger.revision import require_head
    from proxy.ledger.statements import keep, recorded

    engine = open_engine(url)
    try:
        require_head(engine)
        with engine.execution_options(**{WRITE: True}).begin() as connection:
            kept = keep(connection, source, statement.lines, datetime.now(UTC)) or not statement.lines
        with engine.connect() as connection:
            ours = recorded(connection, statement.covers, by, named)
    except SQLAlchemyError as error:
        raise LedgerError(f"the ledger cannot be used: {getattr(error, 'orig', None) or error}") from error
    finally:
        engine.dispose()

    def names(line: Stated) -> tuple[str | None, ...]:
        return tuple(named(line.provider, name, getattr(line, name)) for name in by)

    theirs: dict[Key, Side] = statement_sides(statement.lines, names)
    compared = compare(theirs, ours)
    off = [] if tolerance is None else beyond(compared, tolerance)
    return _Outcome(statement=statement, source=source, kept=kept, by=by, compared=compared, beyond=off)


def _document(outcome: _Outcome) -> dict[str, Any]:
    return {
        "statement": outcome.source,
        "shape": outcome.statement.shape,
        "read_before": not outcome.kept,
        "days": {whose: [day.isoformat() for day in days] for whose, days in outcome.statement.covers.items()},
        "notes": list(outcome.statement.notes),
        "by": ["provider", "day", *outcome.by],
        "rows": [_row(outcome.by, each) for each in outcome.compared],
        "beyond_tolerance": outcome.beyond,
    }


def _row(by: Sequence[str], each: Compared) -> dict[str, Any]:
    provider, day, names = each.key
    recorded = each.recorded or Recorded()
    return {
        "provider": provider,
        "day": day.isoformat(),
        **dict(zip(by, names, strict=True)),
        "stated_usd": _exact(each.stated.usd if each.stated else None),
        "ledger_usd": _exact(recorded.side.usd),
        "residual_usd": _exact(each.residual_usd),
        "stated_tokens": each.stated.tokens if each.stated else None,
        "ledger_tokens": recorded.side.tokens,
        "residual_tokens": each.residual_tokens,
        "calls": recorded.calls,
        "unpriced_calls": recorded.unpriced_calls,
        "inferred_calls": recorded.inferred_calls,
        "absent_calls": recorded.absent_calls,
        "parts": [{"kind": part.kind, "usd": _exact(part.usd), "says": part.says} for part in each.parts],
    }


def _exact(value: Decimal | None) -> str | None:
    return None if value is None else f"{value.normalize():f}"


def _signed(value: Decimal) -> str:
    from proxy.reports import figures

    return f"{'-' if value < 0 else '+'}{figures.dollars(abs(value))}"


def _print(outcome: _Outcome) -> None:
    from proxy.reports import figures

    console = Console(soft_wrap=True, highlight=False)
    columns = [Column(title=title) for title in ("day", "provider", *outcome.by)]
    columns += [Column(title=title, right=True) for title in ("stated", "ledger", "differ by", "tokens differ by")]
    columns += [Column(title="because")]
    differing = [each for each in outcome.compared if each.parts]
    rows = []
    for each in differing:
        provider, day, names = each.key
        side = each.recorded.side if each.recorded else Side()
        why = [f"{part.says}{'' if part.usd is None else f' ({_signed(part.usd)})'}" for part in each.parts]
        cells = [day.isoformat(), provider, *(name or "–" for name in names)]
        cells += [figures.dollars(each.stated.usd if each.stated else None), figures.dollars(side.usd)]
        cells += ["–" if each.residual_usd is None else _signed(each.residual_usd)]
        cells += ["–" if each.residual_tokens is None else f"{each.residual_tokens:+,}", "; ".join(why)]
        rows.append(cells)
    if differing:
        print_aligned(console, columns, rows)
        console.print()
    again = "" if outcome.kept else "; this statement was read before and is kept once"
    agree = len(outcome.compared) - len(differing)
    whose = outcome.statement.shape or "nothing stated"
    console.print(f"{whose}: {agree:,} of {len(outcome.compared):,} lines agree{again}.", markup=False)
    for note in outcome.statement.notes:
        console.print(f"* {note}", markup=False)
    if outcome.beyond:
        console.print(f"Beyond the tolerance: {', '.join(outcome.beyond)}.", markup=False)
