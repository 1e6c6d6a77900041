"""The page on the library's use does what it prints."""

import doctest
from pathlib import Path

import estimator

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "estimate-from-python.md"


def test_the_page_does_what_it_prints():
    ran = doctest.testfile(str(PAGE), module_relative=False, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert ran.attempted > 15
    assert ran.failed == 0


def test_the_library_s_own_example_holds():
    assert doctest.testmod(estimator).failed == 0
