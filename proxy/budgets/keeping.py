"""The recorder's part in budgets: what the ledger says of them goes to the gates, what may be used is leased for them.

All of it happens in the recorder's thread. In whatever order things are cut short, what is used and leased stays within
the limits: what the gates are allowed is lowered before the ledger gives it to others, and raised after it has it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.engine import Connection

from proxy.budgets.budget import Budget, Budgets
from proxy.budgets.exposure import Exposure
from proxy.directory.budgets import take_over
from proxy.errors import ConfigError, LedgerError
from proxy.ledger import budget_rows
from proxy.ledger.budget_tables import budget_crossings
from proxy.ledger.leases import LEASE_S, Sharer, cut, give_back, share, standing, take, wanted_by_others
from proxy.ledger.spent import Spent, lock, upsert
from proxy.ledger.tables import CallRow
from proxy.ledger.write import Ledger

ACTIVE_S = 2.0  # a budget that had calls so lately has its share whatever others need
WARM_S = 600.0  # one that had calls so lately is kept ready, so that its next call need not wait
RENEW_S = 0.5  # how often the share of an active one is made anew
PAUSE_S = 5.0  # after something went wrong
ASK_S = 0.5  # how often it is asked whether others have calls for one that is held
TELL_S = 60.0  # how often it is looked at how one stands that has no calls
KEEP_S = LEASE_S / 3  # and of a warm one
_NS = 1_000_000_000
_NEVER = 2**40  # of no window's end, seconds since the Unix epoch
_log = logging.getLogger("joulegate.budgets")

Crossed = tuple[int, float]
Snapshot = Mapping[int, Sequence[int]]  # by slot, of budgets that there were calls for


@dataclass(slots=True)
class _State:
    """What is known of a budget since the start; times are those of the clock that nobody sets, in seconds."""

    budget: Budget
    slot: int
    used_at: float = -WARM_S
    renewed_at: float = -WARM_S
    ends: int = 0
    owed: int = 0  # taken off the lease, and not yet off what the gates are exposed to
    crossed: Crossed = (0, 0.0)  # the last threshold noticed, and in which bucket
    wanted_ns: int = 0
    exposed: int = 0
    wanting: bool = False  # as others see it
    told: bool = False  # the gates can hear how it stands
    placed: bool = False  # they know of its slot


class Keeping:
    """Keeps one machine's budgets; see :class:`proxy.recorder.Recorder` for when it is asked to."""

    def __init__(
        self,
        definitions: Budgets,
        exposure: Exposure,
        ledger: Ledger,
        *,
        file: str = "",
        now: Callable[[], float] = time.time,
        elapsed_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """``definitions`` are those of the configuration ``file``; what else there is the ledger says.

        ``now`` gives seconds since the Unix epoch, ``elapsed_ns`` the time of the clock that the gates look at.
        """
        self._unkept: Sequence[str] = ()  # budgets of the ledger that are not kept, and why
        self._refused: Sequence[str] = ()  # those of the configuration that the ledger has no room for
        self._configured = definitions
        self._file = file
        self._exposure = exposure
        self._ledger = ledger
        self._now = now
        self._elapsed_ns = elapsed_ns
        self._spent = Spent()
        self._states: dict[str, _State] = {}  # replaced as a whole: others read it meanwhile
        self._revision = -1  # of the budgets, as they are here
        self._outdated = False  # there may be others
        self._missing = False  # some have no slot yet
        self._holder = ""
        self._caught_up = False  # what was in the journals at the start is in the ledger
        self._looked_at = 0.0  # whether others have calls for what is held here
        self._pauses_until_ns = 0
        self._said = ""  # what last went wrong
        self._added: dict[str, int] = {}  # by the transaction under way
        ledger.beside_rows = self.add

    @property
    def problems(self) -> Sequence[str]:
        """Which budgets are not kept, and why, one text for each; from any thread."""
        return [*self._refused, *self._unkept]

    # What the recorder calls, in this order

    def begin(self, holder: str) -> None:
        """Begin on a ledger, in the name of a journal; raises what the ledger raises."""
        self._holder = holder
        self._caught_up = False
        self._added = {}
        self._states, self._revision = {}, -1
        goes_on = self._exposure.left_well
        self._exposure.leave(well=False)
        at = datetime.fromtimestamp(self._now(), UTC)
        with self._ledger.transaction() as connection:
            refused = take_over(connection, self._configured.all, holder=holder, file=self._file, at=at)
            self._follow(connection)
        self._refused = [f"there is no room for budget `{name}` of the configuration" for name in refused]
        for each in self._refused:
            _log.error("%s", each)
        placed = {state.slot for state in self._states.values()}
        for slot in self._exposure.places().values():
            if slot not in placed:  # it was in the roster before, or there was no room for it
                self._exposure.retire(slot, self._revision)
        for state in self._states.values():
            state.used_at = -WARM_S
            if not goes_on:
                self._exposure.lapse(state.slot)  # what the recorder before this one said may hold no more

    def outdate(self) -> None:
        """Let it look whether there are other budgets now, and take note that the gates can; from any thread."""
        self._exposure.know()
        self._outdated = True

    def look(self) -> Snapshot:
        """Note what the gates have used before the journals are read: all of it is in them."""
        return {
            state.slot: self._exposure.closed(state.slot)
            for state in self._states.values()
            if state.budget.hard and self._exposure.wanted_ns(state.slot)
        }

    def add(self, connection: Connection, rows: Sequence[CallRow]) -> None:
        """Add rows to what is used, in their transaction, and take it off the leases.

        Where that fails the rows are written all the same, and what is used is summed up anew from them.
        """
        self._added = {}
        self._follow(connection)
        if not self._states:
            return
        savepoint = connection.begin_nested()
        try:
            added = self._spent.add(connection, rows, self._now())
            for name in sorted(added):
                if self._states[name].budget.hard and added[name]:
                    cut(connection, name, self._holder, added[name])
        except Exception as error:
            savepoint.rollback()  # raises where the ledger is away: then nothing is written
            self._trouble(error)
            lock(connection, self._states)
            self._spent.drop(connection)
        else:
            savepoint.commit()
            self._added = added

    def committed(self) -> None:
        """Take note that what was added is there to stay."""
        at = self._elapsed_ns() / _NS
        for name, steps in self._added.items():
            state = self._states[name]
            state.owed += steps
            state.used_at = at
        self._added = {}

    def recorded(self, snapshot: Snapshot) -> None:
        """Take note that the ledger has all that the journals had when they were looked at."""
        for state in self._states.values():
            if state.owed:
                self._exposure.allow(state.slot, (self._exposure.allowed(state.slot) or 0) - state.owed)
                self._exposure.spend(state.slot, state.owed)
                state.owed = 0
        for slot, closed in snapshot.items():
            self._exposure.record(slot, closed)
        self._caught_up = True

    def tend(self) -> None:
        """Renew what is due, in a transaction of its own; raises what the ledger raises.

        What else goes wrong is said: budgets are not leased then, and rows are recorded all the same.
        """
        if not self._caught_up or self._elapsed_ns() < self._pauses_until_ns:
            return
        try:
            self._tend()
        except LedgerError:
            self._outdated = True
            raise
        except Exception as error:
            self._trouble(error)
            self._outdated = True
            self._pauses_until_ns = self._elapsed_ns() + int(PAUSE_S * _NS)

    def _trouble(self, error: Exception) -> None:
        said = f"{type(error).__name__}: {error}"
        if said != self._said:
            _log.error("budgets cannot be kept: %s", said)
        self._said = said

    def _tend(self) -> None:
        at, now = self._elapsed_ns() / _NS, self._now()
        due, warm = self._due_and_warm(at, now)
        asks = at - self._looked_at >= ASK_S and bool(warm or self._missing)
        if not (due or asks or self._outdated):
            return
        until_ns = self._elapsed_ns() + int(LEASE_S * _NS)
        self._outdated = False
        with self._ledger.transaction() as connection:
            if self._follow(connection):
                due, warm = self._due_and_warm(at, now)
            if asks:
                asked = wanted_by_others(connection, self._holder, [each.budget.name for each in warm])
                due += [state for state in warm if state.budget.name in asked and state not in due]
            lock(connection, [state.budget.name for state in due])
            due.sort(key=lambda state: state.budget.name)
            renewed = [self._renew(connection, state, at, now) for state in due]
        if asks:
            self._looked_at = at
        for state, (steps, crossed) in zip(due, renewed, strict=True):
            state.renewed_at, state.crossed, state.wanting = at, crossed, at - state.used_at < ACTIVE_S
            if steps is not None:
                self._exposure.allow(state.slot, steps + state.owed, until_ns)
            if not state.placed:  # now that there is something to go by
                self._exposure.claim(state.slot, state.budget.measure)
                state.placed = True

    def _due_and_warm(self, at: float, now: float) -> tuple[list[_State], list[_State]]:
        due = [state for state in self._states.values() if self._due(state, at, now)]
        return due, [state for state in self._states.values() if state.budget.hard and at - state.used_at < WARM_S]

    def _follow(self, connection: Connection) -> bool:
        """Go by the budgets that the ledger has, which nobody changes until the transaction ends; tells of others."""
        revision = budget_rows.revision(connection, hold=True)
        if revision == self._revision and not self._missing:
            return False
        found: list[Budget] = []
        problems: list[str] = []
        for row in budget_rows.in_use(connection):
            try:
                found.append(budget_rows.budget_in(row))
            except ConfigError as error:  # a time zone that this machine does not have
                problems.append(f"not kept by this machine: {error}")
        taken = {state.slot for state in self._states.values()}
        states = {budget.name: state for budget in found if (state := self._state(budget, taken)) is not None}
        problems += [
            f"not kept by this machine: budget `{budget.name}`: what others before it have reserved is still on its way"
            for budget in found
            if budget.name not in states
        ]
        for each in problems:
            if each not in self._unkept:
                _log.error("%s", each)
        kept = {state.slot for state in states.values()}
        for name, state in self._states.items():
            if state.slot not in kept:
                self._exposure.retire(state.slot, revision, goes_on=name in states)
        self._states, self._unkept, self._missing = states, problems, len(states) < len(found)
        self._spent.definitions = Budgets(state.budget for state in states.values())
        self._revision = revision
        return True

    def _state(self, budget: Budget, taken: set[int]) -> _State | None:
        """Give the state of a budget, with a slot that it has or gets; ``None`` where there is none but ``taken``."""
        at = self._elapsed_ns() / _NS
        known = self._states.get(budget.name)
        if known is not None and known.budget.measure == budget.measure:
            if known.budget != budget:
                known.budget, known.renewed_at, known.crossed = budget, -WARM_S, (0, 0.0)
            return known
        slot = self._exposure.places().get(budget.measure)
        placed = slot is not None
        if slot is None:
            slot = self._exposure.vacant(taken)
            if slot is None:
                return None
            self._exposure.prepare(slot)
        taken.add(slot)
        return _State(budget, slot, used_at=at, placed=placed)

    def used(self) -> Iterator[tuple[Budget, float]]:
        """Tell which share of each budget is used, as far as it is known; from any thread."""
        for state in self._states.values():
            if state.told:
                yield state.budget, self._exposure.used(state.slot)

    def end(self) -> None:
        """Leave what is held to others, where no more calls come, or to who takes this one's place. Never raises."""
        if self._exposure.taken_over:
            for state in self._states.values():
                if state.owed:  # the ledger has it, and what stands here is more than is leased
                    self._exposure.lapse(state.slot)
            self._exposure.leave(well=True)
            return
        try:
            if self._holder:
                with self._ledger.transaction() as connection:
                    give_back(connection, self._holder)
        except Exception as error:
            _log.warning("what is leased of budgets expires by itself: %s", error)

    def _due(self, state: _State, at: float, now: float) -> bool:
        wanted_ns = self._exposure.wanted_ns(state.slot)
        since_s = at - state.renewed_at
        if not wanted_ns or (since_s < KEEP_S and at - wanted_ns / _NS >= WARM_S):  # so are most: nobody waits
            return since_s >= TELL_S or (now >= state.ends and since_s >= RENEW_S)
        if wanted_ns != state.wanted_ns:
            state.wanted_ns, state.used_at = wanted_ns, wanted_ns / _NS
        exposed = self._exposure.exposed(state.slot)
        if exposed != state.exposed:
            state.exposed, state.used_at = exposed, at
        idle_s = at - state.used_at
        if idle_s >= WARM_S and not exposed:
            return since_s >= TELL_S or (now >= state.ends and since_s >= RENEW_S)
        if idle_s < ACTIVE_S or exposed:
            lapsed = state.budget.hard and self._exposure.allowed(state.slot) is None
            return since_s >= RENEW_S or lapsed or now >= state.ends
        if state.wanting:  # no more: others may have its part if they need it
            return True
        return since_s >= KEEP_S or (now >= state.ends and since_s >= RENEW_S)

    def _renew(self, connection: Connection, state: _State, at: float, now: float) -> tuple[int | None, Crossed]:
        """Say how a budget stands, and lease of it what is this machine's part; gives how much, in steps.

        ``None``: nothing, it needs none. And gives what is noted of thresholds.
        """
        budget, slot = state.budget, state.slot
        spent, _ = self._spent.total(connection, budget, now)
        state.ends = budget.window.ends(now) if budget.window is not None else _NEVER
        used = spent / budget.limit if budget.window is not None else self._exposure.exposed(slot) / budget.limit
        self._exposure.say(slot, used=used, left=max(budget.limit - spent + state.owed, 0), ends=state.ends)
        state.told = True
        crossed = self._note_crossing(connection, state, spent, now)
        if not budget.hard or (at - state.used_at >= WARM_S and not self._exposure.exposed(slot)):
            return None, crossed
        wanting = at - state.used_at < ACTIVE_S
        found = standing(connection, budget, self._holder, spent)
        exposed = self._exposure.exposed(slot) - state.owed
        refused = self._exposure.needed(slot)
        own = Sharer(holder=self._holder, wanting=wanting, needed=exposed + refused if refused else 0)
        steps = share(budget.limit - spent, found, own, exposed=exposed)
        before = self._exposure.allowed(slot)
        if before is not None and before > steps + state.owed:
            self._exposure.allow(slot, steps + state.owed)
            exposed = self._exposure.exposed(slot) - state.owed  # what came in between keeps its part
            steps = max(steps, min(exposed, found.free))
        take(connection, budget, self._holder, steps, wanting=wanting, needed=own.needed)
        return steps, crossed

    def _note_crossing(self, connection: Connection, state: _State, spent: int, now: float) -> Crossed:
        """Write down the thresholds that were passed, each once in a window, or in a day of a rolling one."""
        budget = state.budget
        if budget.window is None:
            return state.crossed
        share_used = spent / budget.limit
        bucket = budget.window.bucket(now) if budget.window.length_s is None else int(now // 86_400) * 86_400
        passed = [each for each in budget.thresholds if share_used >= each]
        if not passed or state.crossed >= (bucket, passed[-1]):
            return state.crossed
        for threshold in passed:
            insert = upsert(connection, budget_crossings).values(
                name=budget.name, bucket=bucket, threshold=threshold, at=datetime.fromtimestamp(now, UTC), used=spent
            )
            connection.execute(insert.on_conflict_do_nothing())
        return bucket, passed[-1]
