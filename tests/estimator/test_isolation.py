"""The library stands on its own: no proxy, no web, no SQL, no network, nothing but the standard library."""

import subprocess
import sys

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


def test_it_needs_nothing_but_the_standard_library():
    done = subprocess.run([sys.executable, "-S", "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
