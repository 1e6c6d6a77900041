"""Budgets of machines that share a PostgreSQL while processes are killed and the server is away: nothing leaks."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

from proxy.budgets.units import steps_of
from proxy.ledger.engine import open_engine
from proxy.ledger.tables import calls as calls_table
from tests.budgets.services import SETTLED_S, a_call, answers, asks, budget, call, config, kill, spent, use_up
from tests.crash.running import wait_for
from tests.databases import PostgresServer, running_postgres
from tests.loopback import provider
from tests.service.running import Service, get, service

pytestmark = pytest.mark.heavy

MACHINES = ("one", "two")


@pytest.mark.parametrize("victims", ["gate", "machine", "both machines"])
def test_who_is_killed_in_a_rush_on_two_machines_leaves_nothing_reserved_and_no_overshoot(tmp_path, postgres, victims):
    limit, url = 20.5 * a_call("usd"), postgres.migrated()
    with contextlib.ExitStack() as stack:
        origin = stack.enter_context(provider(answers(lambda: 1000, wait_s=0.5)))
        toml = config(origin.origin, budget(limit=limit), workers=2, url=url)
        running = [stack.enter_context(service(folder_of(tmp_path, name), toml)) for name in MACHINES]
        call([each.gate for each in running], 2, asks())

        def rush() -> None:
            with contextlib.suppress(OSError, IndexError, ExceptionGroup):  # of connections that were cut
                call([each.gate for each in running], 40, asks())

        rushing = threading.Thread(target=rush)
        rushing.start()
        time.sleep(0.3)
        if victims == "gate":
            kill(running[0], "gate 1")
        else:
            killed = running[:1] if victims == "machine" else list(running)
            for each in killed:
                each.kill()
            for number in range(len(killed)):
                running[number] = stack.enter_context(service(tmp_path / MACHINES[number], toml))
        rushing.join()
        deadline = time.monotonic() + SETTLED_S
        while spent(url, "usd") / 10**12 <= limit - a_call("usd"):
            assert time.monotonic() < deadline, spent(url, "usd") / 10**12 / a_call("usd")
            use_up([each.gate for each in running], asks())
        assert spent(url, "usd") / 10**12 <= limit


def folder_of(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


@pytest.fixture
def own_postgres():
    with running_postgres() as server:
        yield server


def test_while_the_ledger_is_away_hard_budgets_refuse_in_the_end_and_soft_ones_carry(
    tmp_path: Path, own_postgres: PostgresServer
) -> None:
    url, many = own_postgres.migrated(), 100_000 * a_call("usd")
    lines = (budget(limit=many), budget("soft", limit=many, team="easy", mode="soft"))
    made: dict[str, Counter[int]] = {"search": Counter(), "easy": Counter()}
    with (
        provider(answers(lambda: 1000)) as origin,
        service(tmp_path, config(origin.origin, *lines, url=url)) as running,
    ):

        def ask(team: str) -> str | None:
            """Make one call; gives why it was refused."""
            found = call([running.gate], 1, asks(team), again=1)
            made[team] += found.statuses
            return found.refusals[0][1]["error"]["code"] if found.refusals else None

        def until(told: str | None) -> list[str | None]:
            """Make calls of both teams until one with the hard budget is answered so; gives how the others were."""
            deadline, heard = time.monotonic() + 2 * SETTLED_S, []
            while not heard or heard[-1] != told:
                assert time.monotonic() < deadline, heard[-5:]
                heard.append(ask("search"))
                assert ask("easy") is None
                time.sleep(0.02)
            return heard

        until(None)
        own_postgres.stop()
        before = until("budget_unknown")
        assert before.count(None) > 10  # with what was leased
        assert until("budget_unknown") == ["budget_unknown"]
        own_postgres.start()
        until(None)
        wait_for(lambda: counted(url) == {team: found[200] for team, found in made.items()}, running)
        told = {each["name"]: each for each in get(f"{running.console}/api/budgets").json()["budgets"]}
        a_step = steps_of(round(a_call("usd"), 12), "usd")
        for name, team in (("b", "search"), ("soft", "easy")):
            assert float(told[name]["used"]) == pytest.approx(made[team][200] * a_step / 10**12, abs=1e-12)
        assert made["easy"].keys() == {200}
        assert kept_up(running)


def counted(url: str) -> dict[str, int]:
    """Count the answered calls of each team in the ledger."""
    engine = open_engine(url)
    c = calls_table.c
    with engine.connect() as connection:
        found = connection.execute(
            sa.select(c.team, sa.func.count()).where(c.outcome == "ok").group_by(c.team).order_by(c.team)
        )
        counts = {row[0]: row[1] for row in found}
    engine.dispose()
    return counts


def kept_up(running: Service) -> bool:
    """Tell whether the service says that all is well."""
    status: str = get(f"{running.console}/api/health").json()["status"]
    return status == "ok"
