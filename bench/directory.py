"""What keys cost a gate and a console, by how many there are: CPU time, on SQLite.

    python -m bench.directory [--keys 100,1000,10000,100000]

Looking up a key that the gate has seen before, one that it has not, and one that is not there; writing a roster whole,
and one after a single change; the first page of the list.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

import sqlalchemy as sa

from proxy.directory import keys, teams
from proxy.directory.publishing import write_roster
from proxy.errors import Refusal
from proxy.ledger.directory_tables import keys as key_table
from proxy.ledger.engine import open_engine
from proxy.ledger.revision import migrate
from proxy.roster import Roster
from proxy.teams import KEYS_KEPT, Teams, digest

LOOKED_UP = 5000
NOW = datetime(2026, 11, 28, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", default="100,1000,10000,100000")
    print(f"{'keys':>8} {'again':>9} {'first':>9} {'unknown':>9} {'whole':>9} {'one':>9} {'page':>9}  roster")
    for count in map(int, parser.parse_args().keys.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            measure(count, Path(folder))


def measure(count: int, folder: Path) -> None:
    engine, path = open_engine(f"sqlite:///{folder}/ledger.db"), folder / "roster.sqlite"
    migrate(engine)
    teams.add(engine, "search", actor="bench", at=NOW)
    rows = [
        {"id": f"k{n:06}", "sha256": digest(secret(n)), "team": "search", "created_at": NOW, "providers": [],
         "models": ["gpt-4o*"], "networks": [], "managed_by": "api"}
        for n in range(count)
    ]  # fmt: skip
    with engine.begin() as connection:
        connection.execute(sa.insert(key_table), rows)

    def write(revision: int, since: int | None) -> None:
        with engine.connect() as connection:
            write_roster(path, connection, revision, since=since)

    whole = cpu(lambda: write(1, None))
    gate = Teams([], keys_required=True, roster=Roster(path))
    few = [secret(n * count // 1000) for n in range(1000)]  # as many as are kept, with room to spare
    assert len(few) <= KEYS_KEPT
    admit(gate, few)
    again = cpu(lambda: admit(gate, few * 5)) / (5 * len(few))
    many = [secret(n % count) for n in range(LOOKED_UP)]

    def first() -> None:
        for key in many:
            gate._look_up(digest(key))

    seen = cpu(lambda: [digest(key) for key in many])
    fresh = (cpu(first) - seen) / LOOKED_UP
    unknown = cpu(lambda: admit(gate, [b"jg-no-%d" % n for n in range(LOOKED_UP)])) / LOOKED_UP
    keys.issue(engine, keys.Wanted(team="search"), known_providers=(), actor="bench", at=NOW)
    one = cpu(lambda: write(2, 1))

    def page() -> None:
        with engine.connect() as connection:
            keys.page(connection, limit=100, now=NOW)

    page()
    listed = cpu(page)
    micro = "".join(f"{each * 1e6:7.1f}us " for each in (again, fresh, unknown))
    milli = "".join(f"{each * 1e3:7.1f}ms " for each in (whole, one, listed))
    print(f"{count:>8} {micro}{milli} {path.stat().st_size / 1e6:.1f} MB")
    engine.dispose()


def secret(number: int) -> bytes:
    return b"jg-%043d" % number


def admit(gate: Teams, found: Iterable[bytes]) -> None:
    for key in found:
        with contextlib.suppress(Refusal):
            gate.admit("POST", [(b"authorization", b"Bearer " + key)], b"")


def cpu(work: Callable[[], object]) -> float:
    """Give the CPU seconds of this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    main()
