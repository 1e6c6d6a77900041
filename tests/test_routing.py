from __future__ import annotations

import pytest

from proxy.config import load
from proxy.errors import ConfigError, Refusal
from proxy.routing import Origin, Routes, Secret


def routes(tmp_path, toml: str = "") -> Routes:
    file = tmp_path / "joulegate.toml"
    file.write_text(toml)
    return Routes(load(file, environment={}).config)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://api.openai.com", (True, "api.openai.com", 443, b"api.openai.com")),
        ("http://localhost:8000/", (False, "localhost", 8000, b"localhost:8000")),
        ("http://[::1]:9", (False, "::1", 9, b"[::1]:9")),
        ("https://API.Example:443", (True, "api.example", 443, b"API.Example:443")),
    ],
)
def test_an_origin(url, origin):
    parsed = Origin.parse(url)
    assert (parsed.tls, parsed.host, parsed.port, parsed.authority) == origin


def test_a_secret_does_not_show():
    assert "sk-1" not in f"{Secret(b'sk-1')!r} {Secret(b'sk-1')!s} {[Secret(b'sk-1')]}"
    assert Secret(b"sk-1").reveal() == b"sk-1"


@pytest.mark.parametrize(
    ("path", "provider", "rest"),
    [
        (b"/openai/v1/x", "openai", b"/v1/x"),
        (b"/openai", "openai", b"/"),
        (b"/openai/", "openai", b"/"),
        (b"/openai//v1%2Fx/", "openai", b"//v1%2Fx/"),
        (b"/groq/openai/v1/models", "groq", b"/openai/v1/models"),
        (b"/anthropic/v1/messages", "anthropic", b"/v1/messages"),
        (b"/ollama/api/chat", "ollama", b"/api/chat"),
    ],
)
def test_a_path_names_its_provider(tmp_path, path, provider, rest):
    target = routes(tmp_path).by_path(path)
    assert (target.provider.name, target.path, target.model) == (provider, rest, None)


@pytest.mark.parametrize("path", [b"/v1/chat/completions", b"/v1", b"/v1beta/models/gemini-2.5-pro:generateContent"])
def test_the_common_door_leaves_the_choice_to_the_model(tmp_path, path):
    assert routes(tmp_path).by_path(path) is None


@pytest.mark.parametrize("path", [b"/", b"", b"//v1/x", b"/OpenAI/v1", b"/v1x/y", b"/openai%2Fv1", b"/\xff"])
def test_any_other_path_leads_nowhere(tmp_path, path):
    with pytest.raises(Refusal) as refused:
        routes(tmp_path).by_path(path)
    assert (refused.value.status, refused.value.code) == (404, "unknown_provider")


@pytest.mark.parametrize(
    ("model", "provider", "sent", "path"),
    [
        ("gpt-4o", "openai", None, b"/v1/chat/completions"),
        ("ft:gpt-4o:org::id", "openai", None, b"/v1/chat/completions"),
        ("claude-sonnet-4-5", "anthropic", None, b"/v1/chat/completions"),
        ("gemini-2.5-pro", "gemini", None, b"/v1beta/openai/chat/completions"),
        ("deep-research-pro-preview-12-2025", "gemini", None, b"/v1beta/openai/chat/completions"),
        ("groq/llama-3.3-70b", "groq", "llama-3.3-70b", b"/openai/v1/chat/completions"),
        ("openrouter/openai/gpt-4o", "openrouter", "openai/gpt-4o", b"/api/v1/chat/completions"),
        ("anthropic/gpt-4o", "anthropic", "gpt-4o", b"/v1/chat/completions"),
    ],
)
def test_a_models_name_chooses_the_provider(tmp_path, model, provider, sent, path):
    made = routes(tmp_path)
    for _ in range(2):  # the second time from memory
        target = made.by_model(b"/v1/chat/completions", model, [])[0]
        assert (target.provider.name, target.model, target.path) == (provider, sent, path)


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/models/gemini-2.5-flash:generateContent",
        b"/v1/models/gemini-2.5-flash%3AstreamGenerateContent",
        b"/v1beta/models/gemini-2.5-flash:generateContent",
    ],
)
def test_googles_own_v1_is_not_the_base_of_its_openai_shaped_one(tmp_path, path):
    (target,) = routes(tmp_path).by_model(path, "gemini-2.5-flash", [])
    assert (target.provider.name, target.path) == ("gemini", path)


@pytest.mark.parametrize("model", ["nobody-has-it", "nobody/gpt-4o", "openai/", "/x", "", "GPT-4o", "*"])
def test_a_name_nobody_serves(tmp_path, model):
    with pytest.raises(Refusal) as refused:
        routes(tmp_path).by_model(b"/v1/chat/completions", model, [])
    assert (refused.value.status, refused.value.code) == (404, "model_not_found")


def test_routes_of_ones_own_come_first_in_their_order(tmp_path):
    made = routes(
        tmp_path,
        '[[route]]\nmatch = "gpt-4o"\nprovider = "azure"\n[[route]]\nmatch = "gpt-*"\nprovider = "vllm"\n'
        '[[route]]\nmatch = "groq/*"\nprovider = "openrouter"\n',
    )
    chosen = {model: made.by_model(b"/v1/x", model, [])[0] for model in ("gpt-4o", "gpt-5", "groq/llama", "o3")}
    assert [target.provider.name for target in chosen.values()] == ["azure", "vllm", "openrouter", "openai"]
    assert chosen["groq/llama"].model is None


@pytest.mark.parametrize(
    ("path", "headers", "provider"),
    [
        (b"/v1/models", [], "openai"),
        (b"/v1/completions", [], "openai"),
        (b"/v1/messages/batches", [], "anthropic"),
        (b"/v1/models", [(b"anthropic-version", b"2023-06-01")], "anthropic"),
        (b"/v1beta/models", [], "gemini"),
    ],
)
def test_without_a_model_the_wire_format_chooses(tmp_path, path, headers, provider):
    assert routes(tmp_path).by_model(path, None, headers)[0].provider.name == provider


def test_a_route_for_everything_takes_what_names_no_model(tmp_path):
    made = routes(tmp_path, '[[route]]\nmatch = "*"\nprovider = "vllm"\n')
    assert made.by_model(b"/v1/models", None, [])[0].provider.name == "vllm"
    assert made.by_model(b"/v1/models", "anything at all", [])[0].provider.name == "vllm"


def test_names_that_clients_invent_fill_no_memory(tmp_path):
    made = routes(tmp_path)
    for number in range(6000):
        made.by_model(b"/v1/x", f"gpt-{number}", [])
    assert len(made._chosen) <= 4096
    assert made.by_model(b"/v1/x", "gpt-5999", [])[0].provider.name == "openai"


def test_a_credential_that_is_missing_is_said_at_the_start(tmp_path, monkeypatch):
    monkeypatch.delenv("NOT_SET", raising=False)
    with pytest.raises(ConfigError, match="NOT_SET is not set"):
        routes(tmp_path, '[[provider]]\nname = "openai"\ncredential = "env:NOT_SET"\n')


def test_an_alias_is_a_team_s_own(tmp_path):
    toml = """
        [[team]]
        name = "search"
        [[route]]
        match = "fast"
        team = "search"
        provider = "openai"
        model = "gpt-5-nano"
        [[route]]
        match = "fast"
        provider = "groq"
        model = "llama-3.1-8b-instant"
        fallback = ["cerebras", "together"]
    """
    made = routes(tmp_path, toml)
    (own,) = made.by_model(b"/v1/chat/completions", "fast", [], team="search")
    assert (own.provider.name, own.model) == ("openai", "gpt-5-nano")
    for team in (None, "other"):
        targets = made.by_model(b"/v1/chat/completions", "fast", [], team=team)
        assert [target.provider.name for target in targets] == ["groq", "cerebras", "together"]
        assert {target.model for target in targets} == {"llama-3.1-8b-instant"}
        assert targets[0].path == b"/openai/v1/chat/completions"
