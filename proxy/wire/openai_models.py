"""OpenAI's list of models and one model of it: free, without usage."""

from __future__ import annotations

from proxy.wire.other import Other


class Models(Other):
    """GET /v1/models and GET /v1/models/{model}."""

    name = "openai.models"
