"""Ctrl-C ends the demo without a trace, wherever it is."""

import os
import signal
import sys
from pathlib import Path

import pytest
from support.wait import eventually
from tandem_lab.process import Process


def processes_of(session: int) -> list[str]:
    """Return the processes that descend from the demo, found by the variable that only they inherited."""
    marker = f"TANDEM_TEST_SESSION={session}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it ended while we looked
            continue
    return found


@pytest.mark.timeout(900)
def test_an_interrupted_demo_leaves_no_process_and_no_coordinates(tmp_path: Path) -> None:
    session = os.getpid()
    code = f"""
import pathlib, runpy, sys
from tandem_lab import paths, stack
paths.REPOSITORY = pathlib.Path({str(tmp_path)!r})  # a demo has its checkout for itself
paths.DEMO = paths.REPOSITORY / ".demo"
sys.argv = ["demo", "--once"]
runpy.run_module("tandem_lab.demo", run_name="__main__")
"""
    env = {"TANDEM_TEST_SESSION": str(session)}
    with Process("demo", [sys.executable, "-u", "-c", code], log=tmp_path / "log", env=env) as demo:

        def takes_the_tour() -> bool:
            demo.check()
            return "condition met" in demo.tail(100_000)

        eventually(takes_the_tour, within_seconds=600)  # seconds in peace; a test run is not
        assert (tmp_path / ".demo" / "env").exists()
        demo.signal(signal.SIGINT)
        eventually(lambda: not demo.alive, within_seconds=120)
        assert "Everything has ended." in demo.tail()

    eventually(lambda: not processes_of(session), within_seconds=30)
    assert not (tmp_path / ".demo" / "env").exists()
