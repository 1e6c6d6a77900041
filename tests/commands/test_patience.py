from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from proxy.commands.patience import counting, patience


def said(*, terminal: bool, wait_s: float) -> str:
    console = Console(file=io.StringIO(), force_terminal=terminal, width=60)
    with patience("reading the ledger", console, after_s=0.1):
        time.sleep(wait_s)
    return console.file.getvalue()


def test_who_waits_long_before_a_terminal_sees_why():
    assert "reading the ledger" in said(terminal=True, wait_s=0.6)


@pytest.mark.parametrize(("terminal", "wait_s"), [(True, 0.0), (False, 0.6)])
def test_nothing_is_shown_where_it_is_quick_or_nobody_looks(terminal, wait_s):
    assert "reading" not in said(terminal=terminal, wait_s=wait_s)


def test_an_error_goes_through():
    with pytest.raises(ValueError, match="x"), patience("reading", Console(file=io.StringIO())):
        raise ValueError("x")


@pytest.mark.parametrize("terminal", [True, False])
def test_how_far_it_is_stands_on_a_terminal_alone(terminal):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    with counting("deleting", 2000, console) as advance:
        advance(1500)
        advance(500)
    said = console.file.getvalue()
    assert ("deleting" in said, "2000/2000" in said) == (terminal, terminal)
    assert terminal or said == ""
