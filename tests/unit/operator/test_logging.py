"""Logs are JSON lines, and never carry what a local variable held."""

import json
import subprocess
import sys

PROGRAM = """
import structlog
from tandem_operator.__main__ import start_logging

start_logging()
def fail():
    key = "sk-" + "in-a-local-variable"
    raise RuntimeError("went wrong")
try:
    fail()
except RuntimeError:
    structlog.get_logger("test").exception("caught", key_of="object")
"""


def test_a_traceback_tells_where_and_not_what_variables_held():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    (line,) = done.stderr.splitlines()
    said = json.loads(line)
    assert said["event"] == "caught"
    assert said["exception"][0]["exc_value"] == "went wrong"
    assert said["exception"][0]["frames"]
    assert "in-a-local-variable" not in line
