from pathlib import Path

from proxy.commands.simulate import simulate
from proxy.simulator.wishes import HEADERS

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "simulator.md"


def test_every_header_is_in_the_commands_help():
    described = [line.split(":")[0].strip() for line in (simulate.__doc__ or "").splitlines() if "x-simulate-" in line]
    assert described == list(HEADERS)


def test_every_header_is_on_the_reference_page():
    rows = [line.split("`")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `x-simulate-")]
    assert rows == list(HEADERS)
