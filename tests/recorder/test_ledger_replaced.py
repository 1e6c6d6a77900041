"""A ledger that is deleted, moved or replaced while it is in use."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa

from proxy.ledger.tables import facts_versions
from tests.recorder.bench import Bench, catch_up
from tests.records import closed, opened


def delete(bench: Bench) -> None:
    bench.database.unlink()


def delete_all(bench: Bench) -> None:
    for path in bench.database.parent.glob("ledger.db*"):
        path.unlink()


def move_away(bench: Bench) -> None:
    bench.database.rename(bench.database.with_name("moved.db"))


def move_the_folder(bench: Bench) -> None:
    bench.database.parent.rename(bench.database.parent.with_name("moved"))


def replace_by_an_empty_file(bench: Bench) -> None:
    empty = bench.database.with_name("empty.db")
    empty.touch()
    empty.rename(bench.database)


def restore_the_backup(bench: Bench) -> None:
    bench.database.with_name("backup.db").rename(bench.database)


def restore_the_backup_in_place(bench: Bench) -> None:
    with sqlite3.connect(bench.database.with_name("backup.db")) as backup, sqlite3.connect(bench.database) as here:
        backup.backup(here)
    backup.close()
    here.close()


@pytest.mark.parametrize(
    ("damage", "backed_up"),
    [
        (delete, 0),
        (delete_all, 0),
        (move_away, 0),
        (move_the_folder, 0),
        (replace_by_an_empty_file, 0),
        (restore_the_backup, 20),
        (restore_the_backup_in_place, 20),
    ],
)
@pytest.mark.parametrize("idle", [False, True], ids=["under load", "idle"])
def test_a_ledger_deleted_or_replaced_in_use_gets_all_that_the_journals_hold(tmp_path, damage, backed_up, idle):
    (tmp_path / "ledger").mkdir()
    bench = Bench(tmp_path / "ledger")
    bench.journals = tmp_path / "journal"
    journal, recorder = bench.journal(segment_bytes=10_000), bench.recorder()
    records = [closed() for _ in range(100)]
    running = opened()
    for record in records[:20]:
        journal.append(record)
    catch_up(recorder)
    with sqlite3.connect(bench.database) as here, sqlite3.connect(bench.database.with_name("backup.db")) as backup:
        here.backup(backup)
    here.close()
    backup.close()
    journal.append(running)
    for record in records[20:90]:
        journal.append(record)
    catch_up(recorder)
    held = b"".join((bench.journals / name).read_bytes() for name in bench.segments())
    still = {each.opened.id for each in records[:90] if each.opened.id.encode() in held}
    assert 10 < len(still) < 90  # some of the segments were trimmed
    damage(bench)
    if not idle or damage is restore_the_backup_in_place:
        for record in records[90:]:
            journal.append(record)
    catch_up(recorder)
    if idle and damage is not restore_the_backup_in_place:
        assert (recorder.ledgers_replaced, recorder.active) == (1, True)
        for record in records[90:]:
            journal.append(record)
        catch_up(recorder)
    expected = {each.opened.id for each in (*records[:backed_up], *records[90:])} | still
    assert set(bench.outcomes()) == expected
    assert recorder.ledgers_replaced == 1
    assert "deleted or replaced while it was in use" in str(recorder.notice)
    # What was counted and told is not counted and told again.
    assert len(bench.heard) == len({row.id for row in bench.heard}) == 100
    assert recorder.record_counts["recorded"] == 100
    assert (recorder.record_counts["opened"], recorder.record_counts["closed"]) == (1, 100)
    assert recorder.calls_in_flight == 1
    with bench.engine.connect() as connection:
        assert connection.scalars(sa.select(facts_versions.c.facts_version)).all() == [bench.heard[0].facts_version]
    journal.append(closed(running))
    journal.close()
    catch_up(recorder)
    assert bench.outcomes().keys() == expected | {running.id}
    assert bench.segments() == []
    recorder.close()
    bench.engine.dispose()
