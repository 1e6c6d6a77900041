"""Which budgets a gate worker goes by: those of the roster, and until there is one those of its configuration.

They may come and go while calls are carried. As long as there is none, the worker reaches providers and writes its
journal as if nobody had thought of budgets.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.budgets.exposure import Exposure
from proxy.gate import Gate
from proxy.reaching import reach
from proxy.roster import RosterError, budgets_in
from proxy.sections import BudgetSection

if TYPE_CHECKING:
    from proxy.budgets.budget import Budget
    from proxy.budgets.reserving import InForce, Reserving
    from proxy.estimating import ConfiguredEstimator

_log = logging.getLogger("joulegate.budgets")


class Following:
    """Puts what keeps budgets before the gate's way to providers and its journal, and takes it away again."""

    def __init__(
        self,
        gate: Gate,
        exposure: Exposure,
        worker: int,
        estimator: Callable[[], ConfiguredEstimator],
        *,
        configured: Sequence[BudgetSection],
        roster: Path,
    ) -> None:
        """Begin in a worker's place, with what is known now; ``estimator`` is asked for when there is a budget."""
        self._gate = gate
        self._plain = gate.journal
        self._exposure = exposure
        self._column = exposure.columns[worker]
        self._estimator = estimator
        self._roster = roster
        self._reserving: Reserving | None = None
        self._alone = False  # whoever has taken this one's place keeps its budgets elsewhere
        self._budgets: Sequence[Budget] = ()
        self._revision = -1
        self._complete = True
        self._by_ledger = exposure.known  # that is: not by the configuration
        exposure.begin(self._column)
        sections = {section.name: section for section in self._read() or ()}
        if not self._by_ledger:
            sections |= {section.name: section for section in configured}
        if sections:
            self._budgets = _budgets(list(sections.values()))
        self._go_by(self._found())

    async def look(self, *, fresh: bool) -> None:
        """Go by other budgets where there are; ``fresh``: the roster is another one. Never raises."""
        if fresh:
            if not self._by_ledger:  # from now on, whatever it says
                self._by_ledger, self._revision = True, -1
            if await asyncio.to_thread(self._read_on):
                self._complete = False
        if not self._complete:
            self._go_by(await asyncio.to_thread(self._found))

    def give_way(self) -> None:
        """Take note that another process has taken this one's place: it finishes what it has."""
        self._alone = not self._exposure.taken_over
        if self._reserving is not None:
            self._reserving.alone = self._alone

    def _read(self) -> list[BudgetSection] | None:
        """Read the roster; ``None`` where it says nothing, or nothing new."""
        try:
            found = budgets_in(self._roster)
        except RosterError as error:
            _log.error("budgets stay as they were: %s cannot be read: %s", self._roster, error)
            return None
        if found is None or found[0] == self._revision:
            return None
        self._revision = found[0]
        return found[1]

    def _read_on(self) -> bool:
        read = self._read()
        if read is not None:
            self._budgets = _budgets(read) if read else ()
        return read is not None

    def _found(self) -> InForce | None:
        """Look up where budgets have their slots; ``None``: there is no budget, and there was none."""
        if self._budgets and self._reserving is None:
            from proxy.budgets.expecting import Expecting  # only where there are budgets
            from proxy.budgets.reserving import Reserving

            self._reserving = Reserving(self._exposure, self._column, Expecting(self._estimator()), self._plain)
            self._reserving.alone = self._alone
        if self._reserving is None:
            return None
        from proxy.budgets.reserving import InForce

        return InForce.of(self._budgets, self._exposure)

    def _go_by(self, found: InForce | None) -> None:
        gate, reserving = self._gate, self._reserving
        self._complete = True
        if reserving is not None and found is not None:
            reserving.follow(found)
            self._complete = found.complete
            if self._budgets:
                gate.journal, gate.reach = reserving, reserving.reach
            else:
                gate.reach = reach
                if reserving.settled:
                    gate.journal = self._plain
                else:  # calls that have reserved end there
                    self._complete = False
        self._exposure.see(self._column, max(self._revision, 0))


def _budgets(sections: Sequence[BudgetSection]) -> Sequence[Budget]:
    """Read those that can be read here; the recorder says of the others."""
    from proxy.budgets.budget import BudgetError, budget_of

    found = []
    for section in sections:
        try:
            found.append(budget_of(section))
        except BudgetError as error:
            _log.error("not kept by this machine: %s", error)
    return found
