from __future__ import annotations

import pytest

from tests.recorder.bench import Bench


@pytest.fixture
def bench(tmp_path, ledger_url):
    bench = Bench(tmp_path, ledger_url)
    yield bench
    for recorder in bench.recorders:
        recorder.close()
    bench.engine.dispose()
