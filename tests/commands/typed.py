"""A command as it is typed, run in this process."""

from __future__ import annotations

from typer.testing import CliRunner, Result

from proxy.cli import command_line


def typed(*words: str, **environment: str | None) -> Result:
    """Run it; gives what it printed, on lines that are long enough for every table, and how it ended."""
    return CliRunner().invoke(command_line(words[:1]), words, env={"COLUMNS": "200"} | environment)
