"""AWS's boto3, unchanged, through the gate: bearer keys of ours over TLS, and AWS's own signatures passed through."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import botocore.config
import botocore.exceptions
import pytest
import urllib3

from tests.loopback import listening
from tests.sdk.metered import KEY, SCHEMA, Seen, Ways, check

pytestmark = pytest.mark.heavy

MODEL = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
PROFILE = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/1arbu5hu2sjr"
ASK = [{"role": "user", "content": [{"text": "Tell me about tidal power, café by café."}]}]
WEATHER = [{"role": "user", "content": [{"text": "How is the weather in Oslo?"}]}]
TOOLS = {"tools": [{"toolSpec": {"name": "get_weather", "inputSchema": {"json": SCHEMA}}}]}
LIMIT = {"maxTokens": 300}
Client = Any  # boto3 makes its clients' classes when it runs


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def tls_origin(ways: Ways, certificate: Path) -> Iterator[str]:
    """TLS in front of the gate, as in any deployment: boto3 sends bearer tokens over nothing else."""

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", ways.gate.port)
        await asyncio.gather(copy(reader, inner_writer), copy(inner_reader, writer))

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    with listening(forward, ssl=context) as port:
        yield f"https://localhost:{port}"


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of this machine's own AWS settings."""
    for name in ("AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


@contextlib.contextmanager
def signing(origin: str, *, attempts: int = 1, **headers: str) -> Iterator[Client]:
    """A client that signs with credentials of AWS."""
    with _client(origin, attempts, headers, aws_access_key_id="AKIDEXAMPLE", aws_secret_access_key="secret") as client:
        yield client


@contextlib.contextmanager
def _client(origin: str, attempts: int, headers: dict[str, str], **settings: object) -> Iterator[Client]:
    config = botocore.config.Config(retries={"total_max_attempts": attempts, "mode": "standard"})
    client = boto3.session.Session().client(
        "bedrock-runtime", region_name="us-east-1", endpoint_url=f"{origin}/bedrock", config=config, **settings
    )

    def add(request: Any, **_: object) -> None:
        for name, value in headers.items():
            request.headers[name] = value

    client.meta.events.register("before-send.bedrock-runtime", add)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def bearing(tls_origin: str, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Make clients that bear a key of ours."""

    @contextlib.contextmanager
    def make(*, attempts: int = 1, **headers: str) -> Iterator[Client]:
        with monkeypatch.context() as environment:
            environment.setenv("AWS_BEARER_TOKEN_BEDROCK", KEY)
            with _client(tls_origin, attempts, headers, verify=str(certificate / "cert.pem")) as client:
                yield client

    return make


def seen(usage: dict[str, Any], *shown: object) -> Seen:
    total = usage["inputTokens"] + usage["cacheReadInputTokens"] + usage["cacheWriteInputTokens"]
    assert usage["totalTokens"] == total + usage["outputTokens"]
    return Seen(
        shown=(usage, *shown),
        surface="bedrock.converse",
        model=None,  # no reply of Converse names it
        input_tokens=total,
        output_tokens=usage["outputTokens"],
        cached_input_tokens=usage["cacheReadInputTokens"],
    )


def whole(reply: dict[str, Any]) -> Seen:
    about = reply.pop("ResponseMetadata")
    return seen(reply["usage"], reply, about["RequestId"], about["HTTPStatusCode"])


def plain(client: Client) -> Seen:
    return whole(client.converse(modelId=MODEL, messages=ASK, inferenceConfig=LIMIT))


def at_its_limit(client: Client) -> Seen:
    reply = client.converse(
        modelId=MODEL, messages=ASK, system=[{"text": "Be brief."}], inferenceConfig={"maxTokens": 7}
    )
    assert (reply["stopReason"], reply["usage"]["outputTokens"]) == ("max_tokens", 7)
    return whole(reply)


def tool(client: Client) -> Seen:
    reply = client.converse(modelId=MODEL, messages=WEATHER, toolConfig=TOOLS)
    (block,) = reply["output"]["message"]["content"]
    assert set(block["toolUse"]["input"]) == {"city", "days"}
    return whole(reply)


def tool_answered(client: Client) -> Seen:
    used = {"toolUse": {"toolUseId": "tooluse_1", "name": "get_weather", "input": {"city": "Oslo", "days": 1}}}
    answered = {"toolResult": {"toolUseId": "tooluse_1", "content": [{"text": "Rain, 7 degrees."}]}}
    turns = [*WEATHER, {"role": "assistant", "content": [used]}, {"role": "user", "content": [answered]}]
    reply = client.converse(modelId=MODEL, messages=turns, toolConfig=TOOLS)
    assert reply["output"]["message"]["content"][0]["text"]
    return whole(reply)


def streamed(client: Client) -> Seen:
    events = list(client.converse_stream(modelId=MODEL, messages=ASK, inferenceConfig=LIMIT)["stream"])
    return seen(events[-1]["metadata"]["usage"], events)


def tool_streamed(client: Client) -> Seen:
    events = list(client.converse_stream(modelId=MODEL, messages=WEATHER, toolConfig=TOOLS)["stream"])
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    assert set(json.loads("".join(delta["toolUse"]["input"] for delta in deltas))) == {"city", "days"}
    return seen(events[-1]["metadata"]["usage"], events)


CALLS: dict[str, Callable[[Client], Seen]] = {
    call.__name__: call for call in (plain, at_its_limit, tool, tool_answered, streamed, tool_streamed)
}


@pytest.mark.parametrize("name", CALLS)
def test_the_client_sees_the_same_and_the_gate_meters_it(ways, bearing, name):
    with bearing() as client:
        given, (closed,) = ways.closed(lambda: CALLS[name](client))
    with signing(ways.direct) as client:
        assert given == CALLS[name](client)
    check(closed, given, asked=MODEL, stream="streamed" in name)


@pytest.mark.parametrize("seed", ["5", "6"])
def test_whatever_the_pieces(ways, bearing, seed):
    with bearing(**{"x-simulate-splits": seed}) as client:
        given, (closed,) = ways.closed(lambda: streamed(client))
    with signing(ways.direct) as client:
        assert given == streamed(client)
    check(closed, given, asked=MODEL, stream=True)


def test_a_profile_hides_its_model(ways, bearing):
    def ask(client: Client) -> Seen:
        return whole(client.converse(modelId=PROFILE, messages=ASK, inferenceConfig=LIMIT))

    with bearing() as client:
        given, (closed,) = ways.closed(lambda: ask(client))
    with signing(ways.direct) as client:
        assert given == ask(client)
    check(closed, given, asked=PROFILE, stream=False)


def test_signatures_of_aws_pass_through(ways):
    with signing(ways.gate.url) as client:
        given, calls = ways.closed(lambda: (plain(client), streamed(client)), count=2)
    with signing(ways.direct) as client:
        assert given == (plain(client), streamed(client))
    assert len({closed.opened.attributes["provider_key"] for closed in calls}) == 1
    for closed, reply in zip(calls, given, strict=True):
        assert (closed.outcome, closed.usage_source, closed.opened.team) == ("ok", "reported", None)
        assert (closed.usage.input_tokens, closed.usage.output_tokens) == (reply.input_tokens, reply.output_tokens)


@pytest.mark.parametrize("stream", [False, True])
def test_anthropics_own_bodies(ways, bearing, stream):
    """Their counts stand in headers of a plain reply, in the last chunk of a stream."""
    body = json.dumps(
        {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}
    )

    def ask(client: Client) -> Seen:
        if stream:
            events = list(client.invoke_model_with_response_stream(modelId=MODEL, body=body)["body"])
            said = [json.loads(event["chunk"]["bytes"]) for event in events]
            metrics = said[-1]["amazon-bedrock-invocationMetrics"]
            counts = metrics["inputTokenCount"], metrics["outputTokenCount"]
        else:
            reply = client.invoke_model(modelId=MODEL, body=body)
            said = [json.loads(reply["body"].read())]
            headers = reply["ResponseMetadata"]["HTTPHeaders"]
            counts = tuple(int(headers[f"x-amzn-bedrock-{side}-token-count"]) for side in ("input", "output"))
        return Seen(shown=said, surface="bedrock.invoke", model=MODEL, input_tokens=counts[0], output_tokens=counts[1])

    with bearing() as client:
        given, (closed,) = ways.closed(lambda: ask(client))
    with signing(ways.direct) as client:
        assert given == ask(client)
    check(closed, given, asked=MODEL, stream=stream)


def test_what_the_cache_took_and_gave(ways, bearing):
    system = [{"text": "Tides turn. " * 600}, {"cachePoint": {"type": "default"}}]
    with bearing() as client:

        def ask() -> dict[str, Any]:
            return client.converse(modelId=MODEL, messages=ASK, system=system, inferenceConfig=LIMIT)

        replies, calls = ways.closed(lambda: (ask(), ask()), count=2)
    wrote, read = (reply["usage"] for reply in replies)
    assert wrote["cacheWriteInputTokens"] == read["cacheReadInputTokens"] >= 1024
    for reply, closed in zip(replies, calls, strict=True):
        check(closed, whole(reply), asked=MODEL, stream=False)
    assert calls[0].usage.cache_write_tokens == wrote["cacheWriteInputTokens"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "ValidationException"),
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (408, "ModelTimeoutException"),
        (424, "ModelErrorException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
@pytest.mark.parametrize("call", [plain, streamed])
def test_errors_are_boto3s_own(ways, bearing, status, kind, call):
    def ask(client: Client) -> object:
        with pytest.raises(getattr(client.exceptions, kind)) as raised:
            call(client)
        return raised.value.response["Error"], raised.value.response["ResponseMetadata"]["HTTPStatusCode"]

    wish = {"x-simulate-status": str(status)}
    with bearing(**wish) as client:
        given, (closed,) = ways.closed(lambda: ask(client))
    with signing(ways.direct, **wish) as client:
        assert given == ask(client)
    assert (closed.outcome, closed.status, closed.usage) == ("error", status, None)


def test_each_of_boto3s_attempts_is_a_call(ways, bearing):
    with bearing(attempts=3, **{"x-simulate-status": "429,500,200"}) as client:
        given, calls = ways.closed(lambda: plain(client), count=3)
    assert [(call.outcome, call.status) for call in calls] == [("error", 429), ("error", 500), ("ok", 200)]
    assert [call.opened.attributes.get("retry_count") for call in calls] == [None, "1", "2"]
    assert len({call.opened.attributes["idempotency_key"] for call in calls}) == 1
    with signing(ways.direct) as client:
        assert given == plain(client)
    check(calls[2], given, asked=MODEL, stream=False)


def test_an_exception_inside_a_stream_is_boto3s_own(ways, bearing):
    def ask(client: Client) -> tuple[object, list[object]]:
        events: list[object] = []
        stream = client.converse_stream(modelId=MODEL, messages=ASK, inferenceConfig=LIMIT)["stream"]
        with contextlib.closing(stream), pytest.raises(botocore.exceptions.EventStreamError) as raised:
            events.extend(stream)
        return raised.value.response["Error"], events

    wish = {"x-simulate-error-after": "5"}
    with bearing(**wish) as client:
        given, (closed,) = ways.closed(lambda: ask(client))
    with signing(ways.direct, **wish) as client:
        assert given == ask(client)
    assert len(given[1]) == 5
    assert (closed.outcome, closed.status) == ("error", 200)
    assert closed.reason == "serviceUnavailableException"


def test_a_stream_that_breaks_off_is_an_error_of_the_provider(ways, bearing):
    def ask(client: Client) -> list[object]:
        events: list[object] = []
        stream = client.converse_stream(modelId=MODEL, messages=ASK, inferenceConfig=LIMIT)["stream"]
        with pytest.raises(urllib3.exceptions.ProtocolError):  # boto3 leaves it as it is
            events.extend(stream)
        return events

    wish = {"x-simulate-cut-after": "6"}
    with bearing(**wish) as client:
        given, (closed,) = ways.closed(lambda: ask(client))
    assert closed.outcome == "error"
    with signing(ways.direct, **wish) as client:
        assert given == ask(client)[: len(given)]


def test_a_client_that_leaves_is_metered_to_the_end(ways, bearing):
    with bearing(**{"x-simulate-output-tokens": "9", "x-simulate-token-ms": "100"}) as client:

        def leave() -> None:
            stream = client.converse_stream(modelId=MODEL, messages=ASK, inferenceConfig=LIMIT)["stream"]
            for _ in zip(range(3), stream, strict=False):
                pass
            stream.close()

        _, (closed,) = ways.closed(leave)
    assert (closed.outcome, closed.reason, closed.usage_source) == ("aborted", "client_gone", "reported")
    assert closed.usage.output_tokens == 9
