#!/bin/sh
# Makes the environment of the FOCUS validator, $1, with the first Python 3.12 or newer there is. Where there is none it
# says so and makes nothing: the test that wants the validator is then skipped.
set -eu
cd "$(dirname "$0")/.."
for python in "${PYTHON:-python3}" python3.14 python3.13 python3.12 "$HOME"/.pyenv/versions/3.1[2-9]*/bin/python; do
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null || continue
    rm -rf "$1"
    "$python" -m venv "$1"
    # Some are built here; no resolver takes the validator's own wish for NumPy: --no-deps, as locked.
    "$1/bin/python" -m pip --disable-pip-version-check --quiet install --require-hashes --no-deps -r requirements/focus.txt
    exit
done
echo "No Python 3.12 or newer here: the FinOps validator of FOCUS files is left out."
