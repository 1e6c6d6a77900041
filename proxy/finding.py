"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from proxy.errors import ConfigError


class Finding(msgspec.Struct, frozen=True):
    """One thing looked at; a gate with an ``error`` does not start."""

    what: str
    level: Literal["ok", "warning", "error"]
    says: str


def tried(what: str, look: Callable[[], str]) -> Finding:
    """Look; gives what is said, or the :class:`ConfigError` that is raised, as an error."""
    try:
        return Finding(what, "ok", look())
    except ConfigError as error:
        return Finding(what, "error", str(error))
