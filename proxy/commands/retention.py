"""``joulegate retention``: delete the rows of old calls, keep their sums."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from proxy import config
from proxy.commands.patience import counting, patience
from proxy.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from proxy.ledger.retention import Plan


def retention(
    keep_days: Annotated[
        int | None, typer.Option(min=1, metavar="DAYS", help="Keep so many days; default: ledger.keep_days.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    database: Annotated[str | None, typer.Option(metavar="URL", help="Ledger, if not the configured.")] = None,
    config_path: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Delete the rows of calls that are older than some days; the sums that reports read stay.

    `serve` does so by itself where `ledger.keep_days` is set. It may run beside it, and be broken off at any time.

    \b
    joulegate retention --keep-days 90 --dry-run
    joulegate retention --keep-days 90 --json
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    flags: dict[str, object] = {} if database is None else {"ledger.url": database}
    ledger = config.load(config_path, flags=flags).config.ledger
    days = keep_days if keep_days is not None else ledger.keep_days
    if days is None:
        raise ConfigError("say how many days to keep: --keep-days 90, or keep_days under [ledger] in the configuration")
    # SQLAlchemy takes most of a second to import, so only here.
    from proxy.ledger.engine import open_engine
    from proxy.ledger.retention import cut, plan
    from proxy.ledger.revision import require_head

    now = datetime.now(UTC)
    engine = open_engine(ledger.url)
    try:
        require_head(engine)
        with patience("counting old rows"):
            found = plan(engine, cut(now, days))
        deleted = 0 if dry_run else _delete(engine, found, now)
    finally:
        engine.dispose()
    _say(found, deleted, dry_run=dry_run, as_json=as_json)


def _delete(engine: Engine, found: Plan, now: datetime) -> int:
    from proxy.ledger.retention import delete

    deleted = 0
    with counting("deleting", found.rows) as advance:
        for done in delete(engine, found.before, now=now):
            deleted += done
            advance(done)
    return deleted


def _say(found: Plan, deleted: int, *, dry_run: bool, as_json: bool) -> None:
    console = Console(soft_wrap=True)
    if as_json:
        console.print_json(
            data={
                "before": found.before.isoformat(),
                "rows": found.rows,
                "months": list(found.months),
                "rows_in_months": found.rows_in_months,
                "deleted": deleted,
                "dry_run": dry_run,
            }
        )
        return
    whole = f", {found.rows_in_months:,} of them in {len(found.months)} whole months" if found.months else ""
    if dry_run:
        console.print(f"{found.rows:,} rows began before {found.before:%Y-%m-%d} (UTC){whole}.", highlight=False)
    else:
        console.print(f"{deleted:,} rows from before {found.before:%Y-%m-%d} (UTC) deleted{whole}.", highlight=False)
