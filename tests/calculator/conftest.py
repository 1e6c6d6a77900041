from tests.console.conftest import console  # noqa: F401 - a fixture
