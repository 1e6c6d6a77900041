"""What the service says of itself, on standard error: as text for people, or as one JSON object a line for programs.

Never a line per call, never a word of a prompt or a reply, never a key.
"""

from __future__ import annotations

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

Format = Literal["text", "json"]

_TEXT = "%(asctime)s %(levelname)s %(message)s"
_process = "serve"  # which of the service's processes this is


class JsonLines(logging.Formatter):
    """One object a record: ``at`` (RFC 3339, UTC), ``level``, ``logger``, ``process``, ``pid``, ``message`` and more.

    What a record was given as ``extra={"fields": …}`` are members of their own; ``exception`` is a traceback.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Make the line."""
        line: dict[str, Any] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": _process,
            "pid": record.process,
            "message": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def set_up(form: Format) -> None:
    """Say warnings of anybody and what this program itself has to say, in this form."""
    says = logging.StreamHandler(sys.stderr)
    says.setFormatter(JsonLines() if form == "json" else logging.Formatter(_TEXT))
    logging.basicConfig(level=logging.WARNING, handlers=[says], force=True)
    logging.getLogger("joulegate").setLevel(logging.INFO)
    logging.captureWarnings(form == "json")


def name_process(name: str) -> None:
    """Let the lines of this process say which it is."""
    global _process
    _process = name
