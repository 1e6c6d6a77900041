from __future__ import annotations

import asyncio

import pytest

from proxy.call import Closed
from proxy.demo import Tally, demo_config_toml, drive
from proxy.demo_teams import TEAMS, Made
from proxy.simulator import in_thread
from proxy.teams import issue_key
from tests.loopback import gate

OPERATIONS = 160


@pytest.fixture(scope="module", params=["keys", "headers"])
def driven(request, tmp_path_factory):
    """Traffic of all teams through a gate: what the clients counted, and what was written down."""
    folder = tmp_path_factory.mktemp("demo")
    keys = {team: issue_key() for team in TEAMS} if request.param == "keys" else {}
    (folder / "credential").write_text("key-of-the-provider")
    credential = f"file:{folder / 'credential'}" if keys else None
    made: list[Made] = []
    with (
        in_thread() as origin,
        gate(folder, demo_config_toml(origin, keys=keys, credential=credential)) as running,
    ):
        driving = drive(running.url, keys=keys, operations=OPERATIONS, rate=80, seed=3, on_made=made.append)
        tally = asyncio.run(driving)
        calls = {call.opened.id: call for call in running.closed(tally.requests)}
    return tally, made, calls


def test_every_request_of_a_client_is_one_call_of_its_team(driven):
    tally, made, calls = driven
    assert tally.operations == len(made) == OPERATIONS
    assert [len(one.call_ids) for one in made] == [one.requests for one in made]
    assert sorted(calls) == sorted(call_id for one in made for call_id in one.call_ids)
    for one in made:
        for call_id in one.call_ids:
            assert calls[call_id].opened.team == one.team
            assert calls[call_id].opened.user is not None
            assert calls[call_id].opened.tags["env"] in ("prod", "staging")


def test_tokens_a_client_was_told_of_are_those_written_down(driven):
    _, made, calls = driven
    told = [one for one in made if one.input_tokens is not None]
    assert len(told) > OPERATIONS // 3
    for one in told:
        usage = calls[one.call_ids[-1]].usage
        assert (usage.input_tokens, usage.output_tokens or 0) == (one.input_tokens, one.output_tokens)


def test_streams_whose_client_was_not_told_are_metered_too(driven):
    _, made, calls = driven
    silent = [one for one in made if one.habit == "chat_stream" and one.ending == "ok"]
    assert silent
    assert all(calls[one.call_ids[-1]].usage_source == "reported" for one in silent)


def test_endings_are_those_written_down(driven):
    _, made, calls = driven
    assert {one.ending for one in made} == {"ok", "error", "aborted"}
    outcomes = {"ok": {"ok"}, "error": {"error"}, "aborted": {"ok", "aborted"}}
    for one in made:
        last: Closed = calls[one.call_ids[-1]]
        assert last.outcome in outcomes[one.ending]
        for call_id in one.call_ids[:-1]:
            assert calls[call_id].status == 429  # a rate limit, which the SDK tried again


def test_all_teams_models_and_providers_appear(driven):
    _, made, calls = driven
    assert {one.team for one in made} == set(TEAMS)
    assert {call.opened.provider for call in calls.values()} == {"openai", "groq", "mistral"}
    assert {call.opened.surface for call in calls.values()} >= {"openai.chat", "openai.responses", "openai.embeddings"}
    assert "aurora-preview-9b" in {call.opened.model_requested.rpartition("/")[2] for call in calls.values()}
    cached = [call.usage.cached_input_tokens for call in calls.values() if call.usage is not None]
    assert max(tokens or 0 for tokens in cached) >= 1024


def test_the_tally_adds_up(driven):
    tally, made, _ = driven
    assert tally.operations == tally.ok + tally.errors + tally.aborted
    again = Tally()
    for one in made:
        again.add(one)
    assert again == tally


def test_ends_when_told_to_and_leaves_nothing_open():
    async def run(origin: str) -> Tally:
        until = asyncio.Event()
        asyncio.get_running_loop().call_later(0.5, until.set)
        return await asyncio.wait_for(drive(origin, keys={}, until=until, rate=40), 30)

    with in_thread() as origin:
        tally = asyncio.run(run(origin))
    assert tally.operations > 0
    assert tally.requests >= tally.operations


def test_a_gate_that_is_not_there_is_counted_and_not_raised():
    tally = asyncio.run(drive("http://127.0.0.1:9", keys={}, operations=1, rate=1000))
    assert (tally.operations, tally.errors) == (1, 1)
