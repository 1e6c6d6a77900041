"""OpenAI's list of models and one model of it: free, without usage."""

from __future__ import annotations

from proxy.wire.other import Other
from proxy.wire.surface import Way


class Models(Other):
    """GET /v1/models and GET /v1/models/{model}."""

    name = "openai.models"


_MODELS = Models()
WAYS = tuple(Way("GET", ending, _MODELS) for ending in ("models", "models/*", "models/*/*"))
