"""The fields of a budget's forms: what was typed stays in them, and what is wrong stands beside the field it is of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import NamedTuple

from proxy.budgets.units import UNITS, plain
from proxy.budgets.windows import CALENDAR
from proxy.directory.budgets import number
from proxy.errors import DirectoryError
from proxy.ledger.budget_states import BudgetShown

NEW = {"unit": "usd", "window": "month", "mode": "soft", "thresholds": "80, 100"}
CHANGED = ("limit", "window", "tz", "mode", "thresholds")
SCOPE = ("team", "project", "user", "key")
_ROLLING = ("24h", "7d", "30d")
_UNITS = {
    "usd": "dollars (USD)",
    "kwh": "kilowatt-hours (kWh)",
    "gco2e": "grams of CO₂e",
    "liters": "liters of water",
    "tokens": "tokens",
    "requests": "requests",
    "concurrent_requests": "requests at once",
}
_LABELS = {
    "name": "Name", "team": "Team", "project": "Project", "user": "User", "key": "Key", "limit": "Amount",
    "unit": "Unit", "window": "Window", "tz": "Time zone", "mode": "What happens beyond it",
    "thresholds": "Tell when so much is used",
}  # fmt: skip
# Where the words of the command and the API name what is another way on a page.
_HERE = {
    ("missing", "project"): "No key and no call has named such a project so far. Mend its name, or say below that it is"
    " yet to come.",
    ("missing", "team"): "There is no such team in use. Choose one of those offered, or make it: joulegate teams add",
    ("invalid", "thresholds"): "Give per cents of the amount, greater than 0, with commas between: 80, 100",
    ("invalid", "team"): "Say whose calls: a team, a project, a user, a key, or several of these.",
    ("invalid", "mode"): "Requests at once can only be limited: choose to refuse calls.",
}


class Wrong(NamedTuple):
    """What is wrong with a form: of which field, if of one, in words that say what to do."""

    field: str
    words: str


def wrong_of(error: DirectoryError) -> Wrong:
    """Put an error into the words of the page."""
    words = _HERE.get((error.why, error.field), str(error))
    return Wrong(error.field if error.field in _LABELS else "", words)


def said(fields: Mapping[str, str], names: Sequence[str]) -> dict[str, object]:
    """Read what a form says as the API would be told it; raises :class:`DirectoryError`."""
    found: dict[str, object] = {name: fields[name].strip() for name in names if name in fields}
    for name in (*SCOPE, "window"):  # of which none is an answer
        if found.get(name) == "":
            del found[name]
    if "limit" in found:
        found["limit"] = float(number(str(found["limit"]), "limit"))
    if "thresholds" in found:
        shares = str(found["thresholds"]).replace("%", "").replace(",", " ").split()
        found["thresholds"] = [float(number(share, "thresholds") / 100) for share in shares]
    if fields.get("unseen"):
        found["unseen"] = True
    return found


def typed_of(budget: BudgetShown) -> dict[str, str]:
    """Write a budget as its form would have it."""
    percent = (f"{plain(100 * Decimal(repr(share))):f}" for share in budget.thresholds)
    return {
        "limit": f"{budget.limit:f}",
        "window": budget.window or "",
        "tz": budget.tz,
        "mode": budget.mode,
        "thresholds": ", ".join(percent),
    }


class Fields:
    """Draws fields with what was typed; ``offered`` are names that may be chosen, by field."""

    def __init__(
        self, typed: Mapping[str, str], wrong: Wrong | None, offered: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self._typed, self._wrong, self._offered = typed, wrong, offered or {}

    def text(self, key: str, hint: str = "", *, more: str = "") -> str:
        """Draw a field for a line of text; ``more`` are attributes."""
        offered = self._offered.get(key, ())
        options = "".join(f'<option value="{escape(each)}">' for each in offered)
        listed = f' list="{key}-list"' if offered else ""
        field = (
            f'<input id="{key}" name="{key}" type="text" value="{escape(self._typed.get(key, ""))}" autocomplete="off"'
            f"{listed}{more}{self._described(key, hint)}>"
            + (f'<datalist id="{key}-list">{options}</datalist>' if offered else "")
        )
        return self._around(key, field, hint)

    def unit(self) -> str:
        """Draw the choice of units."""
        now = self._typed.get("unit", "")
        options = "".join(
            f'<option value="{unit}"{" selected" if unit == now else ""}>{escape(_UNITS[unit])}</option>'
            for unit in UNITS
        )
        return self._around("unit", f'<select id="unit" name="unit"{self._described("unit", "")}>{options}</select>')

    def windows(self, exception: str = "") -> str:
        """Draw the fields of a window, and whose days it goes by."""
        hint = f"minute, hour, day, week, month, or the last 24h, 30d{exception}"
        return self.text("window", hint, more=' maxlength="16"') + self.text(
            "tz", "whose days, weeks and months, such as Europe/Berlin", more=' maxlength="64"'
        )

    def mode(self) -> str:
        """Draw the choice between telling and refusing."""
        now = self._typed.get("mode", "")
        choices = (
            ("soft", "Tell: a header, a metric and, where one is set up, a notice; no call is refused"),
            ("hard", "Refuse: calls beyond it are answered with 429"),
        )
        radios = "".join(
            f'<label class="tick"><input type="radio" name="mode" value="{value}"{" checked" if value == now else ""}>'
            f"<span>{words}</span></label>"
            for value, words in choices
        )
        return (
            f'<fieldset id="mode"{self._described("mode", "", group=True)}><legend>{_LABELS["mode"]}</legend>{radios}'
            f"{self._error('mode')}</fieldset>"
        )

    def thresholds(self) -> str:
        """Draw the field of shares that are told."""
        return self.text(
            "thresholds",
            "per cent of the amount, with commas between; nothing is told without one",
            more=' maxlength="200"',
        )

    def scope(self) -> str:
        """Draw whose calls a budget is for."""
        checked = " checked" if self._typed.get("unseen") else ""
        return (
            '<fieldset><legend>Whose calls</legend><p class="hint">Of all that you name here, together. Fill one at'
            f' least.</p><div class="row">{"".join(self.text(key, more=_LONGEST) for key in SCOPE)}</div>'
            f'<label class="tick"><input type="checkbox" name="unseen" value="yes"{checked}><span>The project is yet to'
            " come. <small>Without this, a project that no key and no call has named is taken for a slip of the pen:"
            " its budget would limit nobody.</small></span></label></fieldset>"
        )

    def name(self) -> str:
        """Draw the field of a new budget's name."""
        return self.text("name", "a to z, digits, dots, dashes; begins with a letter: search-month", more=_REQUIRED)

    def limit(self, hint: str = "of the unit, in each window") -> str:
        """Draw the field of the amount."""
        return self.text("limit", hint, more=f'{_REQUIRED} inputmode="decimal"')

    def summary(self, what: str) -> str:
        """Say first, to who hears the page too, that something is wrong, and lead to it."""
        if self._wrong is None:
            return ""
        field = self._wrong.field
        where = f'<a href="#{field}">{escape(_LABELS[field])}</a>: ' if field else ""
        return f'<p class="wrong" role="alert">{escape(what)} {where}{escape(self._wrong.words)}</p>'

    def _around(self, key: str, field: str, hint: str = "") -> str:
        told = f'<span class="hint" id="{key}-hint">{escape(hint)}</span>' if hint else ""
        return f'<div class="field"><label for="{key}">{_LABELS[key]}</label>{field}{told}{self._error(key)}</div>'

    def _described(self, key: str, hint: str, *, group: bool = False) -> str:
        wrong = self._wrong is not None and self._wrong.field == key
        by = [f"{key}-hint"] * bool(hint) + [f"{key}-wrong"] * wrong
        invalid = ' aria-invalid="true"' if wrong and not group else ""
        return (f' aria-describedby="{" ".join(by)}"' if by else "") + invalid

    def _error(self, key: str) -> str:
        if self._wrong is None or self._wrong.field != key:
            return ""
        return f'<span class="wrong" id="{key}-wrong">{escape(self._wrong.words)}</span>'


WINDOWS = (*CALENDAR, *_ROLLING)
_LONGEST = ' maxlength="64"'
_REQUIRED = f"{_LONGEST} required"


def unit_named(unit: str) -> str:
    """Name a unit as the forms do."""
    return _UNITS.get(unit, unit)
