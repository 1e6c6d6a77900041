"""Keeping what the metrics have counted from one recorder to the next, however it ends: counters go on where they were.

Two files. The mark is what the metrics stood at, at some moment. The names are the ids of all calls that were given to
the ledger since, each written before its transaction begins. So after a kill -9 the metrics are the mark and those of
the named calls that the ledger has. Where the machine itself went down behind a mark, nothing is taken from it: the
disk need not have all names, and a counter that came back with less than was seen of it would be read as one that has
counted all of that anew. From 0 Prometheus knows how to go on.
"""

from __future__ import annotations

import contextlib
import logging
import os
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec

from proxy.ledger.tables import CallRow
from proxy.metrics import Counted, Metrics

NAMES_AT_MOST = 50_000  # behind one mark; after a crash they are looked up at once, in seconds
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

_log = logging.getLogger("joulegate.metrics")


class _Mark(Counted, frozen=True, kw_only=True):
    """What was counted, and which names follow on it."""

    names: str = ""  # what the file of names begins with; empty: all that was ever counted is in the mark
    boot: str = ""  # of the machine; one that is not known is never the same


class MetricsFile:
    """The files of one journal directory; who holds the recorder's lock reads and writes them. See ``Keeper``."""

    def __init__(
        self, path: Path, metrics: Metrics, *, boot: str | None = None, names_at_most: int = NAMES_AT_MOST
    ) -> None:
        """Prepare; nothing is opened yet.

        ``path`` is the mark's, the names lie beside it. ``boot`` tells one time that the machine was up from
        another, by default as the kernel does. After ``names_at_most`` comes another mark.
        """
        self._path = path
        self._names_path = path.with_suffix(".names")
        self._metrics = metrics
        self._boot = _boot_id() if boot is None else boot
        self._names_at_most = names_at_most
        self._names = -1  # the open file; -1: what is counted now is not kept
        self._named = 0  # since the mark
        self._untold = False  # some of them
        self._before: list[str] = []  # named by the recorder before this one, and not looked up yet

    def restore(self) -> None:
        """Go on from the mark. Counters are not shown before the calls behind it are counted too."""
        try:
            mark = msgspec.json.decode(self._path.read_bytes(), type=_Mark)
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            _log.warning("metrics begin at 0: %s: %s", self._path, error)
            return
        if mark.names and (mark.boot != self._boot or not self._boot):
            _log.warning("metrics begin at 0: the machine went down while they were counted")
            return
        self._before = self._named_behind(mark) if mark.names else []
        self._metrics.go_on_from(mark)
        if self._before:
            self._metrics.withhold()

    def missing(self, rows: Callable[[Sequence[str]], list[CallRow]]) -> tuple[list[CallRow], set[str]]:
        """Give the calls behind the mark that the ledger has, and those it has not, or not yet."""
        found = rows(self._before) if self._before else []
        return found, set(self._before).difference(row.id for row in found)

    def mark(self, doubtful: Iterable[str] = ()) -> None:
        """Keep what is counted by now."""
        self._before = []
        self._metrics.show()
        self._keep(ended=False)
        self.name(list(doubtful))

    def name(self, ids: Sequence[str]) -> None:
        """Keep which calls are given to the ledger next."""
        self._untold = True
        self._named += len(ids)
        if self._names >= 0:
            try:
                _append(self._names, ids)
            except OSError as error:
                self._lose(error)

    def told(self) -> None:
        """Take note that all that was given to the ledger is counted."""
        self._untold = False
        if self._named >= self._names_at_most or self._names < 0:
            self.mark()

    def save(self) -> None:
        """Leave what was counted to the recorder that comes next."""
        if not self._before and not self._untold:  # else that one has to look them up, as after a crash
            self._keep(ended=True)

    def _named_behind(self, mark: _Mark) -> list[str]:
        try:
            whose, *ids = self._names_path.read_text("ascii").split("\n")
        except FileNotFoundError:
            return []
        return sorted(set(filter(None, ids))) if whose == mark.names else []

    def _keep(self, *, ended: bool) -> None:
        counted, names = self._metrics.counted(), "" if ended else uuid.uuid4().hex
        mark = _Mark(counters=counted.counters, histograms=counted.histograms, names=names, boot=self._boot)
        self._close()
        self._named = 0
        try:
            _write(self._path, msgspec.json.encode(mark))
            if ended:
                self._names_path.unlink(missing_ok=True)
            else:
                self._names = os.open(self._names_path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
                _append(self._names, [names])
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Let nothing be taken for what was counted, since calls cannot be named."""
        _log.warning("metrics would begin at 0 after an end of the console now: %s", error)
        self._close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _close(self) -> None:
        if self._names >= 0:
            os.close(self._names)
            self._names = -1


def _append(fd: int, lines: Sequence[str]) -> None:
    left = "".join(f"{each}\n" for each in lines).encode("ascii")
    while left:
        left = left[os.write(fd, left) :]


def _write(path: Path, content: bytes) -> None:
    """Put a file in another's place, so that after a power cut it is the one or the other."""
    fresh = path.with_suffix(".new")
    with fresh.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.rename(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:  # not Linux
        return ""
