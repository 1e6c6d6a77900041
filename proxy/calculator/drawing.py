"""The pieces of the calculator's page: texts, bars and tables with the keys by which the scripts find them again."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from proxy.calculator.words import Words


class Drawing:
    """Puts what is said into places that the scripts find again by their key."""

    def __init__(self, said: Words) -> None:
        self._said = said

    def text(self, key: str, style: str = "") -> str:
        """Place a text."""
        classes = f' class="{style}"' if style else ""
        return f'<span data-text="{escape(key)}"{classes}>{escape(self._said.texts[key])}</span>'

    def sentence(self, template: str) -> str:
        """Place a sentence whose ``{keys}`` are texts."""
        parts = template.split("{")
        filled = [escape(parts[0])]
        for part in parts[1:]:
            key, _, rest = part.partition("}")
            filled.append(self.text(key) + escape(rest))
        return "".join(filled)

    def whisker(self, key: str) -> str:
        """Draw a band from 0 to its high end, as attributes only: the page allows no inline style."""
        low, mid = self._said.bars[key], self._said.bars[f"{key}.mid"]
        return (
            '<svg class="whisker" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
            '<rect class="rail" x="0" y="2.5" width="100" height="1"/>'
            f'<rect class="band" data-bar="{key}" x="{low[0]:.2f}" y="1.5" width="{low[1]:.2f}" height="3"/>'
            f'<rect class="centre" data-bar="{key}.mid" x="{mid[0]:.2f}" y="0" width="{mid[1]:.2f}" height="6"/></svg>'
        )

    def bar(self, key: str, style: str, height: int) -> str:
        """Draw a piece of a bar."""
        start, length = self._said.bars[key]
        return f'<rect class="{style}" data-bar="{key}" x="{start:.2f}" y="0" width="{length:.2f}" height="{height}"/>'

    def items(self, key: str) -> str:
        """List sentences."""
        return f'<ul data-list="{key}">{"".join(f"<li>{escape(each)}</li>" for each in self._said.lists[key])}</ul>'

    def banded(self, key: str) -> str:
        """Place a figure over its band."""
        return f"{self.text(key)}{self.text(f'{key}.band', 'note')}"


def table(title: str, name: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]], note: str = "") -> str:
    """Draw a table that scrolls by itself where there is no room; the first cell of a row is its head."""
    head = "".join(f'<th scope="col">{each}</th>' if each else "<td></td>" for each in columns)
    body = "".join(
        f'<tr><th scope="row">{first}</th>{"".join(f"<td>{each}</td>" for each in rest)}</tr>' for first, *rest in rows
    )
    below = f"<p>{note}</p>" if note else ""
    return (
        f'<h2 id="{name}">{title}</h2>{below}<div class="scroll" tabindex="0" role="region" aria-labelledby="{name}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
