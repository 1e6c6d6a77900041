"""What the commands that change teams and keys have in common: whose ledger, and who is at the keyboard."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from proxy.aligned import Column, print_aligned
from proxy.config import load
from proxy.errors import LedgerError

if TYPE_CHECKING:
    from sqlalchemy import Engine

PAGE = 500  # of what is listed, in one question

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ConfigPath = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="Configuration; default: joulegate.toml here.")
]
Database = Annotated[str | None, typer.Option(metavar="URL", help="Ledger, if not the configured.")]


@dataclass(frozen=True, slots=True)
class Directory:
    """An open ledger, the providers that are known, whose days are meant where nobody says, who acts and when."""

    engine: Engine
    providers: frozenset[str]
    tz: str
    actor: str
    now: datetime


@contextlib.contextmanager
def directory(config: Path | None, database: str | None) -> Iterator[Directory]:
    """Open the ledger of a configuration; raises :class:`JoulegateError` where it cannot be used."""
    loaded = load(config, flags={} if database is None else {"ledger.url": database}).config
    # SQLAlchemy takes half a second to import, so only here.
    from sqlalchemy.exc import SQLAlchemyError

    from proxy.ledger.engine import open_engine
    from proxy.ledger.revision import require_head

    engine = open_engine(loaded.ledger.url)
    try:
        require_head(engine)
        providers = frozenset(each.name for each in loaded.provider)
        yield Directory(engine, providers, loaded.ledger.tz or "UTC", actor(), datetime.now(UTC))
    except SQLAlchemyError as error:
        raise LedgerError(f"the ledger cannot be used: {getattr(error, 'orig', None) or error}") from error
    finally:
        engine.dispose()


def actor() -> str:
    """Name the user of the operating system, as the log of changes does."""
    try:
        return f"cli:{pwd.getpwuid(os.getuid()).pw_name}"
    except KeyError:  # a container's user has a number only
        return f"cli:{os.getuid()}"


def say_json(value: Any) -> None:
    """Print JSON."""
    import msgspec

    typer.echo(msgspec.json.encode(value).decode())


def print_table(titles: Iterable[str], rows: Iterable[Sequence[str | None]]) -> None:
    """Print rows for people; where no terminal cuts them, lines stay whole. The last column takes what room is left."""
    *whole, last = titles
    print_listed([*(Column(title=title, whole=True) for title in whole), Column(title=last)], rows)


def print_listed(columns: Sequence[Column], rows: Iterable[Sequence[str | None]]) -> None:
    """Print rows for people, within their terminal where there is one."""
    console = Console()
    cells = [[cell or "-" for cell in row] for row in rows]
    print_aligned(console, columns, cells, within=console.width if console.is_terminal else None)


def day(at: datetime | None) -> str:
    """Write a moment for people, UTC."""
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M}"
