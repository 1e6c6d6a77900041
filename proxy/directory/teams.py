"""Teams: made, archived, listed. A team has no other name later: the calls that are stored bear this one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from proxy.directory import wanted
from proxy.directory.changing import Changing, changing
from proxy.directory.rows import KEY_COLUMNS, TEAM_COLUMNS, Key, Team, keys_of, team_by_name, teams_of
from proxy.errors import DirectoryError
from proxy.ledger.directory_tables import keys, teams


def add(engine: Engine, name: str, *, actor: str, at: datetime) -> Team:
    """Make a team, or take an archived one back into use; its keys of then stay revoked.

    Raises :class:`DirectoryError` where there is such a team already.
    """
    wanted.name(name, "name")
    with changing(engine, actor=actor, at=at) as change:
        before = team_by_name(change.connection, name)
        if before is not None and before.archived_at is None:
            raise DirectoryError("conflict", "name", f"there is a team {name} already")
        made = Team(name=name, created_at=at if before is None else before.created_at, archived_at=None,
                    managed_by="api")  # fmt: skip
        put(change, before, made, "add" if before is None else "restore")
    return made


def archive(engine: Engine, name: str, *, actor: str, at: datetime) -> Team:
    """End a team's use: all its keys are revoked, what it cost stays. Raises :class:`DirectoryError`."""
    with changing(engine, actor=actor, at=at) as change:
        before = team(change.connection, name)
        if before.managed_by == "configuration":
            raise DirectoryError(
                "conflict",
                "name",
                f"team {name} is in the configuration: take it out there, and send SIGHUP or restart",
            )
        if before.archived_at is not None:
            raise DirectoryError("conflict", "name", f"team {name} is archived already")
        fixed = change.connection.scalar(
            sa.select(keys.c.id).where(
                keys.c.team == name, keys.c.revoked_at.is_(None), keys.c.managed_by == "configuration"
            )
        )
        if fixed is not None:
            message = f"team {name} has the key {fixed} of the configuration: take it out there first"
            raise DirectoryError("conflict", "name", message)
        for key in live_keys(change.connection, name):
            after = {"revoked_at": at}
            change.connection.execute(sa.update(keys).where(keys.c.id == key.id).values(**after))
            change.note("revoke", "key", key.id, before={"revoked_at": None}, after=after)
        made = Team(name=name, created_at=before.created_at, archived_at=at, managed_by="api")
        put(change, before, made, "archive")
    return made


def team(connection: Connection, name: str) -> Team:
    """Read a team; raises :class:`DirectoryError` where there is none."""
    found = team_by_name(connection, name)
    if found is None:
        raise DirectoryError("missing", "team", f"there is no team {name[:64]!r}; make it: joulegate teams add")
    return found


def page(
    connection: Connection, *, after: str = "", archived: bool = False, limit: int
) -> tuple[Sequence[Team], str | None]:
    """List teams by name, and where the next page begins; archived ones only where they are asked for."""
    select = sa.select(*TEAM_COLUMNS).where(teams.c.name > after).order_by(teams.c.name).limit(limit + 1)
    if not archived:
        select = select.where(teams.c.archived_at.is_(None))
    found = teams_of(connection.execute(select))
    return found[:limit], found[limit - 1].name if len(found) > limit else None


def names(connection: Connection, limit: int) -> list[str]:
    """Give the names of teams, at most ``limit``: those in use first, the oldest first."""
    select = sa.select(teams.c.name).order_by(teams.c.archived_at.is_not(None), teams.c.created_at, teams.c.name)
    return list(connection.scalars(select.limit(limit)))


def key_counts(connection: Connection, found: Sequence[str], now: datetime) -> dict[str, int]:
    """Count the keys that work, by team."""
    select = (
        sa.select(keys.c.team, sa.func.count())
        .where(keys.c.team.in_(found), keys.c.revoked_at.is_(None))
        .where(sa.or_(keys.c.expires_at.is_(None), keys.c.expires_at > now))
        .group_by(keys.c.team)
    )
    return {row[0]: row[1] for row in connection.execute(select)}


def live_keys(connection: Connection, name: str) -> list[Key]:
    """Give the keys of a team that are not revoked."""
    select = sa.select(*KEY_COLUMNS).where(keys.c.team == name, keys.c.revoked_at.is_(None)).order_by(keys.c.id)
    return keys_of(connection.execute(select))


def put(change: Changing, before: Team | None, after: Team, action: str) -> None:
    """Write a team, new or changed, and note it."""
    values = {each: getattr(after, each) for each in Team.__struct_fields__}
    if before is None:
        change.connection.execute(sa.insert(teams).values(values))
    else:
        change.connection.execute(sa.update(teams).where(teams.c.name == after.name).values(values))
    change.note(action, "team", after.name, before=before, after=after)
