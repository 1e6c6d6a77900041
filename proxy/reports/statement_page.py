"""A statement as a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from html import escape

from estimator.equivalences import Equivalence
from estimator.facts import sources
from estimator.ranges import Range
from proxy.ledger.evidence import Evidence
from proxy.ledger.read import Totals
from proxy.reports import figures
from proxy.reports.amounts import carried, energy, energy_band, grams, grams_band
from proxy.reports.charts import Bar, bars
from proxy.reports.evidence import TIERS, legend, marked
from proxy.reports.ghg import market_share
from proxy.reports.method import METHOD
from proxy.reports.notes import token_counts
from proxy.reports.page import SOURCES, figure, listed, page
from proxy.reports.prices import said as by_list
from proxy.reports.prices import whose
from proxy.reports.statement import MODELS_SHOWN, PROJECTS_SHOWN, Statement

_TIERS = {**TIERS, "unknown": "no estimate"}


def as_html(made: Statement) -> str:
    """Write the page."""
    whose = "All teams" if made.team is None else made.team
    first, last = made.period.ends()
    body = _body(made) if made.total.calls else _nothing(made)
    when = made.period.title() + made.period.goes_on(made.made_at)
    covers = f"What its calls to language models consumed, {when}"
    return page(whose, covers, f"{whose}, {first} to {last}", body, made.made_at)


def _nothing(made: Statement) -> str:
    """Say what to do where there is nothing to state."""
    told = "Ask for another period."
    if made.team is not None:
        told += (
            " If there should be some: a call is this team's by a key of the team, or by the header"
            " <code>x-joulegate-team</code>; calls that name no team stand in the statement of all teams."
        )
    service = made.metering.service
    stands = "" if service is None else f"<p>How the ledger stands: {escape(service)}.</p>"
    return f"<p>There were no calls in this period.</p><p>{told}</p>{stands}"


def _body(made: Statement) -> str:
    return "\n".join(
        (
            _headlines(made),
            _charts(made.days),
            _table("By model", ("Model", "Provider"), made.models, made, MODELS_SHOWN),
            f'<p class="soft">{legend()}</p>',
            _table("By project", ("Project",), made.projects, made, PROJECTS_SHOWN) if _named(made) else "",
            _evidence(made),
            _comparisons(made),
            _metering(made),
            _method(made),
        )
    )


def _headlines(made: Statement) -> str:
    total, mark = made.total, marked(made.evidence.shares(made.total))
    read, written = total.input_tokens, total.output_tokens
    bought, embodied = total.market_grams_co2e, figures.quantity(total.embodied_grams_co2e, "g", carried(total))
    unpriced = "1 call has no price" if total.unpriced_calls == 1 else f"{total.unpriced_calls:,} calls have no price"
    market = figures.UNKNOWN if bought is None else figures.quantity(bought, "g", carried(total))
    water = figures.quantity(total.liters, "L", carried(total))
    tiles = (
        ("Dollars", "", figures.dollars(total.cost_usd), unpriced if total.unpriced_calls else whose(made.prices)),
        ("Energy", mark, energy(total), energy_band(total)),
        ("CO₂e, location-based", mark, grams(total), grams_band(total)),
        (
            "CO₂e, market-based",
            "" if bought is None else mark,
            market,
            f"{_covered(made)}; embodied, beside either: {embodied}",
        ),
        ("Water", "" if total.liters is None else mark, water, "on site and at the power plant"),
        ("Calls", "", figures.count(total.calls), f"{_tokens(read)} tokens read, {_tokens(written)} written"),
    )
    drawn = (
        f"<div><dt>{name}</dt><dd>{sign}{escape(value)}</dd><dd>{escape(note)}</dd></div>"
        for name, sign, value, note in tiles
    )
    return f'<dl class="headlines">{"".join(drawn)}</dl>'


def _covered(made: Statement) -> str:
    """Say of how much of the grams there are market-based ones."""
    share = market_share(made.models)
    return f"of {figures.percent(share)} of the location-based" if share else "no contract factor is known"


def _charts(days: Sequence[Totals]) -> str:
    if len(days) < 2:
        return ""
    size, unit = figures.scale(max((day.grams_co2e_high or 0.0 for day in days), default=0.0), "g")
    of_dollars = [
        Bar(
            label=_short(day),
            value=0.0 if not day.calls else None if day.cost_usd is None else float(day.cost_usd),
            said=f"{day.key[0]}: {figures.dollars(day.cost_usd) if day.calls else 'no calls'}",
        )
        for day in days
    ]
    of_grams = [
        Bar(
            label=_short(day),
            value=0.0 if not day.calls else None if day.grams_co2e is None else day.grams_co2e / size,
            low=None if day.grams_co2e_low is None else day.grams_co2e_low / size,
            high=None if day.grams_co2e_high is None else day.grams_co2e_high / size,
            said=f"{day.key[0]}: " + (f"{grams(day)} ({grams_band(day)})" if day.calls else "no calls"),
        )
        for day in days
    ]
    some_unknown = any(day.calls and None in (day.cost_usd, day.grams_co2e) for day in days)
    unknown = " ? is a day with calls whose figure is unknown." if some_unknown else ""
    return (
        f"<h2>Dollars by day</h2>{figure(bars('Dollars by day', 'USD', of_dollars))}"
        f"<h2>CO₂e by day</h2>{figure(bars('Grams of CO2e by day, with their range', f'{unit} CO₂e', of_grams))}"
        f'<p class="soft">The line across a bar is its 90 % range.{unknown}</p>'
    )


def _short(day: Totals) -> str:
    return (day.key[0] or "")[5:]


def _table(title: str, names: tuple[str, ...], groups: Sequence[Totals], made: Statement, shown: int) -> str:
    """Write a line per group, and one for those that are not shown."""
    peak = made.total.cost_usd  # so that a sum has the same digits in every table
    head = "".join(f"<th scope='col'>{name}</th>" for name in (*names, "Calls", "Tokens", "Dollars", "Energy", "CO₂e"))
    lines = [_line(group.key, group, peak, made.evidence) for group in groups[:shown]]
    left = sum(group.calls for group in groups[shown:])
    if left:
        lines.append(
            f"<tr><th scope='row'>{len(groups) - shown:,} more</th>{'<td></td>' * (len(names) - 1)}"
            f"<td>{figures.count(left)}</td>{'<td></td>' * 4}</tr>"
        )
    foot = _line(("All", *("" for _ in names[1:])), made.total, peak, made.evidence)
    return (
        f'<h2>{title}</h2><div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody>'
        f"<tfoot>{foot}</tfoot></table></div>"
    )


def _line(key: Sequence[str | None], group: Totals, peak: Decimal | None, evidence: Evidence) -> str:
    mark = marked(evidence.shares(group))
    first, *others = ("none" if each is None else each for each in key)
    tokens = None if group.input_tokens is None else group.input_tokens + (group.output_tokens or 0)
    cells = (
        *(escape(each) for each in others),
        figures.count(group.calls),
        _tokens(tokens),
        escape(figures.dollars(group.cost_usd, peak)),
        f"{mark}{escape(energy(group))}<small>{escape(energy_band(group))}</small>",
        f"{'' if group.grams_co2e is None else mark}{escape(grams(group))}<small>{escape(grams_band(group))}</small>",
    )
    return f"<tr><th scope='row'>{escape(first)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _named(made: Statement) -> bool:
    return any(group.key[0] is not None for group in made.projects)


def _evidence(made: Statement) -> str:
    whole = made.total.joules or 0.0
    rows = [
        (_TIERS.get(group.key[0] or "unknown", str(group.key[0])), figures.count(group.calls), _share(group, whole))
        for group in made.tiers
    ]
    estimated = [group for group in made.grids if group.grams_co2e is not None]
    grids = [f"{group.key[0] or 'no zone'}, by {_source(group.key[1])}: {grams(group)}" for group in estimated]
    return (
        f"<h2>What the estimates rest on</h2>{_plain(('Evidence', 'Calls', 'Of the energy'), rows)}"
        + (f"<p>Electricity was taken from: {escape('; '.join(grids))}.</p>" if grids else "")
        + (f"<p>Prices, by dollars: {escape(by_list(made.prices))}.</p>" if made.prices else "")
    )


def _share(group: Totals, whole: float) -> str:
    return "–" if not group.joules or not whole else figures.percent(group.joules / whole)


def _source(name: str | None) -> str:
    found = sources().get(name or "")
    return (name or "nobody") if found is None else found.name


def _comparisons(made: Statement) -> str:
    if not made.comparisons:
        return ""
    rows = [_likened(like, number) for like, number in made.comparisons.items()]
    return f"<h2>What that is like</h2>{_plain(('About as much as', 'Range', 'Source'), rows, left=True)}"


def _likened(like: Equivalence, number: Range) -> tuple[str, str, str]:
    significant = figures.carried(number.low, number.mid, number.high)
    return (
        f"{figures.digits(number.mid, significant)} {like.name}",
        figures.span(number.low, number.high, significant),
        f"{_source(like.source)}, {like.year}" + (f"; {like.note}" if like.note else ""),
    )


def _plain(titles: Iterable[str], rows: Iterable[Iterable[str]], *, left: bool = False) -> str:
    head = "".join(f"<th scope='col'>{title}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    kind = " class=left" if left else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _metering(made: Statement) -> str:
    found, calls = made.metering, made.metering.calls
    said = token_counts(made.total)
    lacking = (
        (found.unpriced_calls, "price", found.unpriced_models),
        (found.energy_unknown_calls, "estimate of energy", found.unknown_models),
        (found.carbon_unknown_calls, "estimate of carbon", ()),
        (found.water_unknown_calls, "estimate of water", ()),
    )
    for number, what, models in lacking:
        if number:
            of = f" ({', '.join(each or 'no model named' for each in models[:5])})" if models else ""
            said.append(f"{number:,} of {calls:,} calls have no {what}{of}: the sums leave them out")
    if found.service is not None:
        said.append(f"ledger: {found.service}")
    return f"<h2>How well it was metered</h2>{listed(said)}"


def _method(made: Statement) -> str:
    priced = {key for key, each in sources().items() if any(each.name in names for names in made.prices)}
    named = {group.key[1] for group in made.grids} | {like.source for like in made.comparisons} | priced
    known = [found for name in sorted(filter(None, named)) if (found := sources().get(name)) is not None]
    lines = [f"{each.name}: {each.url} ({each.licence}; checked {each.checked})" for each in known if each.url]
    return f"<h2>Method and sources</h2>{listed(METHOD.values())}{listed(lines)}{SOURCES}"


def _tokens(count: int | None) -> str:
    return (
        figures.UNKNOWN
        if count is None
        else figures.digits(count, 3)
        if count < 1000
        else figures.quantity(count, "").strip()
    )
