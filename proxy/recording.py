"""What goes along with a recorder, and depends on how far it has come: as the recorder sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from proxy.ledger.tables import CallRow


class Keeper(Protocol):
    """Keeps what listeners have counted from one recorder to the next, however it ends; raises nothing of its own."""

    def restore(self) -> None:
        """Give it back: this recorder has become the one that works."""

    def missing(self, rows: Callable[[Sequence[str]], list[CallRow]]) -> tuple[list[CallRow], set[str]]:
        """Give rows that were written and are not counted, and the ids of calls that may still turn out to be such.

        ``rows`` gives those rows that the ledger has; what it raises is let through.
        """

    def mark(self, doubtful: Iterable[str] = ()) -> None:
        """Take note that everything written is counted, except for calls that are doubtful."""

    def name(self, ids: Sequence[str]) -> None:
        """Take note of calls that are given to the ledger next."""

    def told(self) -> None:
        """Take note that they are counted."""

    def save(self) -> None:
        """Keep all that was counted: this recorder has told all that it ever will, and no other works yet."""


class Reckoning(Protocol):
    """Keeps what depends on how far the journals are recorded: budgets. Raises what the ledger raises."""

    def begin(self, holder: str) -> None:
        """Begin on a ledger, in the name of the journal directory."""

    def look(self) -> Any:
        """Note how far the gates are; the journals are read after it."""

    def committed(self) -> None:
        """Take note that the rows just written are there to stay."""

    def recorded(self, looked: Any) -> None:
        """Take note that all is in the ledger that was in the journals when it was looked."""

    def tend(self) -> None:
        """Do what is due."""

    def end(self) -> None:
        """Let go: the recorder ends, in good order."""
