from __future__ import annotations

from typer.testing import CliRunner

from proxy.calculator.asked import Asked
from proxy.calculator.documents import one_file
from proxy.cli import command_line
from proxy.errors import ConfigError


def run(*arguments: str):
    return CliRunner().invoke(command_line(["calculator"]), ["calculator", *arguments])


def test_writes_one_file_that_shows_what_was_asked(tmp_path):
    page = tmp_path / "calculator.html"
    made = run("--out", str(page), "--ask", "model=claude-opus-4&input=500")
    assert (made.exit_code, made.output) == (0, "")
    assert page.read_text() == one_file(Asked(model="claude-opus-4", input=500))


def test_writes_to_stdout_without_a_file():
    assert run().output == one_file(Asked())


def test_says_what_is_wrong(tmp_path):
    assert "input='many'" in str(run("--ask", "input=many").exception)
    failed = run("--out", str(tmp_path / "no" / "page.html"))
    assert isinstance(failed.exception, ConfigError)
    assert "cannot be written" in str(failed.exception)
