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


def test_a_child_that_was_at_work_once_is_started_again_however_soon_it_dies(tmp_path):
    """The kernel may kill a gate again and again where memory is short: no reason to end all calls for good."""
    script = f"""
deaths = pathlib.Path({str(tmp_path)!r})
def die(lifeline):
    lived = len(list(deaths.iterdir()))
    (deaths / str(lived)).touch()
    if lived == 8:
        os.kill(os.getppid(), 15)
        time.sleep(60)
    lifeline.at_work()
    os.kill(os.getpid(), 9)
children = [Child(name="gate 1", run=die, stop_within_s=5)]
"""
    done = supervise(script)
    assert done.stdout == "gave up: None\n"
    assert done.stderr.count("gate 1 ended (SIGKILL)") == 8


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


def test_children_of_one_stage_end_together_and_those_of_the_next_after_them(tmp_path):
    """Two gates with a stream that has to end: the second does not take calls while the first is waited for."""
    script = f"""
import signal
said = pathlib.Path({str(tmp_path / "said")!r})
def say(word):
    with said.open("a") as file:
        file.write(word + chr(10))
def child(name):
    def run(lifeline):
        told = []
        signal.signal(signal.SIGTERM, lambda *_: told.append(1))
        say(f"{{name}} up")
        while not told:
            time.sleep(0.01)
        say(f"{{name}} told")
        while name.startswith("gate") and said.read_text().count(" told") < 2:
            time.sleep(0.01)
        say(f"{{name}} ended")
    return run
children = [Child(name=name, run=child(name), stop_within_s=20, stage=stage)
            for name, stage in (("gate 1", 1), ("console", 2), ("gate 2", 1))]
def when_up():
    while not said.exists() or said.read_text().count(" up") < 3:
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
run = Supervisor.run
Supervisor.run = lambda self, for_s: run(self, for_s=for_s, started=when_up)
"""
    done = supervise(script)
    assert (done.stdout, done.stderr) == ("gave up: None\n", "")
    lines = (tmp_path / "said").read_text().split("\n")[3:-1]
    assert set(lines[:2]) == {"gate 1 told", "gate 2 told"}
    assert set(lines[2:4]) == {"gate 1 ended", "gate 2 ended"}
    assert lines[4:] == ["console told", "console ended"]


def test_a_process_is_named_for_what_it_is():
    script = """
def name(lifeline):
    print(pathlib.Path("/proc/self/comm").read_text(), end="", flush=True)
    os.kill(os.getppid(), 15)
    time.sleep(60)
children = [Child(name="gate 1", run=name, stop_within_s=5)]
"""
    assert supervise(script).stdout == "jg gate 1\ngave up: None\n"
