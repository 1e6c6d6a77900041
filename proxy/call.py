"""The facts of a call, as the gate writes them down: who, what, when, how much; no meaning added.

The gate appends an :class:`Opened` record when the first byte goes upstream and a :class:`Closed`
record when the call ends. ``Closed`` carries the ``Opened`` facts again, so it stands alone; an
``Opened`` without a ``Closed`` is a call that was in flight when its gate died.

Times are microseconds: ``*_at_us`` since the Unix epoch (UTC), ``*_us`` durations. New fields go to
the end with a default, so that a journal written by an older release can still be read.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from estimator.usage import Usage, UsageLine

Outcome = Literal["ok", "error", "aborted", "interrupted", "rejected"]
UsageSource = Literal["reported", "counted", "inferred", "absent"]


class Opened(msgspec.Struct, array_like=True, tag="o", frozen=True, kw_only=True, gc=False):
    """What is known when a call goes upstream (or is turned away)."""

    id: str  # ours: UUIDv7
    operation_id: str  # shared by the attempts of one request
    attempt: int  # 1, 2, …
    started_at_us: int
    team: str | None
    project: str | None
    user: str | None
    key_id: str | None
    tags: dict[str, str]
    provider: str | None  # None: turned away before a provider was chosen
    surface: str  # "openai.chat", …, "other"
    model_requested: str | None
    stream: bool
    request_bytes: int | None
    zone: str | None = None  # of the provider's electricity; earlier releases wrote cloud regions too
    attributes: dict[str, str] = {}  # what else the request says about who calls, and how


class Closed(msgspec.Struct, array_like=True, tag="c", frozen=True, kw_only=True, gc=False):
    """How a call ended and what it consumed."""

    opened: Opened
    ended_at_us: int
    outcome: Outcome
    status: int | None  # HTTP status the client got; None: none was sent
    model: str | None  # as served, from the reply
    provider_request_id: str | None
    usage: Usage | None
    usage_source: UsageSource
    flags: tuple[str, ...]  # oddities seen, "usage.total_mismatch", …
    reason: str | None  # why it is not ok, or why usage is absent
    latency_us: int
    time_to_first_token_us: int | None
    overhead_us: int | None  # time the gate itself added
    response_bytes: int
    service_tier: str | None
    lines: tuple[UsageLine, ...] = ()  # what was consumed beside ``usage`` and is in none of its counts
    counted_as: str | None = None  # the name under which this usage counts once, however often it is shown
    calls: int = 1  # whose sum ``usage`` is: a batch answers many at once
    shown_again: bool = False  # the call only shows what another may have consumed: a poll, a batch's results
    region: str | None = None  # where the provider says that it kept the call, at a price of its own


class Lost(msgspec.Struct, array_like=True, tag="l", frozen=True, kw_only=True):
    """Calls whose ``Closed`` record could not be written: counted, so that loss is loud."""

    at_us: int
    calls: int
    ids: tuple[str, ...] = ()  # of those whose Opened record was written, which no Closed will end


Record = Opened | Closed | Lost
