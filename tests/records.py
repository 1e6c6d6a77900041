"""Journal records for tests: a plain good call, to be changed where a test needs it."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from estimator.usage import Usage
from proxy.call import Closed, Opened
from proxy.identity import uuid7

_numbers = itertools.count(1)
AT_US = 1_795_000_000_000_000  # 2026-11-18


def opened(**changes: Any) -> Opened:
    """A call that went upstream, with an id of its own."""
    number = next(_numbers)
    name = uuid7(AT_US // 1000 + number, number)
    plain = Opened(
        id=name,
        operation_id=name,
        attempt=1,
        started_at_us=AT_US + number,
        team="search",
        project=None,
        user=None,
        key_id=None,
        tags={},
        provider="openai",
        surface="openai.chat",
        model_requested="gpt-4o",
        stream=True,
        request_bytes=900,
        zone="USA",
    )
    return msgspec.structs.replace(plain, **changes)


def closed(begun: Opened | None = None, **changes: Any) -> Closed:
    """The good end of a call."""
    begun = opened() if begun is None else begun
    plain = Closed(
        opened=begun,
        ended_at_us=begun.started_at_us + 1_500_000,
        outcome="ok",
        status=200,
        model="gpt-4o",
        provider_request_id="req_1",
        usage=Usage(input_tokens=100, cached_input_tokens=40, output_tokens=50),
        usage_source="reported",
        flags=(),
        reason=None,
        latency_us=1_500_400,
        time_to_first_token_us=250_600,
        overhead_us=180,
        response_bytes=4000,
        service_tier="default",
    )
    return msgspec.structs.replace(plain, **changes)
