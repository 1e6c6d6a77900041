"""``joulegate recompute``: estimate stored calls with today's facts; what stood there before is kept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from proxy.commands.patience import counting, patience
from proxy.config import load
from proxy.sections import Config

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

    from proxy.ledger.recomputing import Stretch
    from proxy.reports.differences import Differences
    from proxy.reports.period import Period

_READING = "reading facts and configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    differences: Differences  # of the calls that this process has looked at
    generation: int | None  # None: nothing was changed
    before: int  # calls that an earlier run of the same generation had looked at
    changed: int  # calls of the whole generation


def recompute(
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="First day (or moment).", show_default=False)],
    end: Annotated[
        str, typer.Option("--to", metavar="DATE", help="Last day, included (or moment).", show_default=False)
    ],
    tz: Annotated[
        str | None,
        typer.Option(metavar="ZONE", help="Time zone that decides what a day is.", show_default="ledger.tz, else UTC"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    database: Annotated[str | None, typer.Option(metavar="URL", help="Ledger, if not the configured.")] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Configuration; default: joulegate.toml here.")
    ] = None,
) -> None:
    """Estimate stored calls with today's facts and configuration.

    Dollars, FLOPs, joules, grams and liters of calls are made anew, tokens stay. The former
    figures are kept, reports show the new ones. A run that was broken off goes on where it
    stopped when it is started again; the service may go on recording meanwhile.

    For example:

    \b
    joulegate recompute --from 2026-11-01 --to 2026-11-30 --dry-run
    joulegate recompute --from 2026-11-01 --to 2026-11-30
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    from proxy.reports import period

    flags: dict[str, object] = {} if database is None else {"ledger.url": database}
    found = load(config, flags=flags).config
    asked = period.parse(month=None, start=start, end=end, tz=tz or found.ledger.tz or "UTC", now=datetime.now(UTC))
    outcome = _run(found, asked, dry_run=dry_run)
    if as_json:
        _print_json(asked, outcome, dry_run=dry_run)
    else:
        _print(asked, outcome, dry_run=dry_run)


def _run(config: Config, asked: Period, *, dry_run: bool) -> _Outcome:
    with patience(_READING):
        from estimator import facts_version
        from proxy.ledger.engine import open_engine
        from proxy.ledger.recomputing import Stretch
        from proxy.ledger.revision import require_head
        from proxy.recomputation import settings

        stretch = Stretch(start=asked.start, end=asked.end, facts_version=facts_version(), settings=settings(config))
        engine = open_engine(config.ledger.url)
    try:
        require_head(engine)
        return _go(engine, stretch, config, dry_run=dry_run)
    finally:
        engine.dispose()


def _go(engine: Engine, stretch: Stretch, config: Config, *, dry_run: bool) -> _Outcome:
    from proxy.ledger.recomputing import Recomputing, look
    from proxy.recomputation import restating_by
    from proxy.reports.differences import Differences

    with patience(_READING):
        differences, restating = Differences(), restating_by(config)
    if dry_run:
        with counting("estimating", _metered(engine, stretch)) as advance:
            for looked in look(engine, stretch, restating):
                for each in looked:
                    differences.take(each.before, each.after, changes=each.changes)
                advance(len(looked))
        return _Outcome(differences=differences, generation=None, before=0, changed=differences.total.changed)
    recomputing = Recomputing(engine, stretch)
    generation = recomputing.begin(datetime.now(UTC))
    before = generation.looked_at
    with counting("estimating", _metered(engine, stretch, generation.done_to)) as advance:
        for looked in look(engine, stretch, restating, generation.done_to):
            generation = recomputing.write(generation, looked, datetime.now(UTC))
            for each in looked:
                differences.take(each.before, each.after, changes=each.changes)
            advance(len(looked))
    recomputing.end(generation, datetime.now(UTC))
    return _Outcome(
        differences=differences,
        generation=generation.number if generation.changed else None,
        before=before,
        changed=generation.changed,
    )


def _metered(engine: Engine, stretch: Stretch, after: tuple[datetime, str] | None = None) -> int:
    from proxy.ledger.recomputing import metered

    with patience("counting calls"):
        return metered(engine, stretch, after)


def _print_json(asked: Period, outcome: _Outcome, *, dry_run: bool) -> None:
    from estimator import facts_version
    from proxy.reports.differences import as_document

    document = {
        "from": asked.start.isoformat(),
        "to": asked.end.isoformat(),
        "tz": asked.zone.key,
        "dry_run": dry_run,
        "facts_version": facts_version(),
        "generation": outcome.generation,
        "looked_at_before": outcome.before,
        "changed": outcome.changed,
        **as_document(outcome.differences),
    }
    typer.echo(json.dumps(document, indent=2))


def _print(asked: Period, outcome: _Outcome, *, dry_run: bool) -> None:
    from estimator import facts_version
    from proxy.reports.differences import print_differences

    console = Console(soft_wrap=True, highlight=False)
    total = outcome.differences.total
    console.print(f"Calls with usage: {asked.title()}; facts {facts_version()}\n", markup=False)
    if total.changed:
        print_differences(outcome.differences, console)
        console.print()
    if outcome.before:
        console.print(
            f"* went on after {outcome.before:,} calls of a run that was broken off; those are not in the table"
        )
    if total.kept:
        console.print(
            f"* {total.kept:,} batches of an older release stay as they are: it did not say of how many calls"
        )
    seen = total.calls + outcome.before
    if not outcome.changed:
        console.print(f"Nothing changes: {seen:,} calls say what today's facts and configuration say.")
    elif dry_run:
        console.print(f"{outcome.changed:,} of {seen:,} calls would change. Nothing was written.")
    else:
        console.print(
            f"{outcome.changed:,} of {seen:,} calls have changed: generation {outcome.generation}."
            " What stood there before is in former_estimates."
        )
