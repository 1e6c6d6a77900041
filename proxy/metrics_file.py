"""Keeping what the metrics have counted from one recorder to the next, so that counters go on over a restart.

The file is taken away when it is read: after a recorder that was killed there is none, and counters begin at 0, which
Prometheus knows how to read. A counter that came back with less than was seen of it would be read as one that has
counted all of that anew.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

import msgspec

from proxy.metrics import Counted, Metrics

_log = logging.getLogger("joulegate.metrics")


class MetricsFile:
    """The file of one journal directory; who holds the recorder's lock reads and writes it."""

    def __init__(self, path: Path, metrics: Metrics) -> None:
        self._path = path
        self._metrics = metrics

    def restore(self) -> None:
        """Go on where the recorder before this one ended, if it ended in good order. Never raises."""
        try:
            text = self._path.read_bytes()
            self._path.unlink()
        except FileNotFoundError:
            return
        except OSError as error:  # what cannot be taken away would be read again, and be too little by then
            _log.warning("metrics begin at 0: %s", error)
            return
        try:
            self._metrics.go_on_from(msgspec.json.decode(text, type=Counted))
        except msgspec.MsgspecError as error:
            _log.warning("metrics begin at 0: %s: %s", self._path, error)

    def save(self) -> None:
        """Leave what was counted to the recorder that comes next. Never raises."""
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                file.write(msgspec.json.encode(self._metrics.counted()))
                file.flush()
                os.fsync(file.fileno())
            fresh.rename(self._path)
        except OSError as error:
            _log.warning("metrics will begin at 0 at the next start: %s", error)
