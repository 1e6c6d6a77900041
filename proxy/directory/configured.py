"""The teams and keys of the configuration, written into the directory: the file alone changes them.

What is new in the file is added, what differs is changed, what is gone is revoked or archived; each of it is noted.
A team that is gone from the file and still has keys made by command or API goes on, as one of those.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from proxy.directory.changing import Changing, changing
from proxy.directory.rows import KEY_COLUMNS, TEAM_COLUMNS, Key, Team, keys_of, teams_of
from proxy.directory.teams import live_keys, put
from proxy.known_keys import in_both
from proxy.ledger.directory_tables import keys, teams
from proxy.sections import KeySection, TeamSection

ACTOR = "configuration"


def take_over(engine: Engine, sections: Sequence[TeamSection], *, at: datetime) -> list[str]:
    """Bring the directory in line with the file; gives the conflicts, whose keys are left as they are."""
    with changing(engine, actor=ACTOR, at=at) as change:
        connection = change.connection
        there = {each.name: each for each in _teams(connection, [each.name for each in sections])}
        for section in sections:
            before = there.get(section.name)
            made = Team(
                name=section.name,
                created_at=at if before is None else before.created_at,
                archived_at=None,
                managed_by="configuration",
            )
            if before != made:
                action = "add" if before is None else "take over" if before.managed_by == "api" else "restore"
                put(change, before, made, action)
        found = conflicts(connection, sections)
        _take_over_keys(change, sections, found.keys())
        _let_go(change, {each.name for each in sections})
    return list(found.values())


def conflicts(connection: Connection, sections: Iterable[TeamSection]) -> dict[str, str]:
    """Find keys of the file that are also keys made by command or API, by id or by the key itself; says so for each."""
    own = {key.id: key.sha256 for team in sections for key in team.key}
    found: dict[str, str] = {}
    for some in _portions(sorted(own)):
        select = sa.select(keys.c.id, keys.c.sha256).where(
            keys.c.managed_by == "api",
            sa.or_(keys.c.id.in_(some), keys.c.sha256.in_([own[key_id] for key_id in some])),
        )
        found |= in_both(own, ((row[0], row[1]) for row in connection.execute(select)))
    return found


def _take_over_keys(change: Changing, sections: Sequence[TeamSection], left_out: Iterable[str]) -> None:
    wanted = {key.id: (_key(team.name, key, change.at), key.sha256) for team in sections for key in team.key}
    for key_id in left_out:
        wanted.pop(key_id)
    there = _configured_keys(change.connection)
    # First what goes, so that a key may have another id from now on.
    for key_id, (before, sha256) in there.items():
        if key_id not in wanted and (before.revoked_at is None or sha256 is not None):
            after = msgspec.structs.replace(before, revoked_at=before.revoked_at or change.at)
            _write(change, before, after, None, "revoke")
        elif key_id in wanted and sha256 != wanted[key_id][1]:
            change.connection.execute(sa.update(keys).where(keys.c.id == key_id).values(sha256=None))
    for key_id, (after, sha256) in wanted.items():
        known = there.get(key_id)
        if known is None:
            _write(change, None, after, sha256, "issue")
            continue
        before, former = known
        after = msgspec.structs.replace(after, created_at=before.created_at, replaces=before.replaces)
        if before != after or former != sha256:
            action = "restore" if before.revoked_at is not None else "change" if former == sha256 else "replace"
            _write(change, before, after, sha256, action)


def _let_go(change: Changing, wanted: set[str]) -> None:
    """Archive teams that are gone from the file, or hand them over to those who made keys for them."""
    select = sa.select(*TEAM_COLUMNS).where(teams.c.managed_by == "configuration").order_by(teams.c.name)
    for before in teams_of(change.connection.execute(select)):
        if before.name in wanted or before.archived_at is not None:
            continue
        if live_keys(change.connection, before.name):
            put(change, before, msgspec.structs.replace(before, managed_by="api"), "hand over")
        else:
            put(change, before, msgspec.structs.replace(before, archived_at=change.at), "archive")


def _key(team: str, section: KeySection, at: datetime) -> Key:
    return Key(
        id=section.id,
        team=team,
        project=section.project,
        user=section.user,
        created_at=at,
        expires_at=None if section.expires is None else section.expires.astimezone(UTC),
        revoked_at=None,
        providers=section.providers,
        models=section.models,
        networks=section.networks,
        managed_by="configuration",
        replaces=None,
    )


def _write(change: Changing, before: Key | None, after: Key, sha256: str | None, action: str) -> None:
    values = {name: getattr(after, name) for name in Key.__struct_fields__} | {"sha256": sha256}
    if before is None:
        change.connection.execute(sa.insert(keys).values(values))
        change.note(action, "key", after.id, before=None, after=after)
        return
    change.connection.execute(sa.update(keys).where(keys.c.id == after.id).values(values))
    differ = [name for name in Key.__struct_fields__ if getattr(before, name) != getattr(after, name)]
    change.note(
        action,
        "key",
        after.id,
        before={name: getattr(before, name) for name in differ},
        after={name: getattr(after, name) for name in differ},
    )


def _configured_keys(connection: Connection) -> Mapping[str, tuple[Key, str | None]]:
    select = sa.select(*KEY_COLUMNS, keys.c.sha256).where(keys.c.managed_by == "configuration").order_by(keys.c.id)
    rows = connection.execute(select).all()
    return {key.id: (key, row[-1]) for key, row in zip(keys_of(row[:-1] for row in rows), rows, strict=True)}


def _teams(connection: Connection, names: Sequence[str]) -> Iterable[Team]:
    for some in _portions(names):
        yield from teams_of(connection.execute(sa.select(*TEAM_COLUMNS).where(teams.c.name.in_(some))))


def _portions(names: Sequence[str], size: int = 500) -> Iterable[Sequence[str]]:
    """Cut in parts that a question has room for."""
    return (names[start : start + size] for start in range(0, len(names), size))
