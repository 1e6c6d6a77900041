"""``joulegate migrate``: bring the ledger's tables to this release's revision, or ask whether they are."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from proxy import config
from proxy.commands.patience import counting, patience
from proxy.errors import JoulegateError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from proxy.ledger.revision import Revisions

NO = 1
BAD_USAGE = 2


class Action(StrEnum):
    """What to do about the tables."""

    UP = "up"
    CHECK = "check"


def migrate(
    action: Annotated[Action, typer.Argument(help="up changes the tables, check only looks.")] = Action.UP,
    database: Annotated[str | None, typer.Option(metavar="URL", help="Ledger, if not the configured.")] = None,
    config_path: Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Bring the ledger's tables to the revision of this release, and the sums that reports read up to date.

    `serve` does so by itself when it starts. With check nothing is changed, and the
    exit status is 1 when the tables are older than this release needs, or too new for it.

    For example:

    \b
    joulegate migrate
    joulegate migrate check --json
    joulegate migrate up --database postgresql+psycopg://joulegate@db/joulegate
    """  # noqa: D301 - typer keeps the lines of a paragraph that begins with this character
    try:
        flags = {} if database is None else {"ledger.url": database}
        url = config.load(config_path, flags=flags).config.ledger.url
        state = _act(action, url)
    except JoulegateError as error:
        Console(stderr=True, soft_wrap=True).print(f"joulegate migrate: {error}", markup=False, highlight=False)
        raise typer.Exit(BAD_USAGE) from None
    _say(action, state, as_json=as_json)
    if action is Action.CHECK and not state.fits:
        raise typer.Exit(NO)


def _act(action: Action, url: str) -> Revisions:
    # SQLAlchemy and Alembic take most of a second to import, so only here.
    from proxy.ledger import revision
    from proxy.ledger.engine import open_engine

    engine = open_engine(url)
    try:
        if action is Action.CHECK:
            return revision.revisions(engine)
        with patience("bringing the tables to this release"):
            before = revision.migrate(engine)
        _sum_up(engine)
        return before
    finally:
        engine.dispose()


def _sum_up(engine: Engine) -> None:
    """Take calls into the sums that another release wrote without, in small steps; may be broken off at any time."""
    from proxy.ledger.rollups import left
    from proxy.ledger.write import Ledger

    with patience("looking for calls without sums"), engine.connect() as connection:
        number = left(connection)
    if not number:
        return
    ledger = Ledger(engine)
    with counting("summing up", number) as advance:
        while done := ledger.roll_up():
            advance(done)


def _say(action: Action, state: Revisions, *, as_json: bool) -> None:
    console = Console(soft_wrap=True)
    now = state.head if action is Action.UP and not state.expanded else state.current
    if as_json:
        applied = list(state.pending) if action is Action.UP else []
        pending = list(state.pending) if action is Action.CHECK else []
        console.print_json(
            data={
                "revision": now,
                "head": state.head,
                "at_head": now == state.head,
                "applied": applied,
                "pending": pending,
            }
        )
    elif state.expanded:
        console.print(
            f"The ledger is at {state.current} of a newer release, which this one ({state.head}) may go on with.",
            highlight=False,
        )
    elif action is Action.UP:
        done = (
            f"brought from {state.current or 'empty'} to {state.head}" if state.pending else f"already at {state.head}"
        )
        console.print(f"The ledger is {done}.", highlight=False)
    elif state.fits:
        console.print(f"The ledger is at {state.head}, as this release needs it.", highlight=False)
    elif not state.known:
        console.print(
            f"The ledger is at {state.current}, newer than this release ({state.head}): upgrade Joulegate.",
            highlight=False,
        )
    elif state.current is None:
        console.print("There is no ledger yet: run joulegate migrate up, or joulegate serve.", highlight=False)
    else:
        console.print(
            f"The ledger is at {state.current}, this release needs {state.head}: run joulegate migrate up.",
            highlight=False,
        )
