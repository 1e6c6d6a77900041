"""The fixtures: a reply's bytes as a file, beside it what has to be read from it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from estimator.usage import Usage, UsageLine
from proxy.wire.registry import SURFACES
from proxy.wire.surface import Reading, UsageReader

ROOT = Path(__file__).parent / "fixtures"
REPLIES = sorted(path for path in ROOT.glob("*/*") if not path.name.endswith(".expected.json"))
NAMES = [str(path.relative_to(ROOT)) for path in REPLIES]


def expected(path: Path) -> dict[str, object]:
    return json.loads(path.with_name(path.name + ".expected.json").read_text())


def reader(path: Path) -> UsageReader:
    return SURFACES[path.parent.name.replace("_", ".", 1)].reader()


def read(path: Path, pieces: Iterable[bytes]) -> dict[str, object]:
    """Read a reply from pieces and give what was read in the form of the expectation."""
    taking = reader(path)
    for piece in pieces:
        taking.feed(piece)
    return as_expectation(taking.close(), started=taking.started)


def as_expectation(reading: Reading, *, started: bool) -> dict[str, object]:
    seen: dict[str, object] = {"usage": None if reading.usage is None else _stated(reading.usage)}
    for name in ("model", "response_id", "service_tier", "region", "error"):
        if getattr(reading, name) is not None:
            seen[name] = getattr(reading, name)
    seen |= _calls(reading.calls)
    for name in ("counted_as", "pending"):
        if getattr(reading, name):
            seen[name] = getattr(reading, name)
    if reading.lines:
        seen["lines"] = [_line(line) for line in reading.lines]
    seen["finished"] = reading.finished
    if started:
        seen["started"] = True
    if reading.flags:
        seen["flags"] = sorted(reading.flags)
    seen["text"] = reading.text
    assert reading.text_characters == len(reading.text)
    return seen


def _line(line: UsageLine) -> dict[str, object]:
    return {"kind": line.kind, "model": line.model, **_calls(line.calls), **_stated(line.usage)}


def _calls(calls: int) -> dict[str, object]:
    return {} if calls == 1 else {"calls": calls}


def _stated(usage: Usage) -> dict[str, object]:
    fields = {name: getattr(usage, name) for name in Usage.__dataclass_fields__ if name != "units"}
    stated: dict[str, object] = {name: value for name, value in fields.items() if value is not None}
    if usage.units:
        stated["units"] = dict(usage.units)
    return stated


def normalized(expectation: dict[str, object]) -> dict[str, object]:
    wanted = {name: value for name, value in expectation.items() if value is not None or name == "usage"}
    if "flags" in wanted:
        wanted["flags"] = sorted(wanted["flags"])  # type: ignore[call-overload]
    return wanted
