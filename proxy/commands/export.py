"""``joulegate export parquet``: the ledger's calls as Parquet files, a folder for each day."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.commands.patience import counting, patience
from proxy.config import load
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from proxy.export.parquet import Day
    from proxy.reports.period import Period

NO = 1
INSTALL = 'install pyarrow with: pip install "joulegate[parquet]"'

export = typer.Typer(name="export", help="The ledger's calls as files for other programs.", no_args_is_help=True)


@export.callback()
def _group() -> None:
    pass  # so that `parquet` is a command of its own, and not all of `export`


@export.command()
def parquet(
    directory: Annotated[Path, typer.Argument(help="Where the days' folders are made.", show_default=False)],
    start: Annotated[str | None, typer.Option("--from", metavar="DATE", help="First day (UTC).")] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="DATE", help="Last day, included.")] = None,
    month: Annotated[str | None, typer.Option(metavar="YYYY-MM", help="One month; the current one by default.")] = None,
    database: Annotated[str | None, typer.Option(metavar="URL", help="Ledger to read, if not the configured.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration; default: joulegate.toml here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the calls of whole days (UTC) to DIRECTORY/day=YYYY-MM-DD/calls.parquet.

    A day that is there already is replaced at once. One of which the ledger has deleted calls stays as it was
    exported before, and the exit status is 1.

    \b
    joulegate export parquet lake --from 2026-11-01 --to 2026-11-15
    joulegate export parquet lake --month 2026-11 --json
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    flags: dict[str, object] = {} if database is None else {"ledger.url": database}
    url = load(config, flags=flags).config.ledger.url
    # SQLAlchemy and Arrow take a second to import, so only here.
    from proxy.reports import period

    asked = period.parse(month=month, start=start, end=end, tz="UTC", now=datetime.now(UTC))
    if any(each.time() != datetime.min.time() for each in (asked.start, asked.end)):
        raise period.QuestionError("whole days are exported: write --from and --to as dates, 2026-11-23")
    done = _write(directory, url, asked)
    if as_json:
        typer.echo(json.dumps({"days": [_as_json(each) for each in done]}, indent=1))
    else:
        for each in done:
            written = f"{each.calls:,} calls, {each.size / 1e6:,.1f} MB" if each.file is not None else each.reason
            typer.echo(f"{each.day}  {written}")
        if not done:
            first, last = asked.ends()
            typer.echo(f"The ledger has no calls from {first} to {last}.")
    if any(each.file is None for each in done):
        raise typer.Exit(NO)


def _write(directory: Path, url: str, asked: Period) -> list[Day]:
    from proxy.ledger.engine import open_engine
    from proxy.ledger.revision import require_head

    try:
        from proxy.export.parquet import count_by_day, export
    except ImportError as error:
        raise ConfigError(f"Parquet cannot be written ({error}); {INSTALL}") from None
    engine = open_engine(url)
    try:
        require_head(engine)
        with patience("counting calls"):
            days: dict[date, int] = count_by_day(engine, asked.start, asked.end)
        with counting("writing calls", sum(days.values())) as advance:
            return list(export(engine, directory, days, written=advance))
    except OSError as error:
        raise ConfigError(f"{error.filename or directory} cannot be written: {error.strerror or error}") from None
    finally:
        engine.dispose()


def _as_json(each: Day) -> dict[str, object]:
    file = str(each.file) if each.file is not None else None
    return {"day": each.day.isoformat(), "calls": each.calls, "file": file, "bytes": each.size, "reason": each.reason}
