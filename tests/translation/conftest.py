"""A whole service with translated routes, and scripted providers that speak their own formats behind it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest

from tests.loopback import Provider, Script, Seen, provider
from tests.service.running import Service, service

KEY = "jg-" + "t" * 40
OPERATORS = "the-operators-own-key"
TOML = """
[[provider]]
name = "bedrock"
region = "aws:eu-north-1"
credential_in = "sigv4"
credential = "file:{folder}/access-key-id"
secret_access_key = "file:{folder}/secret"
[[provider]]
name = "anthropic"
credential = "file:{folder}/key"
on_abort = "cancel"
[[provider]]
name = "gemini"
credential = "file:{folder}/key"
[[route]]
match = "claude-bedrock"
provider = "bedrock"
model = "bedrock/anthropic.claude-sonnet-4-6"
via = "litellm"
options = {{ api_base = "{origin}" }}
[[route]]
match = "claude-translated"
provider = "anthropic"
model = "anthropic/claude-sonnet-4-6"
via = "litellm"
options = {{ api_base = "{origin}" }}
[[route]]
match = "gemini-translated"
provider = "gemini"
model = "gemini/gemini-2.5-flash"
via = "litellm"
options = {{ api_base = "{origin}" }}
[[route]]
match = "embedding-translated"
provider = "gemini"
model = "gemini/gemini-embedding-001"
via = "litellm"
options = {{ api_base = "{origin}" }}
[[route]]
match = "nobody-there"
provider = "anthropic"
model = "anthropic/claude-sonnet-4-6"
via = "litellm"
options = {{ api_base = "http://127.0.0.1:9" }}
[[provider]]
name = "vertex"
credential = "file:{folder}/account"
[[route]]
match = "vertex-translated"
provider = "vertex"
model = "vertex_ai/gemini-2.5-flash"
via = "litellm"
options = {{ api_base = "{origin}", vertex_project = "acme", vertex_location = "europe-west4" }}
[[team]]
name = "search"
[[team.key]]
id = "k1"
sha256 = "{digest}"
"""


@dataclass
class Translating:
    """The service, the provider behind all of its translated routes, and the rows that were seen already."""

    service: Service
    provider: Provider
    client: openai.OpenAI  # of a caller with a key of ours
    rows: int = 0

    def says(self, script: Script) -> None:
        self.provider.seen.clear()
        self.provider.script = script

    def row(self) -> dict[str, Any]:
        """Wait for the one row that was not seen yet."""
        self.rows += 1
        return dict(self.service.wait_for_calls(self.rows)[-1])

    @property
    def seen(self) -> Seen:
        (seen,) = self.provider.seen
        return seen


def service_account(origin: str) -> dict[str, str]:
    """An account of Google's, on one line, whose tokens the scripted provider gives."""
    made = subprocess.run(["openssl", "genrsa", "-traditional", "2048"], check=True, capture_output=True, text=True)
    return {
        "type": "service_account", "project_id": "acme", "private_key_id": "1", "private_key": made.stdout,
        "client_email": "gate@acme.example", "client_id": "1", "token_uri": f"{origin}/token",
    }  # fmt: skip


async def unasked(seen: Seen, writer: asyncio.StreamWriter) -> None:
    raise AssertionError(seen.line)


@pytest.fixture(scope="package")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Translating]:
    folder = tmp_path_factory.mktemp("translating")
    for name, value in (("access-key-id", "AKIDEXAMPLE"), ("secret", "wJalr-secret"), ("key", OPERATORS)):
        (folder / name).write_text(value)
    with provider(unasked) as behind:
        (folder / "account").write_text(json.dumps(service_account(behind.origin)))
        digest = hashlib.sha256(KEY.encode()).hexdigest()
        toml = TOML.format(folder=folder, origin=behind.origin, digest=digest)
        with (
            service(folder, toml, "--workers", "2") as running,
            openai.OpenAI(base_url=f"{running.gate}/v1", api_key=KEY, max_retries=0) as client,
        ):
            yield Translating(running, behind, client)


@pytest.fixture
def translating(started: Translating) -> Iterator[Translating]:
    started.says(unasked)
    yield started
    started.rows = len(started.service.calls())
