from __future__ import annotations

import os

import pytest

from proxy.lag import Lag


def test_what_is_behind_grows_until_something_else_is_said():
    now = [100.0]
    lag = Lag(lambda: now[0])
    assert lag.seconds == 0
    now[0] = 103.0
    assert lag.seconds == 3  # nobody says anything: the recorder is dead, or has not begun
    lag.say(1.5)
    assert lag.seconds == 1.5
    now[0] = 110.0
    assert lag.seconds == 8.5
    lag.say(0)
    assert lag.seconds == 0


def test_another_process_hears_it():
    lag = Lag()
    pid = os.fork()
    if pid == 0:
        lag.say(1000)
        os._exit(0)
    os.waitpid(pid, 0)
    assert lag.seconds == pytest.approx(1000, abs=100)
