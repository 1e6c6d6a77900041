"""How much a journal directory holds, and how much more its disk can take."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from proxy.journal import SEGMENT_NAME


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """Bytes and files of one journal directory at a moment."""

    segments: int  # that wait for the ledger; a gate that runs has one
    segment_bytes: int
    free_bytes: int | None  # for whoever writes the journal; None where it cannot be asked


def space(directory: Path) -> Space:
    """Look at a directory, or at the place where it would be made."""
    sizes: list[int] = []
    try:
        with os.scandir(directory) as listing:
            sizes = [each.stat().st_size for each in listing if SEGMENT_NAME.fullmatch(each.name)]
    except OSError:  # not there yet, or a segment was deleted at this moment: the next look tells
        pass
    nearest = next((each for each in (directory, *directory.absolute().parents) if each.exists()), None)
    try:
        free = None if nearest is None else shutil.disk_usage(nearest).free
    except OSError:
        free = None
    return Space(segments=len(sizes), segment_bytes=sum(sizes), free_bytes=free)
