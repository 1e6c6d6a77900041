"""Which reports, of what, in which form: links to all that can be made of the ledger, with what was chosen in each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from importlib.util import find_spec
from urllib.parse import urlencode

from sqlalchemy import Connection
from starlette.datastructures import QueryParams

from proxy.console.asking import Asked, asked_of, chosen, field, hidden, period_fields, period_links, select
from proxy.console.reports import FOR_PROGRAMS
from proxy.directory.teams import names
from proxy.reports.making import CONVERSATIONS, NAMES
from proxy.reports.period import Period, QuestionError

PATH = "/reports"
TEAMS_OFFERED = 200

ABOUT = {
    "cost": "dollars at list prices or your own, and tokens",
    "energy": "joules at the facility's meter, with their range",
    "carbon": "grams of CO₂e: of operation, market-based, embodied",
    "water": "liters, on site and for the electricity",
    "sci": "grams for each token, as ISO/IEC 21031 has it",
    "ghg": "CO₂e for an inventory by the Greenhouse Gas Protocol: scope 3, category 1",
    "focus": "rows of charges in FinOps' FOCUS 1.2, with energy, carbon and water",
    "models": "one conversation on each of the models",
    "grids": "the same conversation on other electricity",
    "scale": "a year of such conversations, as many a day as there were or as are assumed",
}
TITLES = {"sci": "SCI", "ghg": "GHG", "focus": "FOCUS"}
# What a browser shows is written first, then what it keeps; the extras that some need.
FORMS = {"html": "Page", "pdf": "PDF", "csv": "CSV", "json": "JSON", "parquet": "Parquet"}
EXTRAS = {"pdf": "weasyprint", "parquet": "pyarrow"}
SHOWN = ("html", "json")
STATEMENT_FORMS = ("html", "pdf")
GRAINS = ("", "hour", "day", "month")
_BY = ("team", "model")

Question = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What stands in the address; of conversations and of costs that are spread, as it is written."""

    asked: Asked
    grain: str
    conversations: Mapping[str, Sequence[str]]
    allocate: Sequence[str]

    @property
    def by(self) -> tuple[str, ...]:
        """What rows are split by, time first."""
        return tuple(dict.fromkeys((*([self.grain] if self.grain else []), *self.asked.by)))


def page_body(connection: Connection, query: QueryParams, now: datetime, usual_tz: str) -> str:
    """Draw the page; raises QuestionError. Nothing is summed before a link is followed."""
    made = _chosen(query, usual_tz)
    period = made.asked.period(now)
    first, last = (each[:10] for each in period.ends())
    when = [("from", first), ("to", last), ("tz", made.asked.tz)]
    where = [("where", f"{key}={value or ''}") for key, value in made.asked.where.items()]
    team = made.asked.where.get("team")
    rows = [
        _row("Statement", f"all of it on some pages, of {team or 'all teams'}", "/reports/statement",
             [*when, *([("team", team)] if team else [])], STATEMENT_FORMS),
        *(_row(TITLES.get(each, each.capitalize()), ABOUT[each], f"/api/reports/{each}",
               [*when, *where, *_own(each, made)], _forms(each)) for each in NAMES),
    ]  # fmt: skip
    if made.allocate:
        spread = [("allocate", each) for each in made.allocate]
        others = [each for each in where if not each[1].startswith("team=")]
        said = "dollars by team, those of shared teams spread over the others"
        rows.insert(2, _row("Chargeback", said, "/api/reports/cost", [*when, *others, *spread], tuple(FORMS)))
    return (
        f"{_form(connection, made, period)}{period_links(made.asked, PATH, now)}{chosen(made.asked, PATH)}"
        f"<h2>{escape(period.title())} <small>by {escape(', '.join(made.by))}</small></h2>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Reports"><table class="words reports"><thead><tr>'
        f'<th scope="col">Report</th><th scope="col">What is in it</th><th scope="col">As</th></tr></thead>'
        f'<tbody>{"".join(rows)}</tbody></table></div><p id="making" class="making" role="status"></p>'
        f'<p class="soft">Pages and PDFs are to read and to print, with charts; CSV, JSON and Parquet are unrounded.'
        f" JSON has the notes.{_lacking()} A year of many calls can take some seconds.</p>"
    )


def _chosen(query: QueryParams, usual_tz: str) -> Chosen:
    grain = query.get("grain", "")
    if grain not in GRAINS:
        raise QuestionError(f"grain={grain!r}: choose from hour, day, month, or nothing")
    asked = asked_of(query, usual_tz, by=_BY)
    if query.get("team"):
        asked = asked.only({"team": query["team"]})
    return Chosen(
        asked=asked,
        grain=grain,
        conversations={
            "assume": _several(query, "assume"),
            "per_day": _several(query, "per_day"),
            "grids": [",".join(zones)] if (zones := _several(query, "grids")) else [],
        },
        allocate=_several(query, "allocate"),
    )


def _several(query: QueryParams, key: str) -> list[str]:
    """Read what may be repeated in an address, or stand in one field with commas between."""
    return [part for each in query.getlist(key) for whole in each.split(",") if (part := whole.strip())]


def _own(report: str, made: Chosen) -> Question:
    """Give what one report alone is asked for. The rows of some are always by the same."""
    if report == "focus":
        return []
    if report not in CONVERSATIONS:
        return [("by", ",".join(made.by))]
    wanted = (*("assume", "grids")[: 1 if report == "models" else 2], *(["per_day"] if report == "scale" else []))
    return [(key, each) for key in wanted for each in made.conversations[key]]


def _forms(report: str) -> Sequence[str]:
    return [form for form in FORMS if report != "focus" or form in FOR_PROGRAMS]


def _row(title: str, about: str, path: str, question: Question, forms: Sequence[str]) -> str:
    links = " ".join(_link(title, path, question, form) for form in forms)
    return f'<tr><th scope="row">{escape(title)}</th><td>{escape(about)}</td><td class="forms">{links}</td></tr>'


def _link(title: str, path: str, question: Question, form: str) -> str:
    address = escape(f"{path}?{urlencode([*question, ('format', form)])}")
    kept = "" if form in SHOWN else " data-kept"
    return f'<a href="{address}"{kept} aria-label="{escape(title)} as {FORMS[form]}">{FORMS[form]}</a>'


def _lacking() -> str:
    lacking = [form for form, module in EXTRAS.items() if find_spec(module) is None]
    return "".join(f" {FORMS[form]} needs <code>joulegate[{form}]</code>, which is not installed." for form in lacking)


def _form(connection: Connection, made: Chosen, period: Period) -> str:
    team = made.asked.where.get("team")
    offered = dict.fromkeys([*names(connection, TEAMS_OFFERED), *([team] if team else [])])
    given = {key: ",".join(each) for key, each in (*made.conversations.items(), ("allocate", made.allocate))}
    is_open = " open" if any(given.values()) else ""
    return (
        f'<form class="ask" method="get" action="{PATH}">{hidden(made.asked, but=("team",))}'
        + select("Team", "team", [("", "all teams"), *((each, each) for each in offered)], team or "")
        + select("Grain", "grain", [(each, each or "the whole period") for each in GRAINS], made.grain)
        + field("Split by", "by", ",".join(made.asked.by), hint="team,model,project")
        + period_fields(made.asked, period)
        + '<button type="submit">Choose</button>'
        + f'<details class="more"{is_open}><summary>Of some reports alone</summary><div>'
        + field("Models, grids, scale: assume", "assume", given["assume"], hint="gpt-4o=2000+1000")
        + field("Scale: conversations a day", "per_day", given["per_day"], hint="1000000")
        + field("Grids and scale: zones", "grids", given["grids"], hint="FRA,DEU,USA")
        + field("Cost: spread a team over the others", "allocate", given["allocate"], hint="platform=dollars")
        + "</div></details></form>"
    )
