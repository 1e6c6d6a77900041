"""Keys and teams changed in the database, on both of them; each change is written down."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from proxy.directory import keys, teams
from proxy.directory.changing import changing, revision_of
from proxy.errors import DirectoryError
from proxy.ledger.directory_tables import changes
from proxy.ledger.directory_tables import keys as key_table
from proxy.ledger.directory_tables import teams as team_table
from proxy.teams import digest
from tests.directory.asking import LATER, NOW, issue, make_team, noted, shown

LIMITED = {"models": ("gpt-4o*",), "providers": ("openai",), "networks": ("10.0.0.0/8",), "project": "p", "user": "u"}


@pytest.fixture
def directory(engine):
    make_team(engine)
    return engine


def test_what_is_kept_of_a_key_is_its_hash_and_what_it_is_for(directory):
    secret, key = issue(directory, id="s1", expires="90d", **LIMITED)
    assert shown(directory, "s1") == key
    assert (key.team, key.project, key.user, key.models, key.networks) == (
        "search",
        "p",
        "u",
        ("gpt-4o*",),
        ("10.0.0.0/8",),
    )
    assert (key.expires_at, key.managed_by, key.state(NOW)) == (NOW + timedelta(days=90), "api", "active")
    assert key.state(NOW + timedelta(days=91)) == "expired"
    with directory.connect() as connection:
        assert connection.scalar(sa.select(key_table.c.sha256)) == digest(secret.encode())


def test_the_log_says_who_did_what_and_holds_no_key_and_no_hash(directory):
    first = issue(directory, id="s1")
    second = keys.rotate(directory, "s1", grace=timedelta(hours=2), new_id="s2", actor="token:bob", at=LATER)
    keys.expire(directory, "s2", "1d", actor="cli:ada", at=LATER)
    keys.revoke(directory, "s2", actor="cli:ada", at=LATER)
    teams.archive(directory, "search", actor="cli:ada", at=LATER)
    assert noted(directory) == [
        ("cli:ada", "add", "team", "search"),
        ("cli:ada", "issue", "key", "s1"),
        ("token:bob", "rotate", "key", "s2"),
        ("token:bob", "expire", "key", "s1"),
        ("cli:ada", "expire", "key", "s2"),
        ("cli:ada", "revoke", "key", "s2"),
        ("cli:ada", "revoke", "key", "s1"),
        ("cli:ada", "archive", "team", "search"),
    ]
    with directory.connect() as connection:
        rows = connection.execute(sa.select(changes).order_by(changes.c.number)).all()
        assert [row.number for row in rows] == list(range(1, 9))
        assert revision_of(connection) == 8
    assert rows[3].before == {"expires_at": None}
    assert rows[3].after == {"expires_at": (LATER + timedelta(hours=2)).isoformat().replace("+00:00", "Z")}
    text = repr(rows)
    for secret in (first.secret, second.secret):
        assert secret not in text
        assert digest(secret.encode()) not in text
        assert digest(secret.encode())[:8] not in text


def test_rotating_makes_one_like_it_and_leaves_the_old_one_its_grace(directory):
    _, old = issue(directory, id="s1", expires="90d", **LIMITED)
    new = keys.rotate(directory, "s1", grace=timedelta(hours=2), actor="cli:ada", at=NOW).key
    assert (new.replaces, new.models, new.expires_at) == ("s1", old.models, old.expires_at)
    assert new.id.startswith("s1-")
    assert shown(directory, "s1").expires_at == NOW + timedelta(hours=2)
    with pytest.raises(DirectoryError, match="was rotated already"):
        keys.rotate(directory, "s1", grace=timedelta(0), actor="cli:ada", at=NOW)
    third = keys.rotate(directory, new.id, grace=timedelta(0), actor="cli:ada", at=LATER).key
    assert third.id.startswith("s1-")
    assert third.id.count("-") == 1  # a made-up end is put in the place of the one before
    assert shown(directory, new.id).state(LATER) == "revoked"
    assert shown(directory, "s1").state(LATER + timedelta(hours=1)) == "expired"


def test_grace_does_not_make_a_key_live_longer(directory):
    issue(directory, id="s1", expires="1h")
    keys.rotate(directory, "s1", grace=timedelta(hours=2), expires="90d", actor="cli:ada", at=NOW)
    assert shown(directory, "s1").expires_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("wanted", "field", "says"),
    [
        ({"team": "nobody"}, "team", "there is no team 'nobody'"),
        ({"id": "s0"}, "id", "there is a key s0 already"),
        ({"id": ""}, "id", "1 to 64 printable characters"),
        ({"id": "a/b"}, "id", "without `/`"),
        ({"id": "a\nb"}, "id", "printable"),
        ({"project": "x" * 65}, "project", "1 to 64"),
        ({"expires": "soon"}, "expires", "is no date; write 2027-01-31"),
        ({"expires": "2020-01-01"}, "expires", "is over already"),
        ({"networks": ("10.0.0.1/8",)}, "networks", "has host bits set"),
        ({"providers": ("opnai",)}, "providers", "known are groq, openai"),
        ({"models": ("",)}, "models", "is no pattern"),
        ({"models": ("m",) * 101}, "models", "at most 100"),
    ],
)
def test_what_cannot_be_is_said_and_changes_nothing(directory, wanted, field, says):
    issue(directory, id="s0")
    before = noted(directory)
    with pytest.raises(DirectoryError, match=says) as refused:
        issue(directory, **wanted)
    assert refused.value.field == field
    assert noted(directory) == before
    with directory.connect() as connection:
        assert revision_of(connection) == len(before)


def test_what_is_over_is_not_changed_again(directory):
    issue(directory, id="s1")
    keys.revoke(directory, "s1", actor="cli:ada", at=NOW)
    for change in (
        lambda: keys.revoke(directory, "s1", actor="cli:ada", at=LATER),
        lambda: keys.expire(directory, "s1", None, actor="cli:ada", at=LATER),
        lambda: keys.rotate(directory, "s1", grace=timedelta(0), actor="cli:ada", at=LATER),
    ):
        with pytest.raises(DirectoryError, match="was revoked on 2026-11-23 12:30 UTC"):
            change()
    issue(directory, id="s2", expires="1h")
    with pytest.raises(DirectoryError, match="has expired: issue another"):
        keys.rotate(directory, "s2", grace=timedelta(0), actor="cli:ada", at=LATER)
    with pytest.raises(DirectoryError, match="there is no key 's3'"):
        keys.revoke(directory, "s3", actor="cli:ada", at=LATER)


def test_an_archived_team_has_no_key_that_works_and_gets_none(directory):
    issue(directory, id="s1")
    teams.archive(directory, "search", actor="cli:ada", at=LATER)
    assert shown(directory, "s1").revoked_at == LATER
    with pytest.raises(DirectoryError, match="is archived"):
        issue(directory)
    with pytest.raises(DirectoryError, match="archived already"):
        teams.archive(directory, "search", actor="cli:ada", at=LATER)
    back = teams.add(directory, "search", actor="cli:ada", at=LATER)
    assert (back.created_at, back.archived_at) == (NOW, None)
    assert shown(directory, "s1").revoked_at == LATER
    with pytest.raises(DirectoryError, match="there is a team search already"):
        teams.add(directory, "search", actor="cli:ada", at=LATER)


def test_pages_go_through_all_of_them_by_state_and_team(directory):
    make_team(directory, "ads")
    for number in range(7):
        issue(directory, ("search", "ads")[number % 2], id=f"k{number}", expires="1h" if number == 3 else None)
    keys.revoke(directory, "k5", actor="cli:ada", at=NOW)

    def all_of(limit: int, **filters) -> list[str]:
        found, after = [], ""
        while after is not None:
            with directory.connect() as connection:
                page, after = keys.page(connection, after=after, limit=limit, now=LATER, **filters)
            assert len(page) <= limit
            found += [key.id for key in page]
        return found

    assert all_of(2) == all_of(7) == all_of(100) == [f"k{number}" for number in range(7)]
    assert all_of(2, team="ads") == ["k1", "k3", "k5"]
    assert all_of(2, state="active") == ["k0", "k1", "k2", "k4", "k6"]
    assert all_of(2, state="expired") == ["k3"]
    assert all_of(2, state="revoked") == ["k5"]
    with directory.connect() as connection:
        assert teams.page(connection, limit=1)[1] == "ads"
        assert [team.name for team in teams.page(connection, limit=9)[0]] == ["ads", "search"]
        assert teams.names(connection, 1) == ["ads"]  # of the same moment, by name
        assert teams.key_counts(connection, ["ads", "search"], LATER) == {"ads": 1, "search": 4}


def test_many_at_once_lose_nothing_and_number_every_change(directory):
    each, threads = 20, 4
    failed: list[Exception] = []

    def work(number: int) -> None:
        try:
            for turn in range(each):
                issue(directory, id=f"{number}-{turn}", actor=f"cli:{number}")
        except Exception as error:
            failed.append(error)

    running = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert failed == []
    with directory.connect() as connection:
        numbers = list(connection.scalars(sa.select(changes.c.number).order_by(changes.c.number)))
        assert numbers == list(range(1, 2 + each * threads))
        assert revision_of(connection) == numbers[-1]


def test_one_id_is_given_to_one_of_those_who_want_it_at_once(directory):
    won, lost = [], []
    barrier = threading.Barrier(4)

    def work() -> None:
        barrier.wait()
        try:
            won.append(issue(directory, id="the-one"))
        except DirectoryError as error:
            lost.append(error.why)

    running = [threading.Thread(target=work) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert (len(won), lost) == (1, ["conflict"] * 3)


def test_a_change_that_fails_in_the_middle_leaves_nothing(directory):
    def fail() -> None:
        with changing(directory, actor="cli:ada", at=NOW) as change:
            change.connection.execute(sa.delete(team_table))
            change.note("x", "team", "search", before=None, after=None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert noted(directory) == [("cli:ada", "add", "team", "search")]
    issue(directory)
