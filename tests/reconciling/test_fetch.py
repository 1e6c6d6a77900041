from __future__ import annotations

import json
from datetime import date
from urllib.parse import parse_qsl

import httpcore2
import httpx  # the mocker speaks its types, whatever it mocks
import pytest
import respx

from proxy.reconciling.api import api_of, apis
from proxy.reconciling.fetch import Fetch, connected
from proxy.reconciling.pages import read_pages
from proxy.reconciling.shape import StatementError, shape_of
from tests.reconciling.answers import (
    ANTHROPIC,
    OPENAI,
    anthropic_cost,
    anthropic_page,
    completions,
    embeddings,
    messages,
    openai_cost,
    openai_page,
    unix,
    written,
)

DAYS = (date(2026, 11, 23), date(2026, 11, 25))
KEY = "sk-admin-secret"


@pytest.fixture
def mocked():
    with respx.mock(using="httpcore2", assert_all_called=False) as router:
        yield router


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def asking(pauses):
    with connected() as client:
        yield lambda provider: Fetch(api=api_of(provider), key=KEY, client=client, sleep=pauses.append)


def pages(asking, provider="openai", at=0, days=DAYS):
    return list(asking(provider).pages(api_of(provider).endpoint[at], *days))


def asked(route, call=0):
    return parse_qsl(route.calls[call].request.url.query.decode())


def test_openai_is_asked_for_days_in_unix_seconds_with_the_key_as_a_bearer(mocked, asking):
    route = mocked.get(f"{OPENAI}/usage/completions").respond(json=openai_page({23: [completions()]}))
    (page,) = pages(asking)
    assert page.rows[0]["api_key_id"] == "key_1"
    assert route.calls[0].request.headers["authorization"] == f"Bearer {KEY}"
    assert route.calls[0].request.headers["user-agent"].startswith("joulegate/")
    assert asked(route) == [
        ("start_time", str(unix(23))),
        ("end_time", str(unix(26))),
        ("bucket_width", "1d"),
        ("limit", "3"),
        ("group_by[]", "project_id"),
        ("group_by[]", "api_key_id"),
        ("group_by[]", "model"),
    ]


def test_anthropic_is_asked_for_days_in_iso_with_the_key_and_the_version_in_headers(mocked, asking):
    route = mocked.get(f"{ANTHROPIC}/cost_report").respond(json=anthropic_page({23: [anthropic_cost("1")]}))
    pages(asking, "anthropic", at=1, days=(date(2026, 1, 1), date(2026, 12, 31)))
    request = route.calls[0].request
    assert (request.headers["x-api-key"], request.headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert "authorization" not in request.headers
    assert asked(route)[:4] == [
        ("starting_at", "2026-01-01T00:00:00Z"),
        ("ending_at", "2027-01-01T00:00:00Z"),
        ("bucket_width", "1d"),
        ("limit", "31"),
    ]


def test_pages_are_followed_to_the_last(mocked, asking):
    route = mocked.get(f"{ANTHROPIC}/usage_report/messages").mock(
        side_effect=[
            httpx.Response(200, json=anthropic_page({23: [messages()]}, "page_2=")),
            httpx.Response(200, json=anthropic_page({24: [messages()]}, "page_3=")),
            httpx.Response(200, json=anthropic_page({25: [messages()]})),
        ]
    )
    assert [sorted(page.days) for page in pages(asking, "anthropic")] == [[date(2026, 11, n)] for n in (23, 24, 25)]
    assert [dict(asked(route, call)).get("page") for call in range(3)] == [None, "page_2=", "page_3="]
    assert all(asked(route, call)[:-1] == asked(route) for call in (1, 2))


@pytest.mark.parametrize("following", ["again", None])
def test_pages_that_go_round_or_nowhere_are_an_error(mocked, asking, following):
    page = {**openai_page({23: []}, "again"), "next_page": following}
    mocked.get(f"{OPENAI}/usage/completions").respond(json=page)
    with pytest.raises(StatementError, match="does not say where"):
        pages(asking)


def test_pages_without_end_are_an_error(mocked, asking):
    numbers = iter(range(10_000))
    route = mocked.get(f"{OPENAI}/usage/completions").mock(
        side_effect=lambda _: httpx.Response(200, json=openai_page({23: []}, str(next(numbers))))
    )
    with pytest.raises(StatementError, match="more than 400 pages; ask for fewer days"):
        pages(asking)
    assert len(route.calls) == 401


def test_what_is_too_long_is_not_read_to_its_end(mocked, asking, monkeypatch):
    monkeypatch.setattr("proxy.reconciling.fetch._MOST_BYTES", 1000)
    mocked.get(f"{OPENAI}/usage/completions").respond(content=b" " * 1001)
    with pytest.raises(StatementError, match="longer than 1,000 bytes; ask for fewer days"):
        pages(asking)


@pytest.mark.parametrize(
    ("provider", "status", "says"),
    [
        ("openai", 401, "an admin key is made at https://platform.openai.com/"),
        ("openai", 403, "may not read usage and cost; make an admin key at https://platform.openai.com/"),
        ("anthropic", 401, "an admin key is made at https://console.anthropic.com/"),
        ("anthropic", 400, "status 400: bad …"),
        ("openai", 302, "status 302$"),
    ],
)
def test_a_refusal_says_what_to_do_at_once_and_never_shows_the_key(mocked, asking, pauses, provider, status, says):
    route = mocked.get(host=f"api.{provider}.com").respond(
        status, json={"error": {"message": f"bad {KEY}\x1b[2J"}} if status != 302 else None
    )
    with pytest.raises(StatementError, match=says) as caught:
        pages(asking, provider)
    assert str(caught.value).startswith(api_of(provider).origin)
    assert KEY not in str(caught.value)
    assert str(caught.value).isprintable()
    assert KEY not in repr(asking(provider))
    assert (len(route.calls), pauses) == (1, [])


def test_one_that_is_asked_too_often_is_left_alone_as_long_as_it_says(mocked, asking, pauses):
    mocked.get(f"{OPENAI}/usage/completions").mock(
        side_effect=[
            httpx.Response(429, headers={"retry-after": "7"}),
            httpx.Response(503),
            httpcore2.ReadTimeout("too slow"),
            httpx.Response(200, json=openai_page({23: [completions()]})),
        ]
    )
    assert len(pages(asking)) == 1
    assert pauses == [7.0, 2.0, 4.0]


def test_one_that_wants_to_be_left_alone_for_long_is_asked_later_by_who_asked(mocked, asking, pauses):
    mocked.get(f"{OPENAI}/usage/completions").respond(429, headers={"retry-after": "3600"})
    with pytest.raises(StatementError, match=r"status 429: asked too often.*left alone for 3600 s"):
        pages(asking)
    assert pauses == []


def test_a_network_that_fails_is_said_after_some_attempts(mocked, asking, pauses):
    mocked.get(f"{OPENAI}/usage/completions").mock(side_effect=httpcore2.ConnectError("no route"))
    with pytest.raises(StatementError, match=r"no answer \(ConnectError\): see whether this machine reaches https"):
        pages(asking)
    assert pauses == [1.0, 2.0, 4.0, 8.0]


@pytest.mark.parametrize("body", ["", "<html>", "{}", "[]", json.dumps([openai_page({}), openai_page({})])])
def test_an_answer_that_is_no_page_is_an_error(mocked, asking, body):
    mocked.get(f"{OPENAI}/usage/completions").respond(text=body)
    with pytest.raises(StatementError, match=r"^https://api\.openai\.com/v1/organization/usage/completions: "):
        pages(asking)


def test_what_does_not_tell_apart_what_is_compared_is_not_asked():
    anthropic = api_of("anthropic")
    assert [each.says for each in anthropic.endpoints(("model", "project"))] == ["tokens", "dollars"]
    assert [each.says for each in anthropic.endpoints(("model", "key"))] == ["tokens"]
    assert [each.says for each in anthropic.left_out(("key",))] == ["dollars"]
    for api in apis().values():
        assert {each.says for each in api.endpoint} == {"tokens", "dollars"}


EXAMPLES = {
    "completions": openai_page({23: [completions()]}),
    "embeddings": openai_page({23: [embeddings()]}),
    "costs": openai_page({23: [openai_cost(1)]}),
    "messages": anthropic_page({23: [messages()]}),
    "cost_report": anthropic_page({23: [anthropic_cost("1")]}),
}


@pytest.mark.parametrize("endpoint", [each for api in apis().values() for each in api.endpoint], ids=lambda e: e.path)
def test_each_endpoint_tells_apart_what_is_said_of_it(endpoint):
    ((row,),) = (page.rows for page in read_pages(written(EXAMPLES[endpoint.path.rpartition("/")[2]])))
    shape = shape_of(row)
    assert {name for name in ("model", "key", "project") if getattr(shape, name) is None} == set(endpoint.not_by)
    assert (shape.dollars is None) == (endpoint.says == "tokens")
    assert {shape.key, shape.project, shape.model} - {None, "model"} <= set(endpoint.group_by)
