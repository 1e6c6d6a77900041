"""From a request in OpenAI's format to the parameters of LiteLLM's SDK: what a client may say, and what it may not.

The SDK takes where to send a call, and with which credential, from the same parameters as the prompt. A
client could have the operator's credential sent anywhere, so only what is listed here is taken from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

import msgspec

from proxy.config import resolve_secret
from proxy.errors import ConfigError, Refusal
from proxy.routing import aws_credential
from proxy.sections import Config, ProviderSection, RouteSection

Kind = Literal["chat", "embeddings", "responses"]
Parameters = dict[str, object]

_SAMPLING = {"temperature", "top_p", "tools", "tool_choice", "parallel_tool_calls", "user", "service_tier"}
TAKEN: Final[dict[Kind, frozenset[str]]] = {
    "chat": frozenset(
        _SAMPLING
        | {"messages", "stream", "stream_options", "n", "stop", "max_tokens", "max_completion_tokens", "seed"}
        | {"presence_penalty", "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "response_format"}
        | {"functions", "function_call", "modalities", "audio", "prediction", "web_search_options", "verbosity"}
        | {"reasoning_effort", "thinking", "top_k"}
    ),
    "embeddings": frozenset({"input", "dimensions", "encoding_format", "user"}),
    "responses": frozenset(
        _SAMPLING
        | {"input", "instructions", "stream", "max_output_tokens", "text", "reasoning", "truncation", "include"}
        | {"top_logprobs", "max_tool_calls"}
    ),
}
# For OpenAI's own books; the row of the call has them, and no other provider has a place for them.
LEFT_OUT: Final = frozenset({"model", "metadata", "store", "safety_identifier", "prompt_cache_key"})
WRITTEN: Final = frozenset({"text", "input_text", "output_text", "refusal", "thinking", "reasoning", "summary_text"})
AWS_PROVIDERS: Final = ("bedrock", "sagemaker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """Where the calls of one route go, in the SDK's words."""

    model: str
    options: Parameters
    operators: Parameters | None = field(repr=False)  # the credential; None: there is none
    takes_callers_key: bool

    def parameters(self, callers_key: str | None) -> Parameters:
        """Give what the SDK must know beside the request; ``None`` for ``callers_key`` uses the operator's credential.

        Raises :class:`Refusal` where there is no such credential.
        """
        if callers_key is not None and not self.takes_callers_key:
            raise Refusal(403, "credential_not_taken", "This route works with the operator's credential only.")
        credential = self.operators if callers_key is None else {"api_key": callers_key}
        if credential is None:
            raise Refusal(403, "provider_without_credential", "The operator has set no credential for this provider.")
        # Nothing is sent twice: a provider would bill it twice.
        return {"model": self.model, "num_retries": 0, "max_retries": 0} | self.options | credential

    def secrets(self, callers_key: str | None) -> frozenset[str]:
        """Give what must not stand in a message."""
        values = (self.operators or {}).values() if callers_key is None else (callers_key,)
        return frozenset(value for value in values if isinstance(value, str))


def ways(config: Config) -> dict[int, Way]:
    """Read the translated routes, by their number; raises :class:`ConfigError` where a credential is not there."""
    providers = {row.name: row for row in config.provider}
    return {
        number: _way(route, providers[route.provider])
        for number, route in enumerate(config.route)
        if route.via is not None
    }


def _way(route: RouteSection, provider: ProviderSection) -> Way:
    if route.model is None:
        raise ConfigError(f"route `{route.match}` names no model")
    family = route.model.partition("/")[0]
    options: Parameters = dict(route.options)
    if family.startswith(AWS_PROVIDERS) and (provider.region or "").startswith("aws:"):
        options = {"aws_region_name": (provider.region or "").removeprefix("aws:")} | options
    return Way(
        model=route.model,
        options=options,
        operators=_operators(provider, family),
        takes_callers_key=family != "vertex_ai",
    )


def _operators(provider: ProviderSection, family: str) -> Parameters | None:
    if provider.credential is None:
        return None
    aws = aws_credential(provider)
    if aws is not None:
        session: Parameters = {} if aws.session_token is None else {"aws_session_token": aws.session_token}
        return {"aws_access_key_id": aws.access_key_id, "aws_secret_access_key": aws.secret_access_key} | session
    value = resolve_secret(provider.credential, owner=f"provider {provider.name}").decode("ascii")
    return {"vertex_credentials" if family == "vertex_ai" else "api_key": value}


def read(kind: Kind, body: bytes) -> Parameters:
    """Read a request; raises :class:`Refusal` 400 that names what is not translated."""
    try:
        request = msgspec.json.decode(body, type=dict[str, object])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(400, "invalid_request", f"The request's body cannot be read: {error}.") from None
    asked = {name: value for name, value in request.items() if value is not None and name not in LEFT_OUT}
    for name in sorted(asked.keys() - TAKEN[kind]):
        raise Refusal(400, "unsupported_parameter", f"`{name[:80]}` is not translated.")
    if any("http://" in text or "https://" in text for text in _media(asked.get("messages", asked.get("input")))):
        message = "Images and files behind a URL are not fetched: send them as data: URLs."
        raise Refusal(400, "url_not_fetched", message)
    return asked


def _media(messages: object) -> Iterator[str]:
    """Give the strings in what is not written text, wherever a format may have it: the SDK would fetch a URL there."""
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict):
            for member in ("content", "output"):
                for part in _parts(message.get(member)):
                    yield from _strings(part)


def _parts(content: object) -> Iterator[dict[str, object]]:
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") not in WRITTEN:
            yield part


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value.lower()
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _strings(each)
