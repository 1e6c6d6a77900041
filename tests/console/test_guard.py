from __future__ import annotations

import pytest

from tests.console.conftest import serve


@pytest.mark.parametrize("path", ["/", "/metrics", "/api/calls", "/api/live", "/static/console.css", "/nothing"])
def test_a_page_of_another_name_reads_nothing(console, path):
    """DNS rebinding: evil.example points to 127.0.0.1."""
    reply = console.get(path, Host=f"evil.example:{console.port}")
    assert reply.status == 421
    assert reply.text == "This console answers to localhost and 127.0.0.1 only.\n"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8701", "LOCALHOST:1", "[::1]:8701", "[::1]", "127.1.2.3"])
def test_loopbacks_own_names_are_answered(console, host):
    assert console.get("/healthz", Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["", "localhost.evil.example", "127.0.0.1.evil.example", "[::1].evil", "10.0.0.1", "0.0.0.0"]
)
def test_names_that_look_like_it_are_not(console, host):
    assert console.get("/healthz", Host=host).status == 421


def test_a_name_given_on_purpose_is_answered(tmp_path):
    with serve(f"sqlite:///{tmp_path}/ledger.db", names=["Console.example"]) as console:
        assert console.get("/healthz", Host="console.example:443").status == 200
        assert console.get("/healthz", Host="other.example").status == 421


def test_an_origin_that_is_no_address_is_another_site(console):
    reply = console.post("/api/teams", '{"name": "search"}', origin="http://[", content_type="application/json")
    assert (reply.status, "another site" in reply.text) == (403, True)


@pytest.mark.parametrize(
    "path", ["/", "/metrics", "/api/health", "/api/calls?limit=x", "/static/console.js", "/nothing"]
)
def test_every_reply_carries_the_headers(console, path):
    headers = console.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"
    assert "access-control-allow-origin" not in headers
