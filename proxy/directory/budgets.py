"""Budgets of the directory: made, changed, taken out of use; those of the configuration as it has them.

All machines of a ledger go by what stands here, a second or two after it was changed. What the configuration says only
its file changes: of two files with a budget of the same name the one counts whose service was started last.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from proxy.budgets.budget import Budget, BudgetError, budget_of
from proxy.budgets.exposure import MOST
from proxy.budgets.units import UNITS, shown
from proxy.directory.changing import Changing, changing, changing_within
from proxy.directory.rows import key_by_id, team_by_name
from proxy.errors import DirectoryError
from proxy.ledger.budget_rows import hold_all, in_use, put, put_away, row_of, section_in
from proxy.ledger.budget_tables import budgets
from proxy.ledger.directory_tables import keys
from proxy.ledger.rollup_tables import detail_keys
from proxy.sections import BudgetSection

ACTOR = "configuration"
T = TypeVar("T", bound=msgspec.Struct)
_NAMED_AT_MOST = 10
_NAMED = re.compile(r"\$\.(\w+)|field `(\w+)`")  # what msgspec's message is about
_WORDS = {
    "name": "give up to 64 of a-z, 0-9, `_`, `.` and `-`, the first of them a letter",
    "unit": f"choose from {', '.join(UNITS)}",
    "limit": "give a number greater than 0",
    "mode": "choose from soft, hard",
    "thresholds": "give shares of the limit, numbers greater than 0",
}


class BudgetWanted(BudgetSection, frozen=True):
    """A budget to be made; see the section ``[[budget]]`` of the configuration."""

    unseen: bool = False  # its project may be one that no key and no call has named so far


class BudgetChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be another way; whose it is and in what unit it is stays."""

    limit: float | msgspec.UnsetType = msgspec.UNSET
    window: str | msgspec.UnsetType | None = msgspec.UNSET
    tz: str | msgspec.UnsetType = msgspec.UNSET
    mode: str | msgspec.UnsetType = msgspec.UNSET
    thresholds: tuple[float, ...] | msgspec.UnsetType = msgspec.UNSET


def wanted(said: Mapping[str, object], *, tz: str = "UTC") -> BudgetWanted:
    """Read what is wanted in words, ``tz`` where they name no zone; raises :class:`DirectoryError` naming the field."""
    asked = _strictly(said, BudgetWanted)
    return asked if asked.tz is not None else msgspec.structs.replace(asked, tz=tz)


def change_wanted(said: Mapping[str, object]) -> BudgetChange:
    """Read in words what is to be another way; raises :class:`DirectoryError` naming the field."""
    return _strictly(said, BudgetChange)


def number(text: str, field: str) -> Decimal:
    """Read a number that people write; raises :class:`DirectoryError`."""
    try:
        found = Decimal(text)
    except InvalidOperation:
        found = Decimal("NaN")
    if not found.is_finite() or math.isinf(float(found)):
        raise DirectoryError("invalid", field, f"{field} = {text[:64]!r}: give a number, such as 500 or 0.25")
    return found


def add(engine: Engine, asked: BudgetWanted, *, actor: str, at: datetime) -> None:
    """Make a budget, or take one back into use, which counts the calls of its window so far.

    Raises :class:`DirectoryError`: there is such a budget, there is no such team, key or project, no room is left.
    """
    budget = _checked(asked)
    with changing(engine, actor=actor, at=at) as change:
        before = row_of(change.connection, budget.name)
        if before is not None and before["archived_at"] is None:
            raise DirectoryError("conflict", "name", f"there is a budget {budget.name} already")
        _require_scope(change.connection, budget, unseen=asked.unseen)
        if _count(change.connection) >= MOST:
            message = f"there are {MOST} budgets, which is as many as there is room for; take one out: budgets remove"
            raise DirectoryError("conflict", "name", message)
        _write(change, before, budget, "add" if before is None else "restore")


def change(engine: Engine, name: str, asked: BudgetChange, *, actor: str, at: datetime) -> None:
    """Give a budget another limit, window, mode or thresholds; raises :class:`DirectoryError`."""
    said = {field: value for field, value in msgspec.structs.asdict(asked).items() if value is not msgspec.UNSET}
    if not said:
        fields = ", ".join(BudgetChange.__struct_fields__)
        raise DirectoryError("invalid", "body", f"say what is to be another way: {fields}")
    with changing(engine, actor=actor, at=at) as made:
        before = changeable(made.connection, name)
        budget = _checked(_strictly(msgspec.structs.asdict(section_in(before)) | said, BudgetSection))
        if section_in(before) != section_of(budget):
            _write(made, before, budget, "change")


def remove(engine: Engine, name: str, *, actor: str, at: datetime) -> None:
    """Take a budget out of use; what calls have used stays in every report. Raises :class:`DirectoryError`."""
    with changing(engine, actor=actor, at=at) as made:
        before = changeable(made.connection, name)
        _remove(made, before)


def changeable(connection: Connection, name: str) -> Mapping[Any, Any]:
    """Give the row of a budget that can be changed here; raises :class:`DirectoryError` where there is none such."""
    before = row_of(connection, name) if name.isprintable() else None
    if before is None or before["archived_at"] is not None:
        known = ", ".join(row["name"] for row in in_use(connection)[:_NAMED_AT_MOST])
        there = f"those in use: {known}" if known else "there is none; make one: joulegate budgets add"
        raise DirectoryError("missing", "name", f"there is no budget {name[:64]!r} in use; {there}")
    if before["managed_by"] == "configuration":
        where = before["file"] or "its file"
        message = f"budget {name} is in the configuration, {where}: change it there, and send SIGHUP or restart"
        raise DirectoryError("conflict", "name", message)
    return before


def take_over(
    connection: Connection, definitions: Iterable[Budget], *, holder: str, file: str, at: datetime
) -> list[str]:
    """Bring the directory in line with a file; gives the budgets that there is no room for.

    Those that this machine's file had and has no more are taken out of use; one that another machine's file has, too,
    is that machine's if it was started later.
    """
    refused: list[str] = []
    with changing_within(connection, actor=ACTOR, at=at) as made:
        hold_all(connection)
        there = {row["name"]: row for row in connection.execute(sa.select(budgets)).mappings()}
        own = {budget.name: budget for budget in definitions}
        for name, row in there.items():
            mine = row["managed_by"] == "configuration" and row["holder"] in (None, holder)
            if mine and row["archived_at"] is None and name not in own:
                _remove(made, row)
        count = _count(connection)
        for budget in own.values():
            before = there.get(budget.name)
            new = before is None or before["archived_at"] is not None
            if new and count >= MOST:
                refused.append(budget.name)
                continue
            count += new
            same = before is not None and not new and section_in(before) == section_of(budget)
            managed = before is not None and (before["managed_by"], before["holder"], before["file"])
            if not same or managed != ("configuration", holder, file):
                _write(made, before, budget, _action(before), holder=holder, file=file)
    return refused


def section_of(budget: Budget) -> BudgetSection:
    """Write a budget as the configuration would say it, each the same way."""
    return BudgetSection(
        name=budget.name,
        team=budget.team,
        project=budget.project,
        user=budget.user,
        key=budget.key,
        unit=budget.unit,
        limit=float(shown(budget.limit, budget.unit)),
        window=None if budget.window is None else budget.window.text,
        tz="UTC" if budget.window is None else str(budget.window.zone),
        mode="hard" if budget.hard else "soft",
        thresholds=budget.thresholds,
    )


def _action(before: Mapping[Any, Any] | None) -> str:
    if before is None:
        return "add"
    if before["archived_at"] is not None:
        return "restore"
    return "take over" if before["managed_by"] == "api" else "change"


def _write(
    change: Changing,
    before: Mapping[Any, Any] | None,
    budget: Budget,
    action: str,
    *,
    holder: str | None = None,
    file: str | None = None,
) -> None:
    hold_all(change.connection)
    told = None if before is None or before["archived_at"] is not None else _told(section_in(before), before["file"])
    number = change.note(action, "budget", budget.name, before=told, after=_told(section_of(budget), file))
    put(change.connection, budget, before=before, number=number, at=change.at, holder=holder, file=file)


def _remove(change: Changing, before: Mapping[Any, Any]) -> None:
    hold_all(change.connection)
    number = change.note(
        "remove", "budget", before["name"], before=_told(section_in(before), before["file"]), after=None
    )
    put_away(change.connection, before["name"], number=number, at=change.at)


def _told(section: BudgetSection, file: str | None) -> dict[str, object]:
    return msgspec.structs.asdict(section) | {"file": file}


def _count(connection: Connection) -> int:
    return connection.scalar(sa.select(sa.func.count()).where(budgets.c.archived_at.is_(None))) or 0


def _require_scope(connection: Connection, budget: Budget, *, unseen: bool) -> None:
    """Look whether there is whom it is for: a name that is mistyped would limit nobody."""
    if budget.team is not None:
        team = team_by_name(connection, budget.team) if budget.team.isprintable() else None
        if team is None or team.archived_at is not None:
            what = "there is no team" if team is None else "there is no team in use by the name of"
            raise DirectoryError("missing", "team", f"{what} {budget.team[:64]!r}; make it: joulegate teams add")
    if budget.key is not None:
        key = key_by_id(connection, budget.key) if budget.key.isprintable() else None
        if key is None or key.revoked_at is not None:
            what = "there is no key" if key is None else "revoked is the key"
            raise DirectoryError(
                "missing", "key", f"{what} {budget.key[:64]!r}; joulegate keys list names those there are"
            )
        if budget.team not in (None, key.team):
            raise DirectoryError("invalid", "key", f"key {budget.key} is of team {key.team}, not {budget.team}")
    if budget.project is not None and not unseen and not _seen(connection, budget.project):
        message = (
            f"no key and no call has named a project {budget.project[:64]!r} so far; if it is to come, say so:"
            " --unseen, or unseen = true"
        )
        raise DirectoryError("missing", "project", message)


def _seen(connection: Connection, project: str) -> bool:
    return any(
        connection.scalar(sa.select(sa.literal(1)).where(column == project).limit(1)) is not None
        for column in (keys.c.project, detail_keys.c.project)
    )


def _checked(section: BudgetSection) -> Budget:
    for field in ("name", "project", "user"):
        text = getattr(section, field)
        if text is not None and (not text.isprintable() or not 0 < len(text.strip()) == len(text) <= 64):
            message = f"{field} {text[:64]!r}: give 1 to 64 printable characters, none of them blank at either end"
            raise DirectoryError("invalid", field, message)
    try:
        return budget_of(section)
    except BudgetError as error:
        raise DirectoryError("invalid", error.field, str(error)) from None


def _strictly(said: Mapping[str, object], kind: type[T]) -> T:
    try:
        return msgspec.convert(dict(said), kind)
    except msgspec.ValidationError as error:
        named = _NAMED.search(str(error))
        field = (named[1] or named[2]) if named else "body"
        words = _WORDS.get(field) if field in said else None
        message = str(error) if words is None else f"{field} = {str(said[field])[:64]!r}: {words}"
        raise DirectoryError("invalid", field, message) from None
