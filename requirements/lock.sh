#!/bin/sh
# Writes the locks: every package with its version and hashes, for Python 3.11 to 3.14 on any system, no index named.
# dev.txt holds everything and is resolved first; the smaller sets are held to its versions. What is pinned stays pinned
# as long as pyproject.toml allows it; arguments are uv's: --upgrade, or --upgrade-package NAME.
set -eu
cd "$(dirname "$0")/.."
export UV_CUSTOM_COMPILE_COMMAND="make lock"
asked="$*"
lock() {
    # shellcheck disable=SC2086  # the words of it are meant
    "${UV:-uv}" pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-emit-find-links $asked "$@"
}
compile() {
    lock --python-version 3.11 "$@"
}
same="--constraints requirements/dev.txt"
compile pyproject.toml --extra clickhouse --extra count --extra demo --extra grids --extra parquet --extra postgres \
    --extra statements --group build --group lint --group test --group facts --group dashboards --output-file requirements/dev.txt
# shellcheck disable=SC2086  # two words are meant
{
    # What `make serve` and the container image have: PostgreSQL, mirrors, hourly grids, statements.
    compile pyproject.toml --extra clickhouse --extra grids --extra postgres --extra statements $same \
        --output-file requirements/run.txt
    compile pyproject.toml --extra demo $same --output-file requirements/demo.txt
    # Not in dev.txt: LiteLLM asks for a release of certifi that was never published, so no resolver takes it as it is.
    compile pyproject.toml --extra translate $same --overrides bench/litellm-overrides.in \
        --output-file requirements/translate.txt
    compile --group sdks $same --constraints requirements/translate.txt --output-file requirements/sdks.txt
    compile --group engines $same --constraints requirements/translate.txt --output-file requirements/engines.txt
    compile --group build $same --output-file requirements/build.txt
}
# LiteLLM's proxy is a target of `make bench` only and lives in an environment of its own.
compile bench/litellm.in --overrides bench/litellm-overrides.in --output-file bench/litellm.txt
# Atheris is the fuzzer of `python -m bench.fuzz` only, and is installed beside the environment, not into it.
compile bench/fuzz.in --output-file bench/fuzz.txt
# The FinOps validator of FOCUS files is for one test and lives in an environment of its own, of a newer Python.
lock requirements/focus.in --python-version 3.12 --overrides requirements/focus-overrides.in \
    --output-file requirements/focus.txt
