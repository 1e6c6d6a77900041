"""The outbox: every notice waits here for each target until it was sent, or until nobody would want it any more.

A notice is sent at least once: who dies between sending it and writing that down sends it again, under the same
``idempotency-key``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Engine, Row

from proxy.ledger.engine import WRITE
from proxy.ledger.notice_table import notices
from proxy.notices.notice import Notice

SENDING = timedelta(minutes=2)  # who has taken a notice has so long to send it, then another may
FIRST_PAUSE = timedelta(seconds=30)  # doubled with every failure…
LONGEST_PAUSE = timedelta(hours=1)  # …up to here…
GIVEN_UP = timedelta(days=3)  # …and no more after so long
_NAME = (notices.c.event, notices.c.subject, notices.c.period, notices.c.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A notice that this process is to send now."""

    notice: Notice
    target: str
    created_at: datetime
    attempts: int


class Outbox:
    """The notices of one ledger; each method is a transaction of its own and raises ``SQLAlchemyError``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def put(self, notice: Notice, targets: Iterable[str], at: datetime) -> int:
        """Let a notice wait for targets; gives for how many: it waits once, whoever finds it how often."""
        dialect = postgresql if self._engine.dialect.name == "postgresql" else sqlite
        rows = [
            {"event": notice.event, "subject": notice.subject, "period": notice.period, "target": target,
             "title": notice.title, "text": notice.text, "facts": dict(notice.facts), "created_at": at,
             "attempts": 0, "next_at": at, "sent_at": None, "problem": None}
            for target in targets
        ]  # fmt: skip
        if not rows:
            return 0
        insert = dialect.insert(notices).values(rows).on_conflict_do_nothing().returning(notices.c.target)
        with self._engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
            return len(connection.execute(insert).all())

    def take(self, targets: Iterable[str], now: datetime) -> Waiting | None:
        """Take the notice that has waited longest; for a while no other process gets it. ``None``: none is due."""
        due = (
            sa.select(notices)
            .where(notices.c.sent_at.is_(None), notices.c.next_at <= now, notices.c.target.in_(list(targets)))
            .where(notices.c.created_at > now - GIVEN_UP)
            .order_by(notices.c.next_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
            row = connection.execute(due).one_or_none()
            if row is None:
                return None
            connection.execute(
                sa.update(notices).where(*_named(row)).values(next_at=now + SENDING, attempts=notices.c.attempts + 1)
            )
        return Waiting(notice=_notice(row), target=row.target, created_at=row.created_at, attempts=row.attempts + 1)

    def sent(self, done: Waiting, at: datetime) -> None:
        """Write down that a notice was sent."""
        self._change(done, sent_at=at, problem=None)

    def failed(self, tried: Waiting, problem: str, at: datetime) -> None:
        """Write down that it could not be sent now, and try again later."""
        pause = min(FIRST_PAUSE * 2 ** min(tried.attempts - 1, 16), LONGEST_PAUSE)
        self._change(tried, problem=problem, next_at=at + pause)

    def latest(self, limit: int) -> list[Row[tuple[object, ...]]]:
        """Give the last notices, the latest first."""
        select = sa.select(notices).order_by(notices.c.created_at.desc(), *_NAME).limit(limit)
        with self._engine.connect() as connection:
            return list(connection.execute(select).all())

    def _change(self, which: Waiting, **values: object) -> None:
        name = (which.notice.event, which.notice.subject, which.notice.period, which.target)
        found = [column == value for column, value in zip(_NAME, name, strict=True)]
        with self._engine.connect().execution_options(**{WRITE: True}) as connection, connection.begin():
            connection.execute(sa.update(notices).where(*found).values(**values))


def _named(row: Row[tuple[object, ...]]) -> list[sa.ColumnElement[bool]]:
    return [column == row._mapping[column.name] for column in _NAME]


def _notice(row: Row[tuple[object, ...]]) -> Notice:
    known = row._mapping
    return Notice(**{name: known[name] for name in ("event", "subject", "period", "title", "text", "facts")})
