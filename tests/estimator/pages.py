"""The pages on method as text, and a share as they write it."""

import re
from pathlib import Path

PAGES = Path(__file__).parents[2] / "docs" / "methodology"


def page(name):
    return re.sub(r"\s+", " ", (PAGES / f"{name}.md").read_text(encoding="utf-8"))


def lines_of(name):
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def percent(value, digits=1):
    return f"{value:.{digits}%}".replace("100.0%", "100%").replace("%", " %")
