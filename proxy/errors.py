"""Errors that a person reads; the message says what to do."""

from __future__ import annotations

from typing import Literal


class JoulegateError(Exception):
    """Base of every error this package raises on purpose."""


class ConfigError(JoulegateError):
    """The configuration cannot be used; the message names the key and the file."""


class LedgerError(JoulegateError):
    """The ledger cannot be opened or is not at the expected revision."""


class LedgerReplacedError(LedgerError):
    """The ledger is not the one that was written to: it was deleted, replaced or restored while in use."""


class NoSumsError(LedgerError):
    """A question needs the calls themselves, where sums alone may be read; the message says what can be asked."""


class RowsGoneError(NoSumsError):
    """The calls that a question needs have been deleted."""


class Refusal(JoulegateError):
    """A request the gate answers itself: HTTP status, a stable code and a message for the client."""

    def __init__(self, status: int, code: str, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after_s = retry_after_s


class DirectoryError(JoulegateError):
    """A team or key cannot be changed so; ``field`` is what is wrong, ``why`` of which kind it is."""

    def __init__(self, why: Literal["invalid", "missing", "conflict"], field: str, message: str) -> None:
        super().__init__(message)
        self.why = why
        self.field = field
