"""Children that die, in a process of their own: the supervisor forks, and pytest's process has threads."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PREAMBLE = """
import logging, os, pathlib, sys, time
from proxy import supervisor
from proxy.supervisor import Child, Supervisor
logging.basicConfig(format="%(message)s", stream=sys.stderr)
supervisor.RESPAWN_S = (0.01, 0.05)
"""


def supervise(script: str, *, steady_s: float = 10.0) -> subprocess.CompletedProcess[str]:
    end = f"""
supervisor.STEADY_S = {steady_s}
print("gave up:", Supervisor(children).run(for_s=30))
"""
    return subprocess.run(
        [sys.executable, "-c", PREAMBLE + script + end],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


LIVES = """
def live(lifeline):
    time.sleep(60)
"""


def test_a_child_that_cannot_be_started_ends_it_all_with_its_reason():
    script = (
        LIVES
        + """
def fail(lifeline):
    pathlib.Path("/dev/null/journal").mkdir()
children = [Child(name="gate 1", run=fail, stop_within_s=5), Child(name="console", run=live, stop_within_s=5)]
"""
    )
    done = supervise(script)
    assert done.stdout == (
        "gave up: gate 1 cannot be started, it ended 5 times: "
        "NotADirectoryError: [Errno 20] Not a directory: '/dev/null/journal'\n"
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 4
    for line in lines:
        assert line.startswith("gate 1 ended (NotADirectoryError: [Errno 20] Not a directory")
        assert "; started again in 0." in line


def test_a_fault_of_the_program_shows_where_once():
    script = """
def fail(lifeline):
    raise RuntimeError("two\\n  lines")
children = [Child(name="gate 1", run=fail, stop_within_s=5)]
"""
    done = supervise(script)
    assert "ended 5 times: RuntimeError: two lines" in done.stdout
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.count("gate 1 ended (RuntimeError: two lines)") == 4


def test_a_child_that_was_steady_once_is_started_again_for_ever(tmp_path):
    script = f"""
deaths = pathlib.Path({str(tmp_path)!r})
def die(lifeline):
    lived = len(list(deaths.iterdir()))
    if lived == 0:
        time.sleep(0.3)
    (deaths / str(lived)).touch()
    if lived == 12:
        os.kill(os.getppid(), 15)
        time.sleep(60)
    os.kill(os.getpid(), 9)
children = [Child(name="gate 1", run=die, stop_within_s=5)]
"""
    done = supervise(script, steady_s=0.2)
    assert done.stdout == "gave up: None\n"
    assert (tmp_path / "12").exists()
    assert "gate 1 ended (SIGKILL); started again in 0.0" in done.stderr


def test_an_interrupt_of_a_child_is_no_end():
    """Ctrl-C reaches every process of a terminal; only the parent decides, and in its order."""
    script = """
import signal
def interrupt(lifeline):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getppid(), signal.SIGTERM)
    time.sleep(60)
children = [Child(name="gate 1", run=interrupt, stop_within_s=5)]
"""
    done = supervise(script)
    assert (done.stdout, done.stderr) == ("gave up: None\n", "")
