"""The shipped providers, the page about them, and how to add one, followed to the letter."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import re
import shlex
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from types import ModuleType

import pytest

from proxy.config import load
from proxy.wire.registry import SURFACES
from tests.gate import chat
from tests.loopback import Provider, ask, chunk, gate, parse, post, provider, reply, stream_head
from tests.wire.fixture_files import REPLIES, expected

DOCS = Path(__file__).parent.parent / "docs"
HOW_TO = (DOCS / "how-to" / "add-a-provider.md").read_text()
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOML = [text for kind, text in FENCE.findall(HOW_TO) if kind == "toml"]
CALLS = [
    shlex.split(line)
    for kind, text in FENCE.findall(HOW_TO)
    for line in text.splitlines()
    if kind == "console" and line.startswith("curl ")
]
STATED = tomllib.loads((DOCS.parent / "proxy" / "wire" / "stated.toml").read_text())
CONTRACT = [  # the names that are promised
    *(
        "openai",
        "azure",
        "anthropic",
        "gemini",
        "vertex",
        "bedrock",
        "mistral",
        "deepseek",
        "groq",
        "xai",
        "openrouter",
    ),
    *("together", "fireworks", "cerebras", "perplexity", "cohere", "zai", "moonshot", "huggingface", "ollama"),
    *("llamacpp", "vllm", "sglang", "copilot", "venice", "vercel_gateway"),
]
SHIPPED = {row.name: row for row in load(None, environment={}).config.provider}


def _build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build", DOCS / "reference" / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


BUILD = _build()
COLUMNS = {name: dict(BUILD.columns(each)) for each in STATED["format"] for name in each["surfaces"]}


def test_the_page_of_providers_is_what_the_data_says():
    said = "run `python docs/reference/build.py`"
    assert BUILD.PAGE.read_text() == BUILD.page(), said


def test_every_format_that_reads_usage_is_described_once():
    described = [name for each in STATED["format"] for name in each["surfaces"]]
    assert len(described) == len(set(described))
    assert set(described) <= set(SURFACES)
    assert {name for name in SURFACES if BUILD.places(name) is not None} <= set(described)


@pytest.mark.parametrize("each", STATED["format"], ids=lambda each: each["surfaces"][0])
def test_what_is_said_of_a_format_fits_its_readers(each):
    assert {BUILD.places(name) for name in each["surfaces"]} == {BUILD.places(each["surfaces"][0])}
    columns = COLUMNS[each["surfaces"][0]]
    assert set(each.get("caveats", {})) <= {column.removeprefix("units.") for column in columns}
    assert set(each.get("paths", {})) <= {column.removeprefix("units.") for column in columns}
    assert each.get("like") in (None, *COLUMNS)


@pytest.mark.parametrize("surface", sorted({path.parent.name for path in REPLIES}))
def test_every_count_in_a_fixture_is_on_the_page(surface):
    columns = [column.replace("…", "*") for column in COLUMNS[surface.replace("_", ".", 1)]]
    for path in REPLIES:
        if path.parent.name == surface:
            read = expected(path)
            for usage in (read["usage"] or {}, *read.get("lines", ())):
                counts = {name for name in usage if name.endswith("_tokens")}
                for name in counts | {f"units.{unit}" for unit in usage.get("units", {})}:
                    assert any(fnmatchcase(name, column) for column in columns), f"{path.name}: {name}"


def test_every_provider_of_the_contract_is_shipped():
    assert [name for name in CONTRACT if name not in SHIPPED] == []
    assert set(STATED["provider"]) <= set(SHIPPED)


def test_no_two_providers_claim_a_name_of_a_model():
    claimed = [(row.name, pattern) for row in SHIPPED.values() for pattern in row.models]
    for name, pattern in claimed:
        for other, wider in claimed:
            assert name == other or not fnmatchcase(pattern.rstrip("*"), wider), f"{name}: {pattern}, {other}: {wider}"


# Of each the address of its chat completions, as its API reference has it.
@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("openai", "https://api.openai.com/v1"),
        ("anthropic", "https://api.anthropic.com/v1"),
        ("gemini", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("mistral", "https://api.mistral.ai/v1"),
        ("deepseek", "https://api.deepseek.com/v1"),
        ("groq", "https://api.groq.com/openai/v1"),
        ("xai", "https://api.x.ai/v1"),
        ("openrouter", "https://openrouter.ai/api/v1"),
        ("together", "https://api.together.xyz/v1"),
        ("fireworks", "https://api.fireworks.ai/inference/v1"),
        ("perplexity", "https://api.perplexity.ai"),
        ("cohere", "https://api.cohere.com/compatibility/v1"),
        ("zai", "https://api.z.ai/api/paas/v4"),
        ("huggingface", "https://router.huggingface.co/v1"),
        ("copilot", "https://api.githubcopilot.com"),
        ("venice", "https://api.venice.ai/api/v1"),
        ("vercel_gateway", "https://ai-gateway.vercel.sh/v1"),
        ("deepinfra", "https://api.deepinfra.com/v1/openai"),
        ("alibaba", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"),
        ("doubleword", "https://api.doubleword.ai/v1"),
        ("nvidia", "https://integrate.api.nvidia.com/v1"),
        ("sambanova", "https://api.sambanova.ai/v1"),
        ("hyperbolic", "https://api.hyperbolic.xyz/v1"),
        ("baseten", "https://inference.baseten.co/v1"),
        ("nebius", "https://api.tokenfactory.nebius.com/v1"),
        ("ovhcloud", "https://oai.endpoints.kepler.ai.cloud.ovh.net/v1"),
        ("minimax", "https://api.minimax.io/v1"),
        ("writer", "https://api.writer.com/v1"),
        ("voyageai", "https://api.voyageai.com/v1"),
        ("jina", "https://api.jina.ai/v1"),
        ("lmstudio", "http://127.0.0.1:1234/v1"),
        ("tgi", "http://127.0.0.1:3000/v1"),
        ("ollama", "http://127.0.0.1:11434/v1"),
        ("sglang", "http://127.0.0.1:30000/v1"),
    ],
)
def test_where_a_provider_lives(name, address):
    assert f"{SHIPPED[name].origin}{SHIPPED[name].base}" == address


async def house(seen, writer):
    """A provider that speaks chat completions, whose streams state usage only if asked."""
    asked = json.loads(seen.body)
    if not asked.get("stream"):
        writer.write(reply(json.dumps({"model": asked["model"], "choices": [], "usage": chat.USAGE}).encode()))
        return
    usage = asked.get("stream_options", {}).get("include_usage", False)
    events = b"".join(chunk(each) for each in chat.events(usage=usage))
    writer.write(stream_head() + events + chunk(b""))


def placed(toml: str, there: Provider) -> str:
    """Give what the page shows with its own address of the provider."""
    return re.sub(r'origin = "[^"]+"', f'origin = "{there.origin}"', toml)


def curl(port: int, words: list[str], *headers: str) -> bytes:
    """Send what a command line of curl says."""
    url = words[1].removeprefix("http://127.0.0.1:8700")
    assert url != words[1]
    options = dict(zip(words[2::2], words[3::2], strict=True))
    assert set(options) == {"-H", "-d"}
    return ask(port, post(url, options["-d"].encode(), options["-H"], *headers))


def test_the_how_to_followed_literally_meters_every_call(tmp_path):
    assert len(CALLS) == 3
    with provider(house) as there, gate(tmp_path, placed(TOML[0], there)) as running:
        answers = [parse(curl(running.port, call)) for call in CALLS]
        calls = running.closed(3)
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert answers[2].body == b"".join(chat.events(usage=False))
    assert [seen.line for seen in there.seen] == [b"POST /v1/chat/completions HTTP/1.1"] * 3
    assert {json.loads(seen.body)["model"] for seen in there.seen} == {"llama-3"}
    for call in calls:
        assert (call.opened.provider, call.usage_source) == ("house", "reported")
        assert (call.usage.input_tokens, call.usage.output_tokens) == (11, 4)
        assert call.flags == ()


def test_the_two_more_lines_of_the_how_to(tmp_path, monkeypatch):
    monkeypatch.setenv("HOUSE_KEY", "its own")
    key = "jg-of-a-team"
    team = f'[[team]]\nname = "t"\n[[team.key]]\nid = "k"\nsha256 = "{hashlib.sha256(key.encode()).hexdigest()}"\n'
    with provider(house) as there, gate(tmp_path, placed(TOML[1], there) + team) as running:
        answer = parse(curl(running.port, CALLS[1], f"authorization: Bearer {key}"))
        [call] = running.closed(1)
    assert answer.status == 200
    [seen] = there.seen
    assert seen.line == b"POST /serving/openai/v1/chat/completions HTTP/1.1"
    assert seen.header(b"api-key") == b"its own"
    assert (call.opened.team, call.usage.input_tokens) == ("t", 11)
