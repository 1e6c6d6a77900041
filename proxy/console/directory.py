"""Teams, keys and the log of their changes over HTTP, as the commands have them."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import datetime
from typing import TypeVar

import msgspec
from sqlalchemy import Connection, Engine
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from proxy.console.asking import whole
from proxy.console.guard import actor_of
from proxy.directory import keys, log, teams, wanted
from proxy.directory.rows import State
from proxy.directory.telling import issued_shown, key_shown, team_shown
from proxy.errors import DirectoryError

T = TypeVar("T")

PAGE_MOST = 500
STATES: tuple[State, ...] = ("active", "expired", "revoked")
_BODY_BYTES = 64 * 1024
_STATUS = {"invalid": 400, "missing": 404, "conflict": 409}
_NAMED = re.compile(r"\$\.(\w+)|field `(\w+)`")  # what msgspec's message is about


class TeamWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A team to be made."""

    name: str


class RotationWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a key is to be replaced: how long it goes on (``7d``, ``36h``, ``30m``, ``0``), and what the new one has."""

    grace: str = "0"
    id: str | None = None
    expires: str | None = None


class EndWanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The end of a key: a date, a moment, a time from now (``90d``); null: none."""

    expires: str | None


class NothingWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No more than the path says."""


class Directory:
    """The endpoints; ``providers`` are those that a key may be limited to."""

    def __init__(self, engine: Engine, providers: Collection[str], now: Callable[[], datetime]) -> None:
        self._engine, self._providers, self._now = engine, frozenset(providers), now

    def routes(self) -> list[Route]:
        """Give what the console serves of it; names may have a `/` in them where the configuration gave them."""
        return [
            Route("/api/teams", self.list_teams, methods=["GET"]),
            Route("/api/teams", self.add_team, methods=["POST"]),
            Route("/api/teams/{name:path}/archive", self.archive_team, methods=["POST"]),
            Route("/api/teams/{name:path}", self.team, methods=["GET"]),
            Route("/api/keys", self.list_keys, methods=["GET"]),
            Route("/api/keys", self.issue, methods=["POST"]),
            Route("/api/keys/{id:path}/revoke", self.revoke, methods=["POST"]),
            Route("/api/keys/{id:path}/rotate", self.rotate, methods=["POST"]),
            Route("/api/keys/{id:path}/expire", self.expire, methods=["POST"]),
            Route("/api/keys/{id:path}", self.key, methods=["GET"]),
            Route("/api/changes", self.changes, methods=["GET"]),
        ]

    async def list_teams(self, request: Request) -> Response:
        """Answer with a page of teams."""
        asked, limit, now = _asked(request), _limit(request), self._now()
        archived = _flag(request, "archived")

        def ask(connection: Connection) -> object:
            found, after = teams.page(connection, after=asked.get("after", ""), archived=archived, limit=limit)
            counts = teams.key_counts(connection, [team.name for team in found], now)
            return {"teams": [team_shown(team, counts) for team in found], "next": after}

        return json_reply(await self._read(ask))

    async def team(self, request: Request) -> Response:
        """Answer with one team."""
        name, now = request.path_params["name"], self._now()
        return json_reply(await self._read(lambda c: team_shown(teams.team(c, name), teams.key_counts(c, [name], now))))

    async def add_team(self, request: Request) -> Response:
        """Make a team."""
        body, actor, now = await body_of(request, TeamWanted), actor_of(request.scope), self._now()
        made = await run_in_threadpool(teams.add, self._engine, body.name, actor=actor, at=now)
        return json_reply(team_shown(made, {}), 201)

    async def archive_team(self, request: Request) -> Response:
        """End a team's use, and its keys."""
        await body_of(request, NothingWanted)
        name, actor = request.path_params["name"], actor_of(request.scope)
        made = await run_in_threadpool(teams.archive, self._engine, name, actor=actor, at=self._now())
        return json_reply(team_shown(made, {}))

    async def list_keys(self, request: Request) -> Response:
        """Answer with a page of keys."""
        asked, limit, now = _asked(request), _limit(request), self._now()
        state = next((each for each in STATES if each == asked.get("state")), None)
        if state is None and "state" in asked:
            raise DirectoryError("invalid", "state", f"state={asked['state']!r}: choose from {', '.join(STATES)}")

        def ask(connection: Connection) -> object:
            found, after = keys.page(
                connection, team=asked.get("team"), state=state, after=asked.get("after", ""), limit=limit, now=now
            )
            used = log.last_used(connection, [key.id for key in found], now)
            return {"keys": [key_shown(key, now, used) for key in found], "next": after}

        return json_reply(await self._read(ask))

    async def key(self, request: Request) -> Response:
        """Answer with one key."""
        key_id, now = request.path_params["id"], self._now()
        return json_reply(
            await self._read(lambda c: key_shown(keys.key(c, key_id), now, log.last_used(c, [key_id], now)))
        )

    async def issue(self, request: Request) -> Response:
        """Make a key, and give it away this once."""
        body, actor, now = await body_of(request, keys.Wanted), actor_of(request.scope), self._now()
        made = await run_in_threadpool(
            keys.issue, self._engine, body, known_providers=self._providers, actor=actor, at=now
        )
        return json_reply(issued_shown(made.secret, made.key, now), 201)

    async def rotate(self, request: Request) -> Response:
        """Make a key in the place of another, and give it away this once."""
        body, actor, now = await body_of(request, RotationWanted), actor_of(request.scope), self._now()
        made = await run_in_threadpool(
            keys.rotate,
            self._engine,
            request.path_params["id"],
            grace=wanted.duration(body.grace, "grace"),
            new_id=body.id,
            expires=body.expires,
            actor=actor,
            at=now,
        )
        return json_reply(issued_shown(made.secret, made.key, now), 201)

    async def revoke(self, request: Request) -> Response:
        """End a key."""
        await body_of(request, NothingWanted)
        key_id, actor, now = request.path_params["id"], actor_of(request.scope), self._now()
        return json_reply(
            key_shown(await run_in_threadpool(keys.revoke, self._engine, key_id, actor=actor, at=now), now, {})
        )

    async def expire(self, request: Request) -> Response:
        """Give a key another end."""
        body, actor, now = await body_of(request, EndWanted), actor_of(request.scope), self._now()
        key_id = request.path_params["id"]
        made = await run_in_threadpool(keys.expire, self._engine, key_id, body.expires, actor=actor, at=now)
        return json_reply(key_shown(made, now, {}))

    async def changes(self, request: Request) -> Response:
        """Answer with a page of the log, the latest first."""
        asked, limit = _asked(request), _limit(request)
        before = None if "before" not in asked else _number(request, "before", most=2**63 - 1)

        def ask(connection: Connection) -> object:
            found, after = log.page(connection, subject=asked.get("subject"), before=before, limit=limit)
            return {"changes": found, "next": after}

        return json_reply(await self._read(ask))

    async def _read(self, ask: Callable[[Connection], T]) -> T:
        def read() -> T:
            with self._engine.connect() as connection:
                return ask(connection)

        return await run_in_threadpool(read)


def refused(_: Request, error: Exception) -> Response:
    """Answer what cannot be done: which field, and why."""
    if not isinstance(error, DirectoryError):
        raise error
    return json_reply({"error": {"message": str(error), "field": error.field}}, _STATUS[error.why])


def json_reply(content: object, status: int = 200) -> Response:
    """Answer in JSON."""
    return Response(msgspec.json.encode(content), status, media_type="application/json")


async def body_of(request: Request, kind: type[T]) -> T:
    """Read what is wanted; raises :class:`DirectoryError` naming the field."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > _BODY_BYTES:
            raise DirectoryError("invalid", "body", f"the body is longer than {_BODY_BYTES} bytes")
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.MsgspecError as error:
        named = _NAMED.search(str(error))
        raise DirectoryError("invalid", (named[1] or named[2]) if named else "body", str(error)) from None


def _asked(request: Request) -> QueryParams:
    """Give what the query says; raises :class:`DirectoryError` for what is no text."""
    for name, value in request.query_params.multi_items():
        if not value.isprintable():
            raise DirectoryError("invalid", name, f"{name}={value[:64]!r}: give printable characters")
    return request.query_params


def _limit(request: Request) -> int:
    return _number(request, "limit", most=PAGE_MOST, default="100")


def _number(request: Request, name: str, *, most: int, default: str = "") -> int:
    text = request.query_params.get(name, default)
    found = whole(text, most)
    if found:
        return found
    raise DirectoryError("invalid", name, f"{name}={text[:64]!r}: give a whole number from 1 to {most}")


def _flag(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text in ("true", "false"):
        return text == "true"
    raise DirectoryError("invalid", name, f"{name}={text[:64]!r}: give true or false")
