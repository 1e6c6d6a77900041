"""Keys, looked at before a start or by ``doctor``: whether gates can read them, and whether one is in two places."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.finding import Finding
from proxy.known_keys import in_both
from proxy.roster import FILE, Roster
from proxy.sections import Config

if TYPE_CHECKING:
    from sqlalchemy import Engine

ANSWER_WITHIN_S = 3  # of a PostgreSQL that may be away
USUAL_LEDGER = re.compile(r"sqlite:///([^?#%:]+)")  # as it is written, without options: Python's own driver opens it


def check_roster(folder: Path) -> Iterator[Finding]:
    """Say whether gates can read the keys of the directory."""
    path = folder / FILE
    if not path.exists():
        return
    roster = Roster(path)
    if not roster.look():
        says = f"{path} cannot be read ({roster.problem}); the console writes another at the next change, or its start"
        yield Finding("roster", "warning", says)
        return
    yield Finding("roster", "ok", f"{path} has {roster.count():,} keys, as of change {roster.revision}")
    roster.close()


def check_keys(config: Config) -> Iterator[Finding]:
    """Look in a server for keys of the file that were made by command or API too; of a file, a start does so itself."""
    if USUAL_LEDGER.fullmatch(config.ledger.url) or not any(team.key for team in config.team):
        return
    from sqlalchemy.exc import SQLAlchemyError

    from proxy.directory.configured import conflicts

    engine = impatient(config.ledger.url)
    try:
        with contextlib.suppress(SQLAlchemyError), engine.connect() as connection:  # away, or without a directory yet
            yield from (Finding("team.key", "error", says) for says in conflicts(connection, config.team).values())
    finally:
        engine.dispose()


def keys_in_both(config: Config) -> Iterator[Finding]:
    """Look for keys of the file that were made by command or API too; not in a server, whose console says so later."""
    usual = USUAL_LEDGER.fullmatch(config.ledger.url)
    wanted = {key.id: key.sha256 for team in config.team for key in team.key}
    if usual is None or not wanted or not (file := Path(usual[1]).absolute()).exists():
        return
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(file)) as connection,
    ):  # no directory yet
        found = connection.execute("SELECT id, sha256 FROM keys WHERE managed_by = 'api'")
        for says in in_both(wanted, found).values():
            yield Finding("team.key", "error", f"{says}; give the one in the file another id, or take it out")


def impatient(url: str) -> Engine:
    """Open a ledger that may be away, and is not waited for."""
    import sqlalchemy as sa

    from proxy.ledger.engine import open_engine

    made = sa.make_url(url)
    if made.get_backend_name() == "postgresql" and "connect_timeout" not in made.query:
        made = made.update_query_dict({"connect_timeout": str(ANSWER_WITHIN_S)})
    return open_engine(made.render_as_string(hide_password=False))
