"""Teams and keys through the console's API, each answer held against its description."""

from __future__ import annotations

import json
from datetime import timedelta

import jsonschema
import pytest

from proxy.console.access import Access
from proxy.directory.configured import take_over
from proxy.teams import digest
from tests.console.conftest import NOON, Running, serve
from tests.console.test_api import get
from tests.directory.asking import section

TOKEN = "t" * 40


@pytest.fixture
def console(ledger_url):
    access = Access({"bob": TOKEN.encode()})
    with serve(ledger_url, now=lambda: NOON, access=access, providers=["openai", "groq"]) as running:
        yield Known(running)


class Known:
    """A console that is asked with its token."""

    def __init__(self, running: Running) -> None:
        self.running, self.engine = running, running.engine

    def get(self, path: str, **headers: str):
        return self.running.get(path, authorization=f"Bearer {TOKEN}", **headers)

    def post(self, path: str, body: object = None, *, status: int, described: str | None = None):
        text = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        reply = self.running.post(path, text, authorization=f"Bearer {TOKEN}", content_type="application/json")
        assert reply.status == status, reply.text
        document = json.loads(self.get("/api/openapi.json").text)
        answers = document["paths"][described or path]["post"]["responses"]
        schema = answers[str(status)]["content"]["application/json"]["schema"]
        jsonschema.validate(json.loads(reply.text), schema | {"components": document["components"]})
        return json.loads(reply.text)


def issue(console: Known, **wanted) -> dict:
    return console.post("/api/keys", {"team": "search"} | wanted, status=201)


def change(console: Known, key_id: str, what: str, body: object = None, *, status: int = 200) -> dict:
    return console.post(f"/api/keys/{key_id}/{what}", body, status=status, described=f"/api/keys/{{id}}/{what}")


def key(console: Known, key_id: str) -> dict:
    return get(console, f"/api/keys/{key_id}", described="/api/keys/{id}")


def test_a_team_from_its_making_to_its_end(console):
    made = console.post("/api/teams", {"name": "R & D"}, status=201)
    assert (made["name"], made["created_at"], made["active_keys"]) == ("R & D", "2026-11-23T12:30:00Z", 0)
    assert console.post("/api/teams", {"name": "R & D"}, status=409)["error"]["field"] == "name"
    issue(console, team="R & D", id="r1")
    assert get(console, "/api/teams/R%20%26%20D", described="/api/teams/{name}")["active_keys"] == 1
    assert get(console, "/api/teams") == {"teams": [made | {"active_keys": 1}], "next": None}
    archived = console.post("/api/teams/R%20%26%20D/archive", status=200, described="/api/teams/{name}/archive")
    assert archived["archived_at"] == "2026-11-23T12:30:00Z"
    assert get(console, "/api/teams")["teams"] == []
    assert [team["name"] for team in get(console, "/api/teams?archived=true")["teams"]] == ["R & D"]
    assert key(console, "r1")["state"] == "revoked"


def test_a_key_from_its_making_to_its_end_and_who_did_it(console):
    console.post("/api/teams", {"name": "search"}, status=201)
    limits = {"models": ["gpt-4o*"], "providers": ["openai"], "networks": ["10.0.0.0/8"]}
    made = issue(console, id="s1", project="p", user="u", expires="90d", **limits)
    secret = made.pop("key")
    assert made == key(console, "s1")
    assert made["expires_at"] == (NOON + timedelta(days=90)).isoformat().replace("+00:00", "Z")
    assert {name: made[name] for name in limits} == limits
    second = change(console, "s1", "rotate", {"grace": "36h", "id": "s2", "expires": "9d"}, status=201)
    assert (second["replaces"], second["project"], second["key"] != secret) == ("s1", "p", True)
    assert key(console, "s1")["expires_at"] == "2026-11-25T00:30:00Z"
    assert change(console, "s2", "expire", {"expires": None})["expires_at"] is None
    assert change(console, "s2", "revoke")["state"] == "revoked"
    assert change(console, "s2", "revoke", status=409)["error"]["message"].startswith(
        "key s2 was revoked on 2026-11-23"
    )
    log = get(console, "/api/changes")
    assert [each["action"] for each in log["changes"]] == [
        "revoke", "expire", "expire", "rotate", "issue", "add",
    ]  # fmt: skip
    assert {each["actor"] for each in log["changes"]} == {"token:bob"}
    assert log["next"] is None
    everything = [console.get(path).text for path in ("/api/keys", "/api/keys/s1", "/api/changes", "/", "/metrics")]
    for told in (secret, second["key"]):
        for hidden in (told, told[3:], digest(told.encode())):
            assert not any(hidden in text for text in everything)


def test_pages(console):
    console.post("/api/teams", {"name": "search"}, status=201)
    for number in range(5):
        issue(console, id=f"k{number}")
    first = get(console, "/api/keys?limit=2")
    assert ([each["id"] for each in first["keys"]], first["next"]) == (["k0", "k1"], "k1")
    last = get(console, "/api/keys?limit=3&after=k1&state=active&team=search")
    assert ([each["id"] for each in last["keys"]], last["next"]) == (["k2", "k3", "k4"], None)
    page = get(console, "/api/changes?limit=2&subject=k4")
    assert ([each["number"] for each in page["changes"]], page["next"]) == ([6], None)
    page = get(console, "/api/changes?limit=2&before=5")
    assert ([each["number"] for each in page["changes"]], page["next"]) == ([4, 3], 3)


@pytest.mark.parametrize(
    ("path", "body", "status", "field", "says"),
    [
        ("/api/teams", {}, 400, "name", "missing required field `name`"),
        ("/api/teams", {"name": 1}, 400, "name", "Expected `str`, got `int`"),
        ("/api/teams", {"name": "a/b"}, 400, "name", "without `/`"),
        ("/api/teams", {"name": "x", "nme": 1}, 400, "nme", "unknown field `nme`"),
        ("/api/teams", b"{", 400, "body", "truncated"),
        ("/api/teams", b'{"name": "' + b"x" * 70_000, 400, "body", "longer than 65536 bytes"),
        ("/api/keys", {"team": "nobody"}, 404, "team", "there is no team 'nobody'"),
        ("/api/keys", {"team": "conf", "id": "c1"}, 409, "id", "there is a key c1 already"),
        ("/api/keys", {"team": "conf", "id": "a\x00b"}, 400, "id", "printable"),
        ("/api/keys", {"team": "conf", "models": "gpt"}, 400, "models", "Expected `array`"),
        ("/api/keys", {"team": "conf", "models": [1]}, 400, "models", "Expected `str`"),
        ("/api/keys", {"team": "conf", "expires": "soon"}, 400, "expires", "is no date"),
        ("/api/keys", {"team": "conf", "networks": ["x"]}, 400, "networks", "write 10.0.0.0/8"),
        ("/api/keys", {"team": "conf", "providers": ["opnai"]}, 400, "providers", "known are groq, openai"),
        ("/api/keys", {"team": "conf", "sha256": "0" * 64}, 400, "sha256", "unknown field"),
        ("/api/keys/c1/revoke", None, 409, "id", "key c1 is in the configuration"),
        ("/api/keys", {"team": "a\x00"}, 404, "team", "there is no team"),
        ("/api/keys/nobody/revoke", None, 404, "id", "there is no key 'nobody'"),
        ("/api/keys/c1/rotate", {"grace": "long"}, 400, "grace", "is no time"),
        ("/api/teams/conf/archive", None, 409, "name", "team conf is in the configuration"),
    ],
)
def test_what_cannot_be_names_the_field(console, path, body, status, field, says):
    take_over(console.engine, [section("conf", "c1")], at=NOON)
    described = path.replace("/c1/", "/{id}/").replace("/nobody/", "/{id}/").replace("/conf/", "/{name}/")
    error = console.post(path, body, status=status, described=described)["error"]
    assert error["field"] == field
    assert says in error["message"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/api/keys?limit=0", "limit"),
        ("/api/keys?limit=501", "limit"),
        ("/api/keys?state=lost", "state"),
        ("/api/teams?archived=yes", "archived"),
        ("/api/changes?before=x", "before"),
        ("/api/changes?subject=%00", "subject"),
        ("/api/keys?team=%00", "team"),
        ("/api/keys?after=a%0Ab", "after"),
    ],
)
def test_a_question_that_cannot_be_read_names_the_field(console, path, field):
    assert get(console, path, 400)["error"]["field"] == field


@pytest.mark.parametrize(
    ("path", "described"), [("/api/keys/%00", "/api/keys/{id}"), ("/api/teams/a%00", "/api/teams/{name}")]
)
def test_what_no_database_takes_is_not_there(console, path, described):
    assert get(console, path, 404, described=described)["error"]["message"].startswith("there is no ")


def test_a_name_of_the_configuration_may_have_a_slash(console):
    take_over(console.engine, [section("a/b", "k/1")], at=NOON)
    assert get(console, "/api/teams/a%2Fb", described="/api/teams/{name}")["name"] == "a/b"
    assert get(console, "/api/keys/k/1", described="/api/keys/{id}")["team"] == "a/b"


def test_while_the_ledger_is_away_it_is_said(tmp_path):
    with serve(f"sqlite:///{tmp_path}/none.db", migrated=False) as console:
        assert console.get("/api/teams").status == 503
        assert console.post("/api/teams", '{"name": "a"}', content_type="application/json").status == 503
