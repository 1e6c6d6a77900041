"""``joulegate mirror``: copy the ledger into ClickHouse, once or again and again, or compare the two."""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from proxy.config import load
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from proxy.mirror.comparing import Difference

NO = 1


def mirror(
    to: Annotated[str | None, typer.Option(metavar="URL", help="ClickHouse, if not the configured.")] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on copying until Ctrl-C.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Copy nothing; compare calls and dollars by day.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Copy everything once more.")] = False,
    database: Annotated[str | None, typer.Option(metavar="URL", help="Ledger, if not the configured.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration; default: joulegate.toml here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Copy what is new in the ledger to its mirror in ClickHouse, and end.

    `serve` does so all the time where a mirror is configured. With --check nothing is copied, and the exit status
    is 1 where the mirror has other calls or other dollars than the ledger.

    \b
    joulegate mirror --to clickhousedb://default@localhost:8123/joulegate
    joulegate mirror --follow
    joulegate mirror --check --json
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    if sum((follow, check, again)) > 1:
        raise ConfigError("--follow, --check and --again exclude each other: give one of them")
    if follow and as_json:
        raise ConfigError("--follow has no end, so it prints no JSON")
    flags: dict[str, object] = {"ledger.url": database, "mirror.url": to}
    loaded = load(config, flags={name: value for name, value in flags.items() if value is not None}).config
    if loaded.mirror.url is None:
        raise ConfigError("no mirror is configured: say --to URL, or url = … in [mirror]")
    # SQLAlchemy takes half a second to import, so only here.
    from proxy.ledger.engine import open_engine
    from proxy.ledger.revision import require_head
    from proxy.mirror.clickhouse import open_mirror

    engine, other = open_engine(loaded.ledger.url), open_mirror(loaded.mirror.url)
    try:
        require_head(engine)
        if check:
            _check(engine, other, as_json=as_json)
        elif follow:
            _follow(engine, other)
        else:
            _copy(engine, other, again=again, as_json=as_json)
    finally:
        other.dispose()
        engine.dispose()


def _copy(engine: Engine, other: Engine, *, again: bool, as_json: bool) -> None:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from proxy.mirror.clickhouse import ClickHouse
    from proxy.mirror.mirror import Mirror

    copying = Mirror(engine, ClickHouse(other))
    positions = copying.prepare()
    if again:
        positions.forget()
    console = Console(stderr=True)
    # How many calls are to come only reading them would tell, so there is no bar, but a count.
    columns = (SpinnerColumn(), TextColumn("copied {task.completed:,} calls"), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("copying", total=None)
        done = copying.catch_up(copied=lambda number: progress.advance(task, number))
    if as_json:
        until = done.until.isoformat() if done.until is not None else None
        said = {"calls": done.calls, "quarters": done.quarters, "until": until, "deleted": done.deleted}
        typer.echo(json.dumps(said))
    elif done.until is None:
        typer.echo("The mirror has all that the ledger has.")
    else:
        typer.echo(
            f"Copied {done.calls:,} calls of {done.quarters:,} quarters of an hour, the last of which ends at "
            f"{done.until:%Y-%m-%d %H:%M} UTC."
        )
        if done.deleted:
            typer.echo(f"{done.deleted:,} calls had been deleted from the ledger before they were copied.")


def _follow(engine: Engine, other: Engine) -> None:
    from proxy.mirror.clickhouse import ClickHouse
    from proxy.mirror.mirror import Mirror

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("joulegate.mirror").setLevel(logging.DEBUG)  # here, that something was copied is worth a line
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    Mirror(engine, ClickHouse(other)).run(stop)


def _check(engine: Engine, other: Engine, *, as_json: bool) -> None:
    from proxy.mirror.comparing import differences

    found = differences(engine, other)
    if as_json:
        typer.echo(json.dumps({"same": not found, "days": [_as_json(each) for each in found]}, indent=1))
    else:
        for each in found:
            typer.echo(
                f"{each.day}: the ledger has {each.ledger_calls:,} calls and ${each.ledger_usd}, "
                f"the mirror {each.mirror_calls:,} and ${each.mirror_usd}"
            )
        typer.echo(
            "The mirror has other figures than the ledger: run joulegate mirror, then joulegate mirror --again."
            if found
            else "The mirror has the calls and the dollars of the ledger on every day."
        )
    if found:
        raise typer.Exit(NO)


def _as_json(each: Difference) -> dict[str, object]:
    return {
        "day": each.day,
        "ledger": {"calls": each.ledger_calls, "cost_usd": str(each.ledger_usd)},
        "mirror": {"calls": each.mirror_calls, "cost_usd": str(each.mirror_usd)},
    }
