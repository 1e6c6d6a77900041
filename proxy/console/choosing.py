"""Which report, of what, in which form: links to what the console makes of it."""

from __future__ import annotations

from datetime import datetime
from html import escape
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.datastructures import QueryParams

from proxy.console.asking import asked_of, field, period_fields, select
from proxy.directory.teams import names
from proxy.reports.conversations import BY as OF_MODELS
from proxy.reports.focus import BY as OF_FOCUS
from proxy.reports.making import CONVERSATIONS, NAMES
from proxy.reports.period import QuestionError

PATH = "/reports"
TEAMS_OFFERED = 200

ABOUT = {
    "cost": "dollars at list price, and tokens",
    "energy": "joules at the facility's meter, with their range",
    "carbon": "grams of CO₂e: of operation, market-based, embodied",
    "water": "liters, on site and for the electricity",
    "sci": "grams for each token, as ISO/IEC 21031 has it",
    "ghg": "carbon by the scopes of the Greenhouse Gas Protocol",
    "focus": "rows of charges in FinOps' FOCUS 1.2, with energy, carbon and water",
    "models": "one conversation on each of the models",
    "grids": "the same conversation on other electricity",
    "scale": "the same conversation as often as there are users",
}
FORMS = {
    "html": ("Page", "with a chart, to read and to print"),
    "csv": ("CSV", "for a spreadsheet, unrounded"),
    "json": ("JSON", "for a program, unrounded, with the notes"),
}
GRAINS = ("", "hour", "day", "month")


def page_body(connection: Connection, query: QueryParams, now: datetime) -> str:
    """Draw the page; raises QuestionError. Nothing is summed before a link is followed."""
    report, grain = query.get("report") or "cost", query.get("grain", "")
    if report not in NAMES:
        raise QuestionError(f"no report {report!r}: there are {', '.join(NAMES)}")
    if grain not in GRAINS:
        raise QuestionError(f"grain={grain!r}: choose from hour, day, month, or nothing")
    asked = asked_of(query)
    period, team = asked.period(now), query.get("team") or None
    first, last = (each[:10] for each in period.ends())
    when = {"from": first, "to": last, "tz": asked.tz}
    fixed = {"focus": OF_FOCUS, **dict.fromkeys(CONVERSATIONS, OF_MODELS)}.get(report)
    by = tuple(dict.fromkeys((*([grain] if grain else []), *(asked.by or ("team", "model")))))
    question = when | ({"where": f"team={team}"} if team else {}) | ({"by": ",".join(by)} if fixed is None else {})
    offered = names(connection, TEAMS_OFFERED)
    teams = [("", "all teams"), *((each, each) for each in dict.fromkeys([*offered, *([team] if team else [])]))]
    form = (
        f'<form class="ask" method="get" action="{PATH}">'
        + select("Report", "report", [(each, f"{each}: {ABOUT[each]}") for each in NAMES], report)
        + select("Team", "team", teams, team or "")
        + select("Grain", "grain", [(each, each or "the whole period") for each in GRAINS], grain)
        + field("Split by", "by", ",".join(asked.by or ("team", "model")), hint="team,model,project")
        + period_fields(asked, period)
        + '<button type="submit">Choose</button></form>'
    )
    path = f"/api/reports/{report}"
    addresses = {form: escape(f"{path}?{urlencode({**question, 'format': form})}") for form in FORMS}
    links = "".join(
        f'<li><a href="{addresses[form]}">{words}</a> <span class="soft">{what}</span></li>'
        for form, (words, what) in FORMS.items()
    )
    statement = escape(f"/reports/statement?{urlencode({**when, **({'team': team} if team else {})})}")
    split = f"by {', '.join(fixed)}, always" if fixed is not None else f"by {', '.join(by)}"
    whose = escape(team) if team else "all teams"
    return (
        f"{form}<h2>{escape(report.capitalize())} <small>{escape(period.title())}, {escape(split)}</small></h2>"
        f"<p>{escape(ABOUT[report].capitalize())}{f', of {escape(team)} alone' if team else ''}.</p><ul>{links}</ul>"
        f"<h2>Statement</h2><p>All of it in one page for {whose}: dollars, energy, carbon"
        " and water by day, model and project, with method and sources."
        f' <a href="{statement}">Open the statement</a></p>'
    )
