"""Each team's month: what it consumed, how many of its keys work, and where to look further."""

from __future__ import annotations

from datetime import datetime
from html import escape
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.datastructures import QueryParams

from proxy.console.asking import field
from proxy.console.evidence import standing
from proxy.console.marks import cell, head, name, note
from proxy.console.sums import figure, title
from proxy.directory import teams
from proxy.ledger.evidence import Evidence
from proxy.ledger.read import Totals
from proxy.reports.figures import count
from proxy.reports.period import Period, month_of, zone_named
from proxy.reports.split import split

PATH = "/teams"
_SHOWN = ("dollars", "energy", "carbon", "water")
TEAMS_SHOWN = 200  # to a page, of the directory; and of those that are in the ledger alone


def page_body(connection: Connection, query: QueryParams, now: datetime, evidence: Evidence, usual_tz: str) -> str:
    """Draw the page; raises QuestionError. Of the ledger its sums alone are read."""
    zone = zone_named(query.get("tz") or usual_tz)
    month = query.get("month") or f"{now.astimezone(zone):%Y-%m}"
    period, after = month_of(month, zone), query.get("after", "")
    found = split(connection, ("team",), period)
    evidence.read(connection, found.total)
    sums = {group.key[0]: group for group in found.groups if group.calls}
    listed, following = teams.page(connection, after=after, archived=True, limit=TEAMS_SHOWN)
    names = [team.name for team in listed]
    keys = teams.key_counts(connection, names, now)
    ended = {team.name for team in listed if team.archived_at is not None}
    rows = "".join(
        _row(each, sums.get(each), period, month, "archived" if each in ended else "", keys.get(each, 0), evidence)
        for each in names
        if each not in ended or each in sums
    )
    if not after:
        rows += _unlisted(connection, sums, set(names), period, month, evidence)
    form = (
        f'<form class="ask" method="get" action="{PATH}">{field("Month", "month", month, kind="month")}'
        f'{field("Time zone", "tz", zone.key)}<button type="submit">Show</button></form>'
    )
    if not rows:
        return f"{form}{_NONE}"
    more = ""
    if following is not None:
        further = escape(urlencode({"month": month, "tz": zone.key, "after": following}))
        more = f'<p class="further"><a href="{PATH}?{further}" rel="next">Further teams</a></p>'
    titles = head(
        *("Team", "Calls", *map(title, _SHOWN), "Keys that work", "Statement"), minor=(title("carbon"), title("water"))
    )
    return (
        f"{form}<p>{escape(period.title())}</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Teams"><table>{titles}'
        f"<tbody>{rows}</tbody></table></div>{more}{standing(evidence.shares(found.total))}"
    )


_NONE = (
    '<section class="empty"><h2>No teams yet</h2><p>Make one, and a key for it:</p>'
    "<pre tabindex='0'><code>joulegate teams add search\njoulegate keys issue search</code></pre>"
    "<p>A call without a key can name its team in the header <code>x-joulegate-team</code>.</p></section>"
)


def _unlisted(
    connection: Connection,
    sums: dict[str | None, Totals],
    listed: set[str],
    period: Period,
    month: str,
    evidence: Evidence,
) -> str:
    """Draw who has calls and is not on this page: those of the directory's further pages come there."""
    rest = sorted((each for each in sums if each not in listed), key=lambda each: -sums[each].calls)
    known = set(teams.names(connection, _DIRECTORY_LOOKED_AT))
    return "".join(
        _row(
            each, sums[each], period, month, "no team named" if each is None else "not in the directory", None, evidence
        )
        for each in [each for each in rest if each not in known][:TEAMS_SHOWN]
    )


_DIRECTORY_LOOKED_AT = 10_000


def _row(
    team: str | None,
    sums: Totals | None,
    period: Period,
    month: str,
    remark: str,
    keys: int | None,
    evidence: Evidence,
) -> str:
    sums = sums or Totals()
    where = {"where": f"team={team or ''}", "month": month, "tz": period.zone.key}
    explore = escape(f"/explore?{urlencode({'by': 'model', **where})}")
    statement = escape(f"/reports/statement?{urlencode({'team': team or '', 'month': month, 'tz': period.zone.key})}")
    shares = evidence.shares(sums)
    none = '<span class="soft">–</span>'
    cells = (
        cell(count(sums.calls)),
        *(
            cell(figure(sums, each, shares) if sums.calls else none, minor=each in ("carbon", "water"))
            for each in _SHOWN
        ),
        cell(none if keys is None else count(keys)),
        cell(f'<a href="{statement}">open</a>' if team is not None else ""),
    )
    return f'<tr><th scope="row"><a href="{explore}">{name(team)}</a>{note(remark)}</th>{"".join(cells)}</tr>'
