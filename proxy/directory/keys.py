"""Keys of the directory: issued, revoked, rotated, ended, listed. A key itself is given away once and kept nowhere."""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from proxy.directory import teams, wanted
from proxy.directory.changing import Changing, changing
from proxy.directory.rows import KEY_COLUMNS, Key, State, key_by_id, keys_of
from proxy.errors import DirectoryError
from proxy.ledger.directory_tables import keys
from proxy.teams import NAME_CHARACTERS_AT_MOST, digest, issue_key

_MADE_UP = re.compile(r"-[0-9a-f]{8}$")  # the end of an id that nobody chose


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a new key is to be like; see the section ``[[team.key]]`` of the configuration."""

    team: str
    id: str | None = None  # None: made of the team's name
    project: str | None = None
    user: str | None = None
    expires: str | None = None  # a date, a moment, 90d
    providers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


class Issued(NamedTuple):
    """A new key: what is told once, and what is known of it from then on."""

    secret: str
    key: Key


def checked(asked: Wanted, *, known_providers: Collection[str], at: datetime) -> Key:
    """Make a key's row of what is wanted; raises :class:`DirectoryError` naming the field that is wrong."""
    return Key(
        id=_made_up(asked.team) if asked.id is None else wanted.name(asked.id, "id"),
        team=asked.team,
        project=None if asked.project is None else wanted.name(asked.project, "project"),
        user=None if asked.user is None else wanted.name(asked.user, "user"),
        created_at=at,
        expires_at=None if asked.expires is None else wanted.moment(asked.expires, at, "expires"),
        revoked_at=None,
        providers=wanted.providers(asked.providers, known_providers),
        models=wanted.models(asked.models),
        networks=wanted.networks(asked.networks),
        managed_by="api",
        replaces=None,
    )


def issue(engine: Engine, asked: Wanted, *, known_providers: Collection[str], actor: str, at: datetime) -> Issued:
    """Make a key for a team that there is; raises :class:`DirectoryError`."""
    made = checked(asked, known_providers=known_providers, at=at)
    with changing(engine, actor=actor, at=at) as change:
        if teams.team(change.connection, asked.team).archived_at is not None:
            raise DirectoryError(
                "conflict", "team", f"team {asked.team} is archived; take it back: joulegate teams add"
            )
        return Issued(_insert(change, made, "issue"), made)


def revoke(engine: Engine, key_id: str, *, actor: str, at: datetime) -> Key:
    """End a key at once; raises :class:`DirectoryError`."""
    with changing(engine, actor=actor, at=at) as change:
        before = _changeable(change.connection, key_id)
        return _update(change, before, msgspec.structs.replace(before, revoked_at=at), "revoke")


def expire(engine: Engine, key_id: str, when: str | None, *, actor: str, at: datetime) -> Key:
    """Give a key another end; ``None``: none. Raises :class:`DirectoryError`."""
    with changing(engine, actor=actor, at=at) as change:
        before = _changeable(change.connection, key_id)
        end = None if when is None else wanted.moment(when, at, "expires")
        return _update(change, before, msgspec.structs.replace(before, expires_at=end), "expire")


def rotate(
    engine: Engine,
    key_id: str,
    *,
    grace: timedelta,
    new_id: str | None = None,
    expires: str | None = None,
    actor: str,
    at: datetime,
) -> Issued:
    """Make a key like another, which works for ``grace`` longer at most; raises :class:`DirectoryError`.

    The new one has the other's end, or ``expires``.
    """
    with changing(engine, actor=actor, at=at) as change:
        before = _changeable(change.connection, key_id)
        if before.state(at) == "expired":
            raise DirectoryError("conflict", "id", f"key {key_id} has expired: issue another")
        successor = change.connection.scalar(
            sa.select(keys.c.id).where(keys.c.replaces == key_id, keys.c.revoked_at.is_(None))
        )
        if successor is not None:
            raise DirectoryError("conflict", "id", f"key {key_id} was rotated already: {successor} replaces it")
        made = msgspec.structs.replace(
            before,
            id=_made_up(_MADE_UP.sub("", key_id)) if new_id is None else wanted.name(new_id, "id"),
            created_at=at,
            expires_at=before.expires_at if expires is None else wanted.moment(expires, at, "expires"),
            replaces=key_id,
        )
        secret = _insert(change, made, "rotate")
        if grace:
            end = min(at + grace, before.expires_at or at + grace)
            _update(change, before, msgspec.structs.replace(before, expires_at=end), "expire")
        else:
            _update(change, before, msgspec.structs.replace(before, revoked_at=at), "revoke")
        return Issued(secret, made)


def key(connection: Connection, key_id: str) -> Key:
    """Read a key; raises :class:`DirectoryError` where there is none."""
    found = key_by_id(connection, key_id)
    if found is None:
        raise DirectoryError("missing", "id", f"there is no key {key_id[:64]!r}")
    return found


def page(
    connection: Connection,
    *,
    team: str | None = None,
    state: State | None = None,
    after: str = "",
    limit: int,
    now: datetime,
) -> tuple[Sequence[Key], str | None]:
    """List keys by id, and where the next page begins."""
    select = sa.select(*KEY_COLUMNS).where(keys.c.id > after).order_by(keys.c.id).limit(limit + 1)
    if team is not None:
        select = select.where(keys.c.team == team)
    over = sa.and_(keys.c.expires_at.is_not(None), keys.c.expires_at <= now)
    match state:
        case "revoked":
            select = select.where(keys.c.revoked_at.is_not(None))
        case "expired":
            select = select.where(keys.c.revoked_at.is_(None), over)
        case "active":
            select = select.where(keys.c.revoked_at.is_(None), sa.not_(over))
        case None:
            pass
    found = keys_of(connection.execute(select))
    return found[:limit], found[limit - 1].id if len(found) > limit else None


def _made_up(stem: str) -> str:
    """Make an id up: nothing of the key is in it."""
    return f"{stem.replace('/', '-')[: NAME_CHARACTERS_AT_MOST - 9]}-{secrets.token_hex(4)}"


def _insert(change: Changing, made: Key, action: str) -> str:
    if key_by_id(change.connection, made.id) is not None:
        raise DirectoryError("conflict", "id", f"there is a key {made.id} already; no id is given twice")
    secret = issue_key()
    values = {name: getattr(made, name) for name in Key.__struct_fields__}
    change.connection.execute(sa.insert(keys).values(values | {"sha256": digest(secret.encode())}))
    change.note(action, "key", made.id, before=None, after=made)
    return secret


def _changeable(connection: Connection, key_id: str) -> Key:
    found = key(connection, key_id)
    if found.managed_by == "configuration":
        message = f"key {key_id} is in the configuration: change it there, and send SIGHUP or restart"
        raise DirectoryError("conflict", "id", message)
    if found.revoked_at is not None:
        raise DirectoryError("conflict", "id", f"key {key_id} was revoked on {found.revoked_at:%Y-%m-%d %H:%M} UTC")
    return found


def _update(change: Changing, before: Key, after: Key, action: str) -> Key:
    """Write what differs, and note that."""
    names = [name for name in Key.__struct_fields__ if getattr(before, name) != getattr(after, name)]
    if names:
        values = {name: getattr(after, name) for name in names}
        change.connection.execute(sa.update(keys).where(keys.c.id == after.id).values(values))
        change.note(action, "key", after.id, before={name: getattr(before, name) for name in names}, after=values)
    return after
