"""What a gate worker does about budgets: looks before a call is sent, reserves, and settles when the call has ended.

A worker without budgets has none of this. Nothing here speaks to the ledger: what may be used stands in memory that is
shared with the recorder (:mod:`proxy.budgets.exposure`).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from proxy.budgets.budget import Budget, Budgets
from proxy.budgets.expecting import Expecting, Steps
from proxy.budgets.exposure import Exposure
from proxy.call import Closed, Opened
from proxy.errors import Refusal
from proxy.gate import Gate, Received
from proxy.reaching import Outgoing, reach
from proxy.routing import Target
from proxy.teams import Admitted
from proxy.tee import Sink

WAIT_S = 1.5  # how long a call may wait for its part of a budget: till those who hold it have heard of the call
_LOOK_S, _LOOK_MOST_S = 0.01, 0.1  # how long between looks, at first and at last: thousands of calls may wait
SOON_S = 1  # when to come again where calls in flight, or another machine's, hold what is left
TOLD_AT_MOST = 16  # budgets, in one header: clients take no longer ones than some thousand bytes
_ASKS_ONLY = frozenset(("GET", "HEAD", "OPTIONS"))  # these generate nothing: a used-up budget leaves them be
_PIECES = frozenset(("requests", "concurrent_requests"))  # every request is one


@dataclass(slots=True, kw_only=True)
class Hold:
    """What one request has reserved; settled by the record of the call that carries it to its end."""

    call_id: str | None = None  # not known while providers are tried in turn
    reserved: Sequence[tuple[int, Budget, int]] = field(default_factory=tuple)  # slot, budget, steps


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """A budget of which a machine has not enough for a call; ``with_it`` is what it would be exposed to, in steps."""

    budget: Budget
    steps: int = 0  # that the call takes
    with_it: int | None = None  # None: nobody can say what there is


@dataclass(frozen=True, slots=True)
class InForce:
    """The budgets that a worker goes by, and where each has its slot; ``complete``: all that there are have one."""

    budgets: Budgets
    slots: Mapping[str, int]
    complete: bool

    @classmethod
    def of(cls, budgets: Sequence[Budget], exposure: Exposure) -> InForce:
        """Find those that have a slot: of thousands that takes some hundredths of a second, in any thread."""
        places = exposure.places()
        placed = [(budget, slot) for budget in budgets if (slot := places.get(budget.measure)) is not None]
        slots = {budget.name: slot for budget, slot in placed}
        return cls(Budgets(budget for budget, _ in placed), slots, complete=len(placed) == len(budgets))


class Reserving:
    """Stands in front of what reaches providers, and before the journal."""

    def __init__(
        self,
        exposure: Exposure,
        column: int,
        expecting: Expecting,
        journal: Sink,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Begin in a worker's column; ``now`` gives seconds since the Unix epoch."""
        self._exposure = exposure
        self._column = column
        self._expecting = expecting
        self._journal = journal
        self._now = now
        self.alone = False  # another process has taken this one's place, and its recorder leases nothing for this one
        self._budgets = Budgets(())
        self._slots: Mapping[str, int] = {}
        self._holds: dict[str, Hold] = {}  # by operation
        self._unwritten: dict[int, int] = {}  # by slot: used, and not in the journal's file yet

    def follow(self, found: InForce) -> None:
        """Go by these budgets from now on."""
        self._budgets, self._slots = found.budgets, found.slots

    @property
    def settled(self) -> bool:
        """Whether nothing is reserved here, and all that was used is in the journal."""
        return not self._holds and not self._unwritten

    async def reach(self, gate: Gate, call: Received, targets: tuple[Target, ...], admitted: Admitted) -> Outgoing:
        """Reach a provider, if the budgets of the call allow it; raises :class:`Refusal` 429."""
        hold = await self.reserve(call, targets[0], websocket=admitted.websocket)
        if hold is None:
            return await reach(gate, call, targets, admitted)
        try:
            return await reach(gate, call, targets, admitted)
        finally:
            hold.call_id = call.id

    async def reserve(self, call: Received, target: Target, *, websocket: bool = False) -> Hold | None:
        """Reserve what a call may use, ``None`` where nothing limits it; raises :class:`Refusal` 429.

        It is let go when the record of the call ``call_id`` is written, which is set when that is known.
        """
        who, budgets = call.attribution, self._budgets
        found = budgets.of(who.team, who.project, who.user or call.asked.user, who.key_id)
        if not found:
            return None
        call.notices = self._notices(found)
        asks = call.method in _ASKS_ONLY and not websocket
        hard = [budget for budget in found if budget.hard and not (asks and budget.unit not in _PIECES)]
        for budget in found:
            self._exposure.want(self._slots[budget.name])
        if self.alone:  # what still comes is carried: to be replaced refuses no call
            hard = [budget for budget in hard if self._exposure.allowed(self._slots[budget.name]) is not None]
        if not hard:
            return None
        steps = await self._expecting.of(call, target, {budget.unit for budget in hard})
        until, pause_s = time.monotonic() + WAIT_S, _LOOK_S
        while budgets is self._budgets:
            made = self._reserve(hard, steps)
            if isinstance(made, Hold):
                self._holds[call.operation_id or call.id] = made
                return made
            if time.monotonic() >= until or not self._may_come(made):
                raise self._refusal(made)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LOOK_MOST_S)
        return await self.reserve(call, target, websocket=websocket)  # there are others by now

    def append(self, record: Opened | Closed) -> bool:
        """Write a record down; the end of a call that has reserved is settled then."""
        written = self._journal.append(record)
        if self._unwritten and written:  # what waited was written before it
            for slot, steps in self._unwritten.items():
                self._exposure.close(slot, self._column, steps)
                self._exposure.release(slot, self._column, steps)
            self._unwritten.clear()
        if self._holds and isinstance(record, Closed):
            hold = self._holds.get(record.opened.operation_id)
            if hold is not None:
                self._settle(hold, record, written=written)
        return written

    def _reserve(self, budgets: Sequence[Budget], expected: Steps) -> Hold | Short:
        """Reserve of all budgets or of none, and then say of which one there is not enough here."""
        for budget in budgets:
            if self._exposure.allowed(self._slots[budget.name]) is None:
                return Short(budget=budget)
        reserved: list[tuple[int, Budget, int]] = []
        for budget in budgets:
            slot = self._slots[budget.name]
            steps = 1 if budget.unit in _PIECES else expected[budget.unit] or 0
            with_it = self._exposure.reserve(slot, self._column, steps)
            reserved.append((slot, budget, steps))
            if not _fits(steps, with_it, self._exposure.allowed(slot) or 0):
                for taken, _, back in reserved:
                    self._exposure.release(taken, self._column, back)
                self._exposure.need(slot, self._column, max(steps, 1))
                return Short(budget=budget, steps=steps, with_it=with_it)
        return Hold(reserved=reserved)

    def _may_come(self, short: Short) -> bool:
        """Tell whether what a call takes is there, and only not here: nobody can say yet, or other machines hold it."""
        if short.with_it is None:
            return True
        return _fits(short.steps, short.with_it, self._exposure.left(self._slots[short.budget.name]))

    def _settle(self, hold: Hold, record: Closed, *, written: bool) -> None:
        """Take what a call has used for what it reserved; what a turn on its connection used is added."""
        last = record.opened.id == hold.call_id
        had = self._expecting.had(record, {budget.unit for _, budget, _ in hold.reserved})
        if last:
            del self._holds[record.opened.operation_id]
        for slot, budget, steps in hold.reserved:
            if budget.unit == "requests":
                took = int(last and record.outcome != "rejected")
            else:
                took = 0 if budget.unit == "concurrent_requests" else had[budget.unit] or 0
            if written:
                self._exposure.close(slot, self._column, took)
            elif took:  # it stays open until the journal has it
                self._exposure.reserve(slot, self._column, took)
                self._unwritten[slot] = self._unwritten.get(slot, 0) + took
            if last:
                self._exposure.release(slot, self._column, steps)

    def _refusal(self, short: Short) -> Refusal:
        budget, steps, slot = short.budget, short.steps, self._slots[short.budget.name]
        if short.with_it is None:
            message = f"Nobody can say now what is left of budget {budget.name} ({budget.says()}); try again."
            return Refusal(429, "budget_unknown", message, retry_after_s=SOON_S)
        left = self._exposure.left(slot)
        over = budget.window is not None and (left == 0 or steps > left)
        wait_s = max(SOON_S, math.ceil(self._exposure.ends(slot) - self._now())) if over else SOON_S
        why = "is used up" if left == 0 and over else "has not enough left for this call"
        message = f"Budget {budget.name} ({budget.says()}) {why}; try again in {wait_s} s."
        if budget.limits_rate:
            return Refusal(429, "rate_limit_exceeded", message, retry_after_s=wait_s)
        return Refusal(429, "budget_exceeded", message, retry_after_s=wait_s)

    def _notices(self, budgets: Sequence[Budget]) -> list[tuple[bytes, bytes]]:
        """Give the header of a reply whose budgets have passed a threshold; those that are used most come first."""
        passed: list[tuple[float, str]] = []
        for budget in budgets:
            used = self._exposure.used(self._slots[budget.name])
            if budget.thresholds and used >= budget.thresholds[0]:
                passed.append((-used, budget.name))
        said = [f"{name};used={-minus:.3f}" for minus, name in sorted(passed)[:TOLD_AT_MOST]]
        return [(b"x-joulegate-budget", ", ".join(said).encode())] if said else []


def _fits(steps: int, with_it: int, most: int) -> bool:
    """Tell whether a call brings the exposure to no more than there is; one that takes nothing needs something, too."""
    return with_it <= most and with_it - steps < most
