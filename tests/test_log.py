from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAYING = """
import logging, sys, warnings
from proxy import log
log.set_up(sys.argv[1])
log.name_process("gate 1")
logger = logging.getLogger("joulegate.journal")
logger.debug("not said")
logger.info("%d calls, said in\\ntwo lines", 3, extra={"fields": {"gate": "http://127.0.0.1:1"}})
logging.getLogger("somebody").info("not said either")
logging.getLogger("somebody").warning("beware")
try:
    raise ValueError("wrong \\u2713")
except ValueError:
    logger.exception("it failed")
if sys.argv[1] == "json":
    warnings.warn("old", DeprecationWarning, stacklevel=1)
    warnings.warn("odd", stacklevel=1)
"""


def said(form: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", SAYING, form], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_json_is_one_object_a_line():
    lines = [json.loads(line) for line in said("json")]
    assert [(line["level"], line["logger"]) for line in lines] == [
        ("info", "joulegate.journal"),
        ("warning", "somebody"),
        ("error", "joulegate.journal"),
        ("warning", "py.warnings"),
        ("warning", "py.warnings"),
    ]
    first, _, failed = lines[:3]
    assert (first["message"], first["gate"]) == ("3 calls, said in\ntwo lines", "http://127.0.0.1:1")
    assert {line["process"] for line in lines} == {"gate 1"}
    assert isinstance(first["pid"], int)
    assert first["at"].endswith("+00:00")
    assert failed["exception"].startswith("Traceback")
    assert failed["exception"].endswith("ValueError: wrong ✓")
    assert set(first) == {"at", "level", "logger", "process", "pid", "message", "gate"}


def test_text_is_for_people():
    lines = said("text")
    assert lines[0].endswith(" INFO 3 calls, said in")
    assert "beware" in lines[2]
    assert lines[-1] == "ValueError: wrong ✓"


def test_setting_it_up_again_replaces_what_was_before():
    before = logging.root.handlers[:], logging.root.level, logging.getLogger("joulegate").level
    program = SAYING.replace("log.set_up(sys.argv[1])", 'log.set_up("text")\nlog.set_up(sys.argv[1])')
    done = subprocess.run([sys.executable, "-c", program, "json"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(json.loads(line) for line in done.stderr.splitlines())
    assert before == (logging.root.handlers[:], logging.root.level, logging.getLogger("joulegate").level)
