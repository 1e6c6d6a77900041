from __future__ import annotations

from proxy.calculator.asked import Asked
from proxy.calculator.documents import one_file
from proxy.errors import ConfigError
from tests.calculator.configured import configuration
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


def test_a_configuration_goes_into_the_file(tmp_path):
    configuration(tmp_path)
    made = run("--config", str(tmp_path / "joulegate.toml"), "--ask", "model=chat-prod&provider=house")
    assert made.exit_code == 0
    assert "chat-prod is llama-3.3-70b-instruct" in made.output
    assert '"price_list":"acme-2026"' in made.output
    assert "acme-2026" not in run().output
