"""What a call is carried with, and the call itself as it becomes known on its way."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.call import Closed, Opened, Outcome
from proxy.client import HandOver
from proxy.counting import Counter
from proxy.identity import new_id
from proxy.routing import Provider, Routes, Target
from proxy.sections import GateSection
from proxy.teams import NOBODY, Admitted, Attribution, Headers, Teams
from proxy.tee import Meter, Sink
from proxy.upstream import Upstream
from proxy.wire.registry import surface_for
from proxy.wire.surface import Asked, Surface

if TYPE_CHECKING:
    from proxy.reaching import Outgoing

EstimateHeaders = Callable[[Closed], Headers]
Reach = Callable[["Gate", "Received", tuple[Target, ...], Admitted], Awaitable["Outgoing"]]
UNASKED = Asked()


@dataclass(slots=True, kw_only=True)
class Gate:
    """What a call needs on its way; one per worker process."""

    settings: GateSection
    teams: Teams
    routes: Routes
    upstream: Upstream
    journal: Sink
    count: Counter
    reach: Reach
    estimate_headers: EstimateHeaders | None = None
    prepare_estimate: Callable[[str, Provider], None] | None = None  # told the model of a reply that will have them
    draining: int = 0


@dataclass(slots=True, kw_only=True)
class Received:
    """A request as it came, and the facts that became known on its way: what its record will say."""

    id: str
    method: str
    path: bytes
    started_ns: int
    started_at_us: int
    surface: Surface
    attribution: Attribution = NOBODY
    attributes: dict[str, str] = field(default_factory=dict)
    asked: Asked = UNASKED
    provider: Provider | None = None
    model_sent: str | None = None  # where it differs from the one asked for
    body: bytes = b""  # held, content-encoding taken off
    body_bytes: int | None = None
    sending: bytes | AsyncIterator[bytes] | None = None  # what goes upstream: the held body, or one that still comes
    attempt: int = 1
    operation_id: str = ""  # shared by the attempts of a request; the first one's id
    meter: Meter | None = None  # set: the call is on its way upstream, its record is the meter's to write
    notices: Headers | None = None  # what the reply says beside the call's id: budgets that are nearly used up
    answering: bool = False  # the client has the head of a reply
    client_left: bool = False
    hand_over: HandOver | None = None  # set: the client asks for a WebSocket and the server can give its connection
    draining: bool = False  # the client has left, its reply is read on
    waited_ns: int = 0  # for the rest of the request and for a connection: not time of ours

    @classmethod
    def begin(cls, method: str, path: bytes) -> Received:
        """Begin a call now."""
        now_ns = time.time_ns()
        return cls(
            id=new_id(now_ns),
            method=method,
            path=path,
            started_ns=time.perf_counter_ns(),
            started_at_us=now_ns // 1000,
            surface=surface_for(method, path.decode("latin-1")),
        )

    def try_again(self) -> None:
        """Begin another attempt: a row of its own, tied to the ones before."""
        self.operation_id = self.operation_id or self.id
        self.id = new_id(time.time_ns())
        self.attempt += 1

    def opened(self) -> Opened:
        """Give what is known when the call goes upstream."""
        who = self.attribution
        return Opened(
            id=self.id,
            operation_id=self.operation_id or self.id,
            attempt=self.attempt,
            started_at_us=self.started_at_us,
            team=who.team,
            project=who.project,
            user=who.user or self.asked.user,
            key_id=who.key_id,
            tags=who.tags,
            provider=self.provider.name if self.provider is not None else None,
            surface=self.surface.name,
            model_requested=self.model_sent or self.asked.model,
            stream=self.asked.stream,
            request_bytes=self.body_bytes,
            zone=self.provider.zone if self.provider is not None else None,
            attributes=self.attributes | self.asked.attributes if self.asked.attributes else self.attributes,
        )


def end(gate: Gate, call: Received, outcome: Outcome, reason: str, *, status: int | None = None) -> None:
    """Write down how a call ended, whether it came to be sent or not."""
    if call.meter is not None:
        call.meter.finish(outcome, reason, status=status)
    else:
        _record_unsent(gate, call, outcome, reason, status=status)


def _record_unsent(gate: Gate, call: Received, outcome: Outcome, reason: str, *, status: int | None) -> None:
    """Write down a request of which nothing went upstream."""
    latency_us = (time.perf_counter_ns() - call.started_ns) // 1000
    gate.journal.append(
        Closed(
            opened=call.opened(),
            ended_at_us=call.started_at_us + latency_us,
            outcome=outcome,
            status=status,
            model=None,
            provider_request_id=None,
            usage=None,
            usage_source="absent",
            flags=(),
            reason=reason,
            latency_us=latency_us,
            time_to_first_token_us=None,
            overhead_us=None,
            response_bytes=0,
            service_tier=None,
        )
    )
