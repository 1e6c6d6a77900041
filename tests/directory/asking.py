"""A directory to be changed by tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from proxy.directory import keys, teams
from proxy.directory.rows import Key
from proxy.ledger.directory_tables import changes
from proxy.sections import KeySection, TeamSection
from proxy.teams import digest

NOW = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
LATER = NOW + timedelta(hours=1)
PROVIDERS = ("openai", "groq")


def make_team(engine: sa.Engine, name: str = "search") -> None:
    teams.add(engine, name, actor="cli:ada", at=NOW)


def issue(engine: sa.Engine, team: str = "search", *, actor: str = "cli:ada", at: datetime = NOW, **wanted):
    return keys.issue(engine, keys.Wanted(team=team, **wanted), known_providers=PROVIDERS, actor=actor, at=at)


def shown(engine: sa.Engine, key_id: str) -> Key:
    with engine.connect() as connection:
        return keys.key(connection, key_id)


def noted(engine: sa.Engine) -> list[tuple[str, str, str, str]]:
    with engine.connect() as connection:
        select = sa.select(changes.c.actor, changes.c.action, changes.c.kind, changes.c.subject)
        return [tuple(row) for row in connection.execute(select.order_by(changes.c.number))]


def section(name: str, *key_ids: str, **more) -> TeamSection:
    """A team of the configuration; each key's secret is made of its id."""
    return TeamSection(name=name, key=tuple(configured(key_id, **more) for key_id in key_ids))


def configured(key_id: str, secret: str | None = None, **more) -> KeySection:
    return KeySection(id=key_id, sha256=digest((secret or f"jg-of-{key_id}").encode()), **more)
