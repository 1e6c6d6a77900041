"""Chat shaped like OpenAI's on paths of a host's own: Snowflake's Cortex, and endpoints that one deploys.

Databricks and SageMaker name the model in the path. Nothing is added to such a request: what the server behind it
understands is not known.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec

from proxy.wire.canon import label
from proxy.wire.openai import OpenAISurface
from proxy.wire.openai_chat import ChatReader
from proxy.wire.surface import Asked, Headers, Way

_ENDPOINT = re.compile(r"endpoints/([^/?]+)/invocations")


class HostedChat(OpenAISurface):
    """POST cortex/inference:complete, serving-endpoints/{name}/invocations and endpoints/{name}/invocations."""

    name = "hosted.chat"

    def asked(self, body: bytes, path: str = "") -> Asked:
        """Read the request, whose model may stand in the path."""
        asked, endpoint = super().asked(body, path), _ENDPOINT.search(path)
        model = asked.model or (label(unquote(endpoint[1])) if endpoint is not None else None)
        return msgspec.structs.replace(asked, model=model)

    def reader(self, headers: Headers = (), status: int = 200) -> ChatReader:
        """Make the reader for one reply; its first bytes say what it is."""
        return ChatReader()


_HOSTED = HostedChat()
WAYS = (
    Way("POST", "cortex/inference:complete", _HOSTED),
    Way("POST", "serving-endpoints/*/invocations", _HOSTED),
    Way("POST", "endpoints/*/invocations", _HOSTED),
    Way("POST", "endpoints/*/invocations-response-stream", _HOSTED),
)
