"""``joulegate report``: what the ledger's calls cost, in dollars, joules, grams and liters."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from proxy.config import load
from proxy.errors import ConfigError, LedgerError


class Name(StrEnum):
    """The reports there are."""

    COST = "cost"
    ENERGY = "energy"
    CARBON = "carbon"
    WATER = "water"


class Form(StrEnum):
    """How a report is written."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"


def report(
    name: Annotated[Name, typer.Argument(help="What to report.", show_default=False)],
    by: Annotated[str, typer.Option(help="Dimensions to split by, separated by commas; empty: only the sum.")] = (
        "team,model"
    ),
    start: Annotated[str | None, typer.Option("--from", metavar="DATE", help="First day (or moment).")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="DATE", help="Last day, included (or moment).")] = None,
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="One month; the current one by default.")] = None,
    tz: Annotated[str, typer.Option(metavar="ZONE", help="Time zone that decides what a day is.")] = "UTC",
    form: Annotated[
        Form | None,
        typer.Option("--format", help="Table for people, csv or json for programs.", show_default=Form.TABLE.value),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    database: Annotated[str | None, typer.Option(metavar="URL", help="Ledger to read, if not the configured.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration; default: joulegate.toml here.")
    ] = None,
) -> None:
    """Report cost, energy, carbon or water of the metered calls.

    Dollars are exact sums; joules, grams and liters are estimates.
    What the figures leave out stands under the table.

    For example:

    \b
    joulegate report cost --by team,model
    joulegate report energy --by day --month 2026-11 --tz Europe/Berlin
    joulegate report carbon --by provider --from 2026-11-01 --to 2026-11-15 --format csv
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    if as_json and form not in (None, Form.JSON):
        raise ConfigError(f"--json and --format {form} contradict each other: give one of them")
    flags: dict[str, object] = {} if database is None else {"ledger.url": database}
    url = load(config, flags=flags).config.ledger.url
    form = Form.JSON if as_json else form or Form.TABLE
    _write(name, by=by, month=month, start=start, end=end, tz=tz, url=url, form=form)


def _write(
    name: Name, *, by: str, month: str | None, start: str | None, end: str | None, tz: str, url: str, form: Form
) -> None:
    # SQLAlchemy takes half a second to import, so only here.
    from sqlalchemy.exc import SQLAlchemyError

    from proxy.ledger.engine import open_engine
    from proxy.ledger.revision import require_head
    from proxy.reports import period, split, table
    from proxy.reports.carbon import CARBON
    from proxy.reports.cost import COST
    from proxy.reports.energy import ENERGY
    from proxy.reports.kind import lay_out
    from proxy.reports.water import WATER

    kinds = {Name.COST: COST, Name.ENERGY: ENERGY, Name.CARBON: CARBON, Name.WATER: WATER}
    dimensions = split.dimensions(by)
    asked = period.parse(month=month, start=start, end=end, tz=tz, now=datetime.now(UTC))
    engine = open_engine(url)
    try:
        require_head(engine)
        with engine.connect() as connection:
            made = lay_out(kinds[name], split.split(connection, dimensions, asked))
    except SQLAlchemyError as error:
        raise LedgerError(f"the ledger cannot be read: {getattr(error, 'orig', None) or error}") from error
    finally:
        engine.dispose()
    match form:
        case Form.CSV:
            sys.stdout.write(table.as_csv(made))
        case Form.JSON:
            sys.stdout.write(table.as_json(made).decode() + "\n")
        case Form.TABLE:
            table.print_table(made, Console())
