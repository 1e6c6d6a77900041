"""Signing in with a real browser, and what a page of another origin can do with its session: nothing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from proxy.console.access import Access
from proxy.directory.teams import add, names
from tests.console.browser import browser
from tests.console.conftest import NOON, Running, serve
from tests.rows import call_row

pytestmark = pytest.mark.heavy

TOKEN = "t" * 40
ATTACK = """<!doctype html><title>attack</title>
<form id="form" method="post" action="{console}/api/teams" enctype="text/plain" target="frame">
<input name='{{"name":"by-form","x":"' value='"}}'></form>
<form id="out" method="post" action="{console}/logout" target="frame"></form>
<iframe name="frame"></iframe>
<script>
const json = {{method: "POST", mode: "no-cors", credentials: "include", body: '{{"name":"by-fetch"}}'}};
document.getElementById("form").submit();
Promise.allSettled([
  fetch("{console}/api/teams", json),
  fetch("{console}/api/teams", {{...json, mode: "cors", headers: {{"content-type": "application/json"}}}}),
  fetch("{console}/api/keys", {{...json, body: new Blob(['{{"team":"search"}}'], {{type: "text/plain"}})}}),
  fetch("{console}/api/teams", {{credentials: "include"}}).then(reply => reply.text()).then(text => window.read = text),
]).then(() => {{ document.getElementById("out").submit(); setTimeout(() => window.done = true, 500); }});
</script>"""


@pytest.fixture
def closed(tmp_path) -> Iterator[Running]:
    access = Access({"console": TOKEN.encode()})
    with serve(f"sqlite:///{tmp_path}/closed.db", now=lambda: NOON, access=access) as running:
        yield running


@contextlib.contextmanager
def other_site(page: str) -> Iterator[str]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(page.encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def sign_in(tab, console: Running) -> None:
    tab.send("Page.navigate", url=f"http://127.0.0.1:{console.port}/?tz=Europe/Berlin")
    tab.wait("document.getElementById('token') != null")
    tab.evaluate(f"document.getElementById('token').value = '{TOKEN}'")
    tab.evaluate("document.querySelector('form button').click()")
    tab.wait("document.getElementById('today') != null")


def test_a_browser_signs_in_sees_calls_come_and_signs_out(closed):
    with browser() as tab:
        sign_in(tab, closed)
        assert tab.evaluate("location.search") == "?tz=Europe/Berlin"
        tab.wait("document.body.classList.contains('live')")
        row = call_row()
        closed.record(row)
        tab.wait(f"document.getElementById('c-{row.id}') != null")
        assert tab.evaluate("document.cookie") == ""  # no script sees it
        made = tab.evaluate(
            "fetch('/api/teams', {method: 'POST', headers: {'content-type': 'application/json'},"
            ' body: \'{"name": "ads"}\'}).then(reply => window.status_ = reply.status) && 0'
        )
        assert made == 0
        tab.wait("window.status_ == 201")
        tab.evaluate("document.querySelector('a[href=\"/logout\"]').click()")
        tab.wait("location.pathname == '/logout' && document.querySelector('form button') != null")
        tab.evaluate("document.querySelector('form button').click()")
        tab.wait("location.pathname == '/login'")
        tab.send("Page.navigate", url=f"http://127.0.0.1:{closed.port}/")
        tab.wait("document.getElementById('token') != null")
        assert tab.complaints == []


def test_signing_in_needs_no_javascript(closed):
    with browser() as tab:
        tab.send("Emulation.setScriptExecutionDisabled", value=True)
        sign_in(tab, closed)


def test_a_page_of_another_origin_reads_and_changes_nothing(closed, console):
    for target in (closed, console):  # with a session, and on loopback without a token
        add(target.engine, "search", actor="cli:ada", at=NOON)
        with other_site(ATTACK.format(console=f"http://127.0.0.1:{target.port}")) as attack, browser() as tab:
            if target is closed:
                sign_in(tab, closed)
            tab.send("Page.navigate", url=attack)
            tab.wait("window.done == true")
            assert tab.evaluate("window.read === undefined")
            if target is closed:
                tab.send("Page.navigate", url=f"http://127.0.0.1:{closed.port}/")
                tab.wait("document.getElementById('today') != null")  # still signed in
        with target.engine.connect() as connection:
            assert names(connection, 9) == ["search"]


def test_the_page_to_sign_in_is_whole_on_a_narrow_screen(closed):
    with browser() as tab:
        tab.send("Emulation.setDeviceMetricsOverride", width=360, height=700, deviceScaleFactor=1, mobile=False)
        tab.send("Page.navigate", url=f"http://127.0.0.1:{closed.port}/")
        tab.wait("document.getElementById('token') != null")
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert tab.complaints == []
