"""What the OpenAPI document says of teams, keys and the log of their changes."""

from __future__ import annotations

from proxy.console.describing import TEXT, Json, found, get, in_path, list_of, parameter, post, ref
from proxy.console.directory import PAGE_MOST, STATES, EndWanted, RotationWanted, TeamWanted
from proxy.directory.keys import Wanted
from proxy.directory.log import Change
from proxy.directory.telling import KeyShown, TeamShown

TYPES = (KeyShown, TeamShown, Change, TeamWanted, Wanted, RotationWanted, EndWanted)
_LIMIT = parameter("limit", "How many.", {"type": "integer", "minimum": 1, "maximum": PAGE_MOST})
_AFTER = parameter("after", "The `next` of the page before.", TEXT)
_TEAM, _KEY = in_path("name", "The team."), in_path("id", "The key's id.")
_ISSUED: Json = {
    "allOf": [ref("KeyShown")],
    "properties": {"key": {"type": "string", "description": "The key itself, told this once."}},
    "required": ["key"],
}


def paths() -> Json:
    """Describe them."""
    return {
        "/api/teams": get(
            "Teams by name, those in use.",
            _page("teams", "TeamShown", TEXT),
            parameter("archived", "Also those that are archived.", {"type": "boolean"}),
            _LIMIT,
            _AFTER,
        )
        | post("Make a team, or take an archived one back into use.", 201, ref("TeamShown"), "TeamWanted"),
        "/api/teams/{name}": found("A team.", ref("TeamShown"), _TEAM),
        "/api/teams/{name}/archive": post(
            "End a team's use; its keys are revoked.", 200, ref("TeamShown"), None, _TEAM
        ),
        "/api/keys": get(
            "Keys by id, never what they are.",
            _page("keys", "KeyShown", TEXT),
            parameter("team", "Only this team's.", TEXT),
            parameter("state", "Only those.", {"type": "string", "enum": list(STATES)}),
            _LIMIT,
            _AFTER,
        )
        | post("Make a key; it works within seconds.", 201, _ISSUED, "Wanted"),
        "/api/keys/{id}": found("A key.", ref("KeyShown"), _KEY),
        "/api/keys/{id}/revoke": post("End a key for good, within seconds.", 200, ref("KeyShown"), None, _KEY),
        "/api/keys/{id}/rotate": post(
            "Make a key like another and end that one, at once or after a grace.", 201, _ISSUED, "RotationWanted", _KEY
        ),
        "/api/keys/{id}/expire": post("Give a key another end, or none.", 200, ref("KeyShown"), "EndWanted", _KEY),
        "/api/changes": get(
            "Who changed which team or key, the latest first.",
            _page("changes", "Change", {"type": "integer"}),
            parameter("subject", "Only of this team or key.", TEXT),
            parameter("before", "The `next` of the page before.", {"type": "integer", "minimum": 1}),
            _LIMIT,
        ),
    }


def _page(name: str, schema: str, after: Json) -> Json:
    following = {"type": [after["type"], "null"], "description": "Where the next page begins; null: this is the last."}
    return {"type": "object", "properties": {name: list_of(schema), "next": following}, "required": [name, "next"]}
