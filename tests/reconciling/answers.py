"""Answers of providers' usage and cost APIs, in the form that their references give; the figures are made up."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

OPENAI = "https://api.openai.com/v1/organization"
ANTHROPIC = "https://api.anthropic.com/v1/organizations"


def unix(day: int) -> int:
    return int(datetime(2026, 11, day, tzinfo=UTC).timestamp())


def openai_page(days: dict[int, list[dict[str, Any]]], next_page: str | None = None) -> dict[str, Any]:
    """A page whose results are given by their day of November 2026."""
    stretches = [
        {"object": "bucket", "start_time": unix(day), "end_time": unix(day + 1), "results": results}
        for day, results in days.items()
    ]
    return {"object": "page", "data": stretches, "has_more": next_page is not None, "next_page": next_page}


def anthropic_page(days: dict[int, list[dict[str, Any]]], next_page: str | None = None) -> dict[str, Any]:
    stretches = [
        {
            "starting_at": f"2026-11-{day:02}T00:00:00Z",
            "ending_at": f"2026-11-{day + 1:02}T00:00:00Z",
            "results": results,
        }
        for day, results in days.items()
    ]
    return {"data": stretches, "has_more": next_page is not None, "next_page": next_page}


def completions(**changes: Any) -> dict[str, Any]:
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": 1000,
        "output_tokens": 50,
        "input_cached_tokens": 400,
        "num_model_requests": 3,
        "project_id": "proj_1",
        "user_id": None,
        "api_key_id": "key_1",
        "model": "gpt-4o-2024-08-06",
        "batch": None,
        **changes,
    }


def embeddings(**changes: Any) -> dict[str, Any]:
    return {
        "object": "organization.usage.embeddings.result",
        "input_tokens": 7,
        "num_model_requests": 1,
        "project_id": "proj_1",
        "user_id": None,
        "api_key_id": "key_1",
        "model": "text-embedding-3-small",
        **changes,
    }


def openai_cost(value: float | None, line_item: str | None = "gpt-4o-2024-08-06, input", **changes: Any) -> dict:
    return {
        "object": "organization.costs.result",
        "amount": None if value is None else {"value": value, "currency": "usd"},
        "line_item": line_item,
        "project_id": "proj_1",
        "api_key_id": "key_1",
        **changes,
    }


def messages(**changes: Any) -> dict[str, Any]:
    return {
        "uncached_input_tokens": 100,
        "cache_creation": {"ephemeral_1h_input_tokens": 3, "ephemeral_5m_input_tokens": 20},
        "cache_read_input_tokens": 4000,
        "output_tokens": 50,
        "server_tool_use": {"web_search_requests": 10},
        "api_key_id": "apikey_1",
        "workspace_id": "wrkspc_1",
        "model": "claude-sonnet-4-5-20250929",
        "service_tier": "standard",
        "context_window": "0-200k",
        **changes,
    }


def anthropic_cost(amount: str, **changes: Any) -> dict[str, Any]:
    return {
        "currency": "USD",
        "amount": amount,
        "workspace_id": "wrkspc_1",
        "description": "Claude Sonnet 4.5 Usage - Input Tokens",
        "cost_type": "tokens",
        "context_window": "0-200k",
        "model": "claude-sonnet-4-5-20250929",
        "service_tier": "standard",
        "token_type": "uncached_input_tokens",
        **changes,
    }


def written(*pages: dict[str, Any]) -> str:
    return "\n".join(json.dumps(page, indent=1) for page in pages)
