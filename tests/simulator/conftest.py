from collections.abc import Iterator

import pytest

from proxy.simulator import in_thread


@pytest.fixture(scope="session")
def simulator() -> Iterator[str]:
    with in_thread() as origin:
        yield origin
