"""Why a model did not start: one line, and the root of it."""

import os
import subprocess
import sys

import pytest
from pydantic import BaseModel, ValidationError
from tandem_serving.replica.start_failure import MOST_CHARACTERS, LogMark, cause

ABOVE = RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}")

LOG = """\
(EngineCore pid=12) INFO 11-24 08:40:11 [core.py:133] Initializing a V1 LLM engine
(VllmWorker-0 pid=13) ERROR 11-24 08:40:20 [multiproc_executor.py:777] WorkerProc failed to start.
(VllmWorker-0 pid=13) ERROR 11-24 08:40:20 [multiproc_executor.py:777] Traceback (most recent call last):
(VllmWorker-0 pid=13) ERROR 11-24 08:40:20 [multiproc_executor.py:777]   File "x.py", line 1, in load
(VllmWorker-0 pid=13) ERROR 11-24 08:40:20 [multiproc_executor.py:777] OSError: no safetensors found in /models/x
(EngineCore pid=12) ERROR 11-24 08:40:21 [core.py:1510] EngineCore failed to start.
(EngineCore pid=12) ERROR 11-24 08:40:21 [core.py:1510] Exception: WorkerProc initialization failed due to an \
exception in a background process. See stack trace for root cause.
(EngineCore pid=12) ValueError: a later one
""".splitlines()


def test_the_first_error_in_the_log_is_the_root():
    assert cause(ABOVE, LOG) == "OSError: no safetensors found in /models/x"


def test_an_error_that_says_what_it_is_needs_no_log():
    assert cause(ValueError("max seq len\n  is too large"), LOG) == "ValueError: max seq len is too large"


def test_what_pydantic_says_is_told_without_the_input():
    class Model(BaseModel):
        name: int

    with pytest.raises(ValidationError) as raised:
        Model(name="a very long input")
    said = cause(raised.value, [])
    assert said.startswith("Input should be a valid integer")
    assert "very long" not in said


def test_a_process_that_was_killed_has_most_likely_met_the_memory_limit():
    killed = RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {'E': -9}")
    assert "too little memory" in cause(killed, [])


def test_without_a_log_the_exception_is_better_than_nothing():
    assert cause(ABOVE, ["nothing to see"]).startswith("RuntimeError: Engine core initialization failed")


def test_the_line_is_one_line_and_not_long():
    said = cause(ValueError("x " * 1000), [])
    assert len(said) <= MOST_CHARACTERS
    assert "\n" not in said


def test_what_children_wrote_since_the_mark_is_read_back(tmp_path):
    program = """
import os, sys
from tandem_serving.replica.start_failure import LogMark
print("before", flush=True)
mark = LogMark()
os.system("echo out; echo err >&2")
open(sys.argv[1], "w").write(repr(mark.lines()))
"""
    out, err, found = tmp_path / "out", tmp_path / "err", tmp_path / "found"
    with out.open("wb") as to_out, err.open("wb") as to_err:
        subprocess.run([sys.executable, "-c", program, str(found)], stdout=to_out, stderr=to_err, check=True)
    assert found.read_text() == "['out', 'err']"


def test_output_that_goes_to_no_file_has_no_lines(monkeypatch):
    monkeypatch.setattr(os, "readlink", lambda _path: "pipe:[1]")
    assert LogMark().lines() == []
