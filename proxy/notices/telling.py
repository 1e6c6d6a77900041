"""The thread that finds what there is to tell, and sends what waits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from proxy.errors import ConfigError
from proxy.notices.crossing import passed
from proxy.notices.finding import anomalies, statements, unpriced
from proxy.notices.notice import Notice
from proxy.notices.outbox import Outbox
from proxy.notices.sending import Page, PageOf, SendingError
from proxy.notices.targets import targets_of
from proxy.reports.pdf import as_pdf
from proxy.reports.period import month_of, zone_named
from proxy.reports.statement import statement
from proxy.reports.statement_page import as_html
from proxy.sections import Config, NotifySection

EVERY_S = 30.0
DAY_IS_OVER = timedelta(hours=1)  # after midnight: so long a call of the day before may take to be recorded
AT_ONCE = 100  # sent in one round

_log = logging.getLogger("joulegate.notices")


class Notices:
    """Finds and sends; ``run`` in a thread of its own. Without ``[[notify]]`` there is nothing of it."""

    def __init__(
        self,
        engine: Engine,
        config: Config,
        *,
        working: Callable[[], bool],
        standing: Callable[[], str | None],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare; raises :class:`ConfigError`. Nothing is done but while ``working`` says the ledger is there.

        ``standing`` says how the metering stands, which belongs beside every figure; None where that is not known.
        """
        self._engine = engine
        self._wanted, self._zone = config.notify, zone_named(config.ledger.tz or "UTC")
        self._targets = targets_of(config, self._page_for)
        self._outbox = Outbox(engine)
        self._working = working
        self._standing = standing
        self._now = now
        self._looked_at: date | None = None  # the last day of which all was found
        self._said: str | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop``; outlives what fails."""
        while not stop.wait(EVERY_S):
            if not self._working():
                continue
            try:
                self.round(stop)
                self._said = None
            except Exception as error:  # the next round tries again
                if str(error) != self._said:
                    _log.error("notices cannot be found or sent: %s", error)
                self._said = str(error)

    def round(self, stop: threading.Event) -> int:
        """Find what is new, send what is due; gives how many were sent. Raises ``SQLAlchemyError``."""
        self._find()
        sent = 0
        for _ in range(AT_ONCE):
            waiting = None if stop.is_set() else self._outbox.take(self._targets, self._now())
            if waiting is None:
                break
            try:
                self._targets[waiting.target].send(waiting.notice, waiting.created_at)
            except (SendingError, ConfigError, SQLAlchemyError) as error:
                _log.warning("%s could not be told (%s): %s", waiting.target, waiting.notice.title, error)
                self._outbox.failed(waiting, str(error), self._now())
            else:
                self._outbox.sent(waiting, self._now())
                sent += 1
        return sent

    def _find(self) -> None:
        now = self._now()
        if any("budget" in each.events for each in self._wanted):
            with self._engine.connect() as connection:
                found = list(passed(connection, now))
            for notice in found:
                self._outbox.put(notice, self._who(notice), now)
        day = (now - DAY_IS_OVER).astimezone(self._zone).date()
        if day == self._looked_at:
            return
        with self._engine.connect() as connection:
            found = list(self._of_the_day(connection, now))
        for notice in found:
            self._outbox.put(notice, self._who(notice), now)
        self._looked_at = day

    def _of_the_day(self, connection: Connection, now: datetime) -> Iterable[Notice]:
        wanted = {event for each in self._wanted for event in each.events}
        if "anomaly" in wanted:
            yield from anomalies(connection, now - DAY_IS_OVER, self._zone)
        if "unpriced" in wanted:
            yield from unpriced(connection, now - DAY_IS_OVER, self._zone)
        if "statement" in wanted:
            whose = {team for each in self._wanted if "statement" in each.events for team in each.teams or ("",)}
            yield from statements(connection, now - DAY_IS_OVER, self._zone, sorted(whose))

    def _who(self, notice: Notice) -> Sequence[str]:
        """Name who wants to hear of it."""
        found = []
        for each in self._wanted:
            if notice.event == "statement":
                wants = notice.subject in (each.teams or ("",))
            elif notice.event in ("anomaly", "budget"):
                wants = not each.teams or notice.facts.get("team") in each.teams
            else:
                wants = True
            if wants and notice.event in each.events:
                found.append(each.name)
        return found

    def _page_for(self, to: NotifySection) -> PageOf:
        return lambda notice: self._page(notice, to.form)

    def _page(self, notice: Notice, form: str) -> Page | None:
        if notice.event != "statement":
            return None
        period = month_of(notice.period, self._zone)
        team = notice.subject or None
        with self._engine.connect() as connection:
            made = statement(
                connection, period, team=team, known_teams={notice.subject}, now=self._now(), service=self._standing()
            )
        if form == "pdf":
            return Page(content=as_pdf(as_html(made)), suffix="pdf", media_type="application/pdf")
        return Page(content=as_html(made).encode(), suffix="html", media_type="text/html")
