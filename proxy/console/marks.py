"""The smallest pieces of a page. What takes ``text`` escapes it, figures too (`<$0.000001`); ``content`` is HTML."""

from __future__ import annotations

from html import escape

from proxy.reports.figures import UNKNOWN, band, carried, quantity

_NAME_SHOWN = 64  # characters; the whole of it is in the title


def name(text: str | None) -> str:
    """Write a name somebody chose."""
    if text is None:
        return '<span class="none">none</span>'
    if len(text) <= _NAME_SHOWN:
        return escape(text)
    return f'<span title="{escape(text)}">{escape(text[:_NAME_SHOWN])}…</span>'


def value(text: str) -> str:
    """Write a figure, quietly where it is unknown."""
    return f'<span class="none">{UNKNOWN}</span>' if text == UNKNOWN else escape(text)


def note(text: str) -> str:
    """Write a remark under a figure; nothing for nothing."""
    return f'<span class="note">{escape(text)}</span>' if text else ""


def estimate(low: float | None, centre: float | None, high: float | None, unit: str) -> str:
    """Write an estimate over its band, with the digits that this allows."""
    significant = carried(low, centre, high)
    return value(quantity(centre, unit, significant)) + (
        note(band(low, high, unit, significant)) if centre is not None else ""
    )


def cell(content: str, *, minor: bool = False) -> str:
    """Wrap in a table cell; a minor one gives way on a narrow screen."""
    return f'<td class="minor">{content}</td>' if minor else f"<td>{content}</td>"


def head(*titles: str, minor: tuple[str, ...] = ()) -> str:
    """Write a table's head."""
    classes = ((' class="minor"' if title in minor else "", title) for title in titles)
    cells = "".join(f'<th scope="col"{each}>{title}</th>' for each, title in classes)
    return f"<thead><tr>{cells}</tr></thead>"


def share(part: float) -> str:
    """Draw how much of a whole is used, up to all of it."""
    width, over = 100 * min(max(part, 0.0), 1.0), ' class="over"' if part >= 1 else ' class="centre"'
    return (
        '<svg class="whisker" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="rail" x="0" y="1.5" width="100" height="3"/>'
        f'<rect{over} x="0" y="1.5" width="{width:.1f}" height="3"/></svg>'
    )


def whisker(low: float | None, centre: float | None, high: float | None) -> str:
    """Draw a band from 0 to its high end, as attributes only: the page allows no inline style."""
    if low is None or centre is None or high is None or high <= 0:
        return ""
    start, middle = 100 * low / high, 100 * centre / high
    return (
        '<svg class="whisker" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="rail" x="0" y="2.5" width="100" height="1"/>'
        f'<rect class="band" x="{start:.1f}" y="1.5" width="{100 - start:.1f}" height="3"/>'
        f'<rect class="centre" x="{min(middle, 99):.1f}" y="0" width="1" height="6"/></svg>'
    )
