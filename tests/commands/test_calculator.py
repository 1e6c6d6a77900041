from __future__ import annotations

from proxy.calculator.asked import Asked
from proxy.calculator.documents import one_file
from proxy.errors import ConfigError
from tests.commands.typed import typed


def run(*arguments: str):
    return typed("calculator", *arguments)


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
