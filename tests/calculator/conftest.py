from tests.console.conftest import axe, console  # noqa: F401 - fixtures
