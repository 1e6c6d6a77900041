"""What `joulegate … | head -1` does: the reader leaves, and the command goes quietly."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import open_ledger
from tests.rows import call_row, insert

MEASURED = Path(__file__).parents[1] / "estimator" / "data" / "measured.csv"
MONTH = ("--month", "2026-11")


@pytest.fixture(scope="module")
def ledger(tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.db"
    engine = open_ledger(url)
    insert(engine, call_row())
    engine.dispose()
    return url


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("estimate", "gpt-4o"),
        ("estimate", "gpt-4o", "--json"),
        ("estimate", "--csv", str(MEASURED)),
        ("facts", "show"),
        ("report", "cost", *MONTH, "--database", "LEDGER"),
        ("report", "energy", *MONTH, "--format", "csv", "--database", "LEDGER"),
        ("migrate", "check", "--database", "LEDGER"),
    ],
    ids=" ".join,
)
def test_nobody_reads_on_and_nothing_is_said(words, ledger):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "proxy.cli", *(ledger if word == "LEDGER" else word for word in words)]
    with os.fdopen(writing, "wb") as nobody:
        ended = subprocess.run(command, stdout=nobody, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (-signal.SIGPIPE, "")  # a shell calls it 141


def test_what_was_read_before_is_whole():
    command = [sys.executable, "-m", "proxy.cli", "estimate", "--csv", str(MEASURED)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read()
        status = process.wait()
    assert first.endswith(",tier,assumptions,error\n")
    assert (status, said) == (-signal.SIGPIPE, "")


@pytest.mark.parametrize("command", [["--help"], ["facts", "show", "gpt-4o"], ["estimate", "gpt-4o", "--in", "9"]])
def test_an_output_that_cannot_be_written_is_said_in_a_line(command):
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "proxy.cli", *command], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert ended.returncode == 1
    assert ended.stderr == "joulegate: the output cannot be written: No space left on device\n"


def test_an_output_that_is_closed_is_not_wanted():
    line = f"{sys.executable} -m proxy.cli facts show gpt-4o >&-"
    ended = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
