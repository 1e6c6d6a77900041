"""Who may use a console that has a token, in words of HTTP; and what a page of another site achieves: nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from proxy.console.access import FAILURES_AT_MOST, FAILURES_WITHIN_S, SESSION_S, Access
from tests.console.conftest import NOON, Running, serve

TOKEN, OTHER = "t" * 40, "o" * 40
PAGES = ["/", "/reports/statement?month=2026-11", "/nothing"]
PROGRAMS = ["/metrics", "/api/calls", "/api/totals", "/api/health", "/api/live", "/api/openapi.json", "/live"]
CHANGE, BODY = "/api/teams", '{"name": "ads"}'
JSON = {"content_type": "application/json"}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def closed(tmp_path, clock) -> Iterator[Running]:
    access = Access({"console": TOKEN.encode(), "bob": OTHER.encode()}, clock=clock)
    with serve(f"sqlite:///{tmp_path}/closed.db", now=lambda: NOON, access=access) as running:
        yield running


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def sign_in(console: Running, token: str = TOKEN, goal: str = "/", **headers: str):
    fields = urlencode({"token": token, "next": goal})
    return console.post("/login", fields, content_type="application/x-www-form-urlencoded", **headers)


def cookie_of(reply) -> str:
    return reply.headers["set-cookie"].partition(";")[0]


def test_without_a_token_nothing_is_shown(closed):
    for path in PAGES:
        reply = closed.get(path)
        assert (reply.status, reply.headers["location"]) == (303, f"/login?{urlencode({'next': path})}")
    for path in PROGRAMS:
        reply = closed.get(path)
        assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
        assert "needs a token" in reply.text
    assert closed.post(CHANGE, BODY, **JSON).status == 401
    for path in ("/healthz", "/static/console.css", "/login"):
        assert closed.get(path).status == 200


@pytest.mark.parametrize("token", [TOKEN, OTHER])
def test_a_token_opens_all_of_it(closed, token):
    for path in ("/", "/metrics", "/api/calls", "/api/openapi.json"):
        assert closed.get(path, **bearer(token)).status == 200
    assert closed.get("/metrics", authorization=f"bearer {token}").status == 200


@pytest.mark.parametrize("wrong", ["", "x", TOKEN[:-1], TOKEN + "t", TOKEN.upper(), "é"])
def test_a_wrong_token_opens_nothing_of_it(closed, wrong):
    assert closed.get("/metrics", authorization=f"Bearer {wrong}".encode()).status == 401
    assert closed.get("/metrics", authorization=f"Basic {TOKEN}").status == 401


def test_a_browser_signs_in_without_javascript_and_out_again(closed):
    page = closed.get("/login?next=/reports/statement%3Fteam%3Dsearch")
    assert "<script" not in page.text
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert 'value="/reports/statement?team=search"' in page.text
    reply = sign_in(closed, goal="/reports/statement?team=search", origin=f"http://127.0.0.1:{closed.port}")
    assert (reply.status, reply.headers["location"]) == (303, "/reports/statement?team=search")
    said = reply.headers["set-cookie"].lower()
    assert "httponly" in said
    assert "samesite=strict" in said
    assert "path=/" in said
    assert f"max-age={SESSION_S:.0f}" in said
    assert "secure" not in said
    assert TOKEN not in reply.headers["set-cookie"]
    cookie = cookie_of(reply)
    shown = closed.get("/", cookie=f"other=1; {cookie}")
    assert shown.status == 200
    assert '<a href="/logout">' in shown.text
    leaving = closed.get("/logout", cookie=cookie)
    assert "<code>console</code>" in leaving.text
    form = urlencode({"form": re.search(r'name="form" value="([0-9a-f]+)"', leaving.text)[1]})
    home = {"origin": f"http://127.0.0.1:{closed.port}", "cookie": cookie}
    assert closed.post("/logout", "form=wrong", **home).status == 403
    assert closed.get("/", cookie=cookie).status == 200
    gone = closed.post("/logout", form, **home)
    assert (gone.status, gone.headers["location"]) == (303, "/login")
    assert closed.get("/", cookie=cookie).status == 303  # also for who kept the cookie


def test_over_https_the_cookie_is_for_https_alone(closed):
    assert "Secure" in sign_in(closed, x_forwarded_proto="https").headers["set-cookie"]


def test_a_session_ends_by_itself_and_is_nobody_elses(closed, clock):
    cookie = cookie_of(sign_in(closed))
    name, _, value = cookie.partition("=")
    for forged in (value[:-1] + ("0" if value[-1] != "0" else "1"), "", ".", "a.b", value.partition(".")[0], "é"):
        assert closed.get("/api/calls", cookie=f"{name}={forged}".encode()).status == 401
    assert closed.get("/api/calls", cookie=cookie).status == 200
    clock.now += SESSION_S + 1
    assert closed.get("/api/calls", cookie=cookie).status == 401


def test_a_session_is_signed_by_its_token():
    cookie = Access({"console": TOKEN.encode()}).begin("console")
    assert Access({"console": TOKEN.encode()}).session(cookie).name == "console"  # after a restart
    assert Access({"console": OTHER.encode()}).session(cookie) is None  # the token is another
    assert Access({"bob": TOKEN.encode()}).session(cookie) is None
    access = Access({"a": TOKEN.encode(), "b": OTHER.encode()})
    said, _, signature = access.begin("a").partition(".")
    assert access.session(f"{access.begin('b').partition('.')[0]}.{signature}") is None
    assert access.form_token(access.session(f"{said}.{signature}")) != signature


@pytest.mark.parametrize("goal", ["//evil.example", "/\\evil.example", "https://evil.example", "", "/a\nb", "/é"])
def test_signing_in_leads_nowhere_else(closed, goal):
    assert sign_in(closed, goal=goal).headers["location"] == "/"


def test_who_guesses_waits(closed, clock):
    for _ in range(FAILURES_AT_MOST):
        assert sign_in(closed, "wrong").status == 401
    refused = sign_in(closed)
    assert (refused.status, int(refused.headers["retry-after"]) > 0) == (429, True)
    assert closed.get("/metrics", **bearer(TOKEN)).status == 429
    clock.now += FAILURES_WITHIN_S + 1
    assert sign_in(closed).status == 303
    for _ in range(FAILURES_AT_MOST):
        assert closed.get("/metrics", **bearer("wrong")).status == 401
    assert closed.get("/metrics", **bearer(TOKEN)).headers["retry-after"]


ELSEWHERE = {
    "another origin": {"origin": "https://evil.example"},
    "a page of the same name elsewhere": {"origin": "http://127.0.0.1:1"},
    "a sandboxed page": {"origin": "null"},
    "a sandboxed page, as newer browsers say it": {"origin": "null", "sec_fetch_site": "cross-site"},
    "another site": {"sec_fetch_site": "cross-site"},
    "a neighbour": {"sec_fetch_site": "same-site"},
    "a link": {"sec_fetch_site": "none"},
    "both": {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
}


@pytest.mark.parametrize("headers", ELSEWHERE.values(), ids=ELSEWHERE)
def test_a_page_of_another_site_changes_nothing(closed, console, headers):
    cookie = cookie_of(sign_in(closed))
    assert closed.post(CHANGE, BODY, cookie=cookie, **JSON, **headers).status == 403
    assert closed.post("/logout", "", cookie=cookie, **headers).status == 403
    assert sign_in(closed, **headers).status == 403
    assert console.post(CHANGE, BODY, **JSON, **headers).status == 403  # on loopback, where no cookie is needed
    assert '"teams":[]' in closed.get("/api/teams", cookie=cookie).text
    assert '"teams":[]' in console.get("/api/teams").text


def test_a_session_changes_nothing_unless_the_browser_says_that_a_page_of_ours_asked(closed):
    cookie = cookie_of(sign_in(closed))
    assert closed.post(CHANGE, BODY, cookie=cookie, **JSON).status == 403
    assert closed.post(CHANGE, BODY, cookie=cookie, sec_fetch_site="same-origin", **JSON).status == 201


@pytest.mark.parametrize("form", ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""])
def test_what_a_form_can_send_changes_nothing(closed, console, form):
    sent = {"content_type": form} if form else {}
    cookie = cookie_of(sign_in(closed))
    assert closed.post(CHANGE, BODY, cookie=cookie, sec_fetch_site="same-origin", **sent).status == 415
    assert console.post(CHANGE, BODY, **sent).status == 415
    assert closed.post(CHANGE, BODY, **bearer(TOKEN), **sent).status == 415


def test_programs_change_things_with_a_token_or_on_loopback_without(closed, console):
    assert closed.post(CHANGE, BODY, **JSON, **bearer(OTHER)).status == 201
    assert console.post(CHANGE, BODY, **JSON).status == 201
    assert '"actor":"token:bob"' in closed.get("/api/changes", **bearer(TOKEN)).text
    assert '"actor":"console"' in console.get("/api/changes").text


def test_behind_a_proxy_with_another_name_a_token_is_enough(closed):
    assert closed.get("/metrics", host="console.example", **bearer(TOKEN)).status == 200
    assert closed.get("/metrics", host="console.example").status == 401
