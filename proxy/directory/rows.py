"""A team and a key as everybody but the gate sees them: without the key and without its hash."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from proxy.ledger.directory_tables import keys, teams

ManagedBy = Literal["configuration", "api"]
State = Literal["active", "expired", "revoked"]


class Team(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``teams``."""

    name: str
    created_at: datetime
    archived_at: datetime | None
    managed_by: ManagedBy


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``keys`` without its hash."""

    id: str
    team: str
    project: str | None
    user: str | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    providers: tuple[str, ...]
    models: tuple[str, ...]
    networks: tuple[str, ...]
    managed_by: ManagedBy
    replaces: str | None

    def state(self, now: datetime) -> State:
        """Say whether it works."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


KEY_COLUMNS = tuple(keys.c[name] for name in Key.__struct_fields__)
TEAM_COLUMNS = tuple(teams.c[name] for name in Team.__struct_fields__)


def keys_of(result: Iterable[Any]) -> list[Key]:
    """Make keys of what a select of ``KEY_COLUMNS`` gives."""
    return [msgspec.convert(dict(zip(Key.__struct_fields__, row, strict=True)), Key) for row in result]


def teams_of(result: Iterable[Any]) -> list[Team]:
    """Make teams of what a select of ``TEAM_COLUMNS`` gives."""
    return [msgspec.convert(dict(zip(Team.__struct_fields__, row, strict=True)), Team) for row in result]


def key_by_id(connection: sa.Connection, key_id: str) -> Key | None:
    """Read one key."""
    if "\0" in key_id:  # which PostgreSQL takes for a mistake
        return None
    return next(iter(keys_of(connection.execute(sa.select(*KEY_COLUMNS).where(keys.c.id == key_id)))), None)


def team_by_name(connection: sa.Connection, name: str) -> Team | None:
    """Read one team."""
    if "\0" in name:
        return None
    return next(iter(teams_of(connection.execute(sa.select(*TEAM_COLUMNS).where(teams.c.name == name)))), None)
