"""Teams and keys as the command line and the API tell of them; never a hash."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

import msgspec

from proxy.directory.rows import Key, ManagedBy, State, Team


class KeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """A key: whose it is, what for, and whether it works. ``last_used_on`` is a day (UTC) of the last 90, else null."""

    id: str
    team: str
    state: State
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
    last_used_on: date | None


class TeamShown(msgspec.Struct, frozen=True, kw_only=True):
    """A team, and how many of its keys work."""

    name: str
    created_at: datetime
    archived_at: datetime | None
    managed_by: ManagedBy
    active_keys: int


def key_shown(key: Key, now: datetime, used: Mapping[str, date]) -> KeyShown:
    """Tell of a key as it is now."""
    return KeyShown(**msgspec.structs.asdict(key), state=key.state(now), last_used_on=used.get(key.id))


def team_shown(team: Team, counts: Mapping[str, int]) -> TeamShown:
    """Tell of a team."""
    return TeamShown(**msgspec.structs.asdict(team), active_keys=counts.get(team.name, 0))


def issued_shown(secret: str, key: Key, now: datetime) -> dict[str, Any]:
    """Tell of a new key, and the key itself, this once."""
    return {"key": secret, **msgspec.structs.asdict(key_shown(key, now, {}))}
