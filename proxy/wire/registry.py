"""Every wire format by name, and which one a request's path speaks."""

from __future__ import annotations

from proxy.wire.openai_chat import Chat
from proxy.wire.openai_completions import Completions
from proxy.wire.openai_embeddings import Embeddings
from proxy.wire.openai_models import Models
from proxy.wire.openai_responses import Responses
from proxy.wire.other import Other
from proxy.wire.surface import Surface

SURFACES: dict[str, Surface] = {
    "openai.chat": Chat(),
    "openai.completions": Completions(),
    "openai.responses": Responses(),
    "openai.embeddings": Embeddings(),
    "openai.models": Models(),
    "other": Other(),
}

# How a POST's path ends, the longer ending first. Whatever else lies under these paths (a stored
# completion, a poll, a cancellation, counting input tokens) costs nothing new and is "other".
_POST_ENDINGS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("chat", "completions"), "openai.chat"),
    (("completions",), "openai.completions"),
    (("responses",), "openai.responses"),
    (("responses", "compact"), "openai.responses"),
    (("embeddings",), "openai.embeddings"),
)


def surface_for(method: str, path: str) -> Surface:
    """Give the format of a request by its method and the ending of its path (no query needed)."""
    segments = tuple(segment for segment in path.partition("?")[0].split("/") if segment)
    if method == "POST":
        for ending, name in _POST_ENDINGS:
            if segments[-len(ending) :] == ending:
                return SURFACES[name]
    elif method == "GET" and "models" in segments:
        return SURFACES["openai.models"]
    return SURFACES["other"]
