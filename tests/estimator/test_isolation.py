"""The library stands on its own: no proxy, no web, no SQL, no network, nothing but the standard library."""

import subprocess
import sys

import pytest

import estimator

SCRIPT = """
import socket, sys

def refuse(*arguments, **named):
    raise AssertionError("the estimator opened a socket")

socket.socket = refuse
socket.create_connection = refuse
import estimator

usage = estimator.Usage(input_tokens=2000, output_tokens=1000)
for model in ("gpt-4o", "llama-3.1-8b-instruct", "nobody-knows", "text-embedding-3-small"):
    for method in estimator.METHODS:
        estimator.estimate(usage, model, provider="openai", method=method).explain()
    estimator.centre(usage, model, provider="openai")
foreign = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names) - {"estimator", "__main__"}
print(sorted(name for name in foreign if not name.startswith(("_", "sitecustomize", "usercustomize"))))
"""

LOADED = """
import sys
from estimator import Usage, estimate

estimate(Usage(input_tokens=2000, output_tokens=1000), "llama-3.1-8b-instruct", provider="groq")
print(*sorted(name.partition(".")[2] for name in sys.modules if name.startswith("estimator.")))
"""


def test_what_few_calls_ask_for_is_not_imported_before():
    done = subprocess.run([sys.executable, "-S", "-c", LOADED], capture_output=True, text=True, check=True)
    rare = {"audit", "audited", "closed", "contract", "evidence", "explain", "stated", "training", "uncertainty"}
    assert not rare & set(done.stdout.split())


def test_every_public_name_is_there_whenever_it_is_asked_for():
    script = (
        "import estimator; print(all(callable(getattr(estimator, n)) or n == 'METHODS' for n in estimator.__all__))"
    )
    done = subprocess.run([sys.executable, "-S", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert set(estimator.__all__) <= set(dir(estimator))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = estimator.nothing


def test_it_needs_nothing_but_the_standard_library():
    done = subprocess.run([sys.executable, "-S", "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
