"""What the configuration says of teams and keys, written into the directory at each start."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from proxy.directory import keys, teams
from proxy.directory.configured import take_over
from proxy.directory.rows import team_by_name
from proxy.errors import DirectoryError
from tests.directory.asking import LATER, NOW, configured, issue, make_team, noted, section, shown


def team(engine, name):
    with engine.connect() as connection:
        return team_by_name(connection, name)


def test_the_file_is_in_the_directory_and_a_second_start_changes_nothing(engine):
    end = datetime(2027, 1, 31, 12, tzinfo=UTC)
    file = [section("search", "s1", "s2"), section("ads", "a1", expires=end, models=("gpt-4o*",)), section("empty")]
    assert take_over(engine, file, at=NOW) == []
    assert [(kind, subject) for _, _, kind, subject in noted(engine)] == [
        ("team", "search"), ("team", "ads"), ("team", "empty"), ("key", "s1"), ("key", "s2"), ("key", "a1"),
    ]  # fmt: skip
    assert {actor for actor, *_ in noted(engine)} == {"configuration"}
    found = shown(engine, "a1")
    assert (found.team, found.expires_at, found.models, found.managed_by) == ("ads", end, ("gpt-4o*",), "configuration")
    before = noted(engine)
    assert take_over(engine, file, at=LATER) == []
    assert noted(engine) == before


def test_what_is_gone_from_the_file_is_revoked_and_archived_and_comes_back_with_it(engine):
    take_over(engine, [section("search", "s1", "s2"), section("ads", "a1")], at=NOW)
    take_over(engine, [section("search", "s1")], at=LATER)
    assert (shown(engine, "s2").revoked_at, shown(engine, "a1").revoked_at) == (LATER, LATER)
    assert team(engine, "ads").archived_at == LATER
    assert [each[1:] for each in noted(engine)[-3:]] == [
        ("revoke", "key", "a1"),
        ("revoke", "key", "s2"),
        ("archive", "team", "ads"),
    ]
    take_over(engine, [section("search", "s1"), section("ads", "a1")], at=LATER)
    assert shown(engine, "a1").revoked_at is None
    assert team(engine, "ads").archived_at is None
    assert [each[1:] for each in noted(engine)[-2:]] == [("restore", "team", "ads"), ("restore", "key", "a1")]


def test_what_differs_is_changed_and_noted(engine):
    take_over(engine, [section("search", "s1")], at=NOW)
    take_over(engine, [section("search", "s1", project="p")], at=LATER)
    assert (shown(engine, "s1").project, shown(engine, "s1").created_at) == ("p", NOW)
    other = section("search")
    other = type(other)(name="search", key=(configured("s1", "jg-another", project="p"),))
    take_over(engine, [other], at=LATER)
    renamed = type(other)(name="search", key=(configured("s9", "jg-another"),))
    take_over(engine, [renamed], at=LATER)
    assert shown(engine, "s1").revoked_at == LATER
    assert shown(engine, "s9").revoked_at is None
    assert [each[1] for each in noted(engine)] == ["add", "issue", "change", "replace", "revoke", "issue"]


def test_two_keys_that_change_places_are_no_conflict(engine):
    first = type(section("search"))(name="search", key=(configured("a", "jg-1"), configured("b", "jg-2")))
    second = type(first)(name="search", key=(configured("a", "jg-2"), configured("b", "jg-1")))
    take_over(engine, [first], at=NOW)
    assert take_over(engine, [second], at=LATER) == []
    assert [each[1] for each in noted(engine)] == ["add", "issue", "issue", "replace", "replace"]


def test_command_and_api_change_nothing_of_the_file_and_say_where_to(engine):
    take_over(engine, [section("search", "s1")], at=NOW)
    issue(engine, id="own")
    for change, says in (
        (
            lambda: keys.revoke(engine, "s1", actor="cli:ada", at=LATER),
            "key s1 is in the configuration: change it there",
        ),
        (lambda: keys.expire(engine, "s1", "1d", actor="cli:ada", at=LATER), "key s1 is in the configuration"),
        (lambda: teams.archive(engine, "search", actor="cli:ada", at=LATER), "team search is in the configuration"),
        (lambda: issue(engine, id="s1"), "there is a key s1 already"),
    ):
        with pytest.raises(DirectoryError, match=says) as refused:
            change()
        assert refused.value.why == "conflict"


def test_a_key_in_both_is_a_conflict_that_names_it_and_the_rest_goes_on(engine):
    make_team(engine)
    secret, _ = issue(engine, id="twice")
    issue(engine, id="same-id")
    file = type(section("x"))(
        name="search", key=(configured("mine", secret), configured("same-id"), configured("good"))
    )
    said = take_over(engine, [file], at=LATER)
    assert sorted(said) == [
        "key `mine` of the configuration is the same key as `twice`, made by command or API",
        "key id `same-id` is in the configuration and was given by command or API too",
    ]
    assert shown(engine, "good").managed_by == "configuration"
    assert shown(engine, "same-id").managed_by == "api"
    with pytest.raises(DirectoryError):
        shown(engine, "mine")


def test_a_team_in_both_is_the_files_until_it_is_gone_from_there(engine):
    make_team(engine)
    issue(engine, id="own")
    take_over(engine, [section("search")], at=NOW)
    assert team(engine, "search").managed_by == "configuration"
    take_over(engine, [], at=LATER)  # as after a mistake with the file: nobody's key ends with it
    assert (team(engine, "search").managed_by, team(engine, "search").archived_at) == ("api", None)
    assert shown(engine, "own").revoked_at is None
    assert [each[1] for each in noted(engine)] == ["add", "issue", "take over", "hand over"]
