"""Ctrl-C ends every process of the demo, wherever it is."""

import secrets
import signal
import sys
from pathlib import Path

import pytest
from support.wait import eventually
from tandem_lab import paths
from tandem_lab.process import Process

MARKER = "TANDEM_TEST_SESSION"


def processes_of(session: str) -> list[str]:
    """Return the processes that descend from the demo, found by the variable that only they inherited."""
    marker = f"{MARKER}={session}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (folder / "environ").read_bytes().split(b"\0"):
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:  # it ended while we looked
            continue
    return found


def demo_code(folder: Path, arguments: str, before: str = "") -> str:
    """Return the demo's main program in a checkout of its own."""
    return f"""
import pathlib, runpy, sys
from tandem_lab import paths, stack
paths.REPOSITORY = pathlib.Path({str(folder)!r})
paths.DEMO = paths.REPOSITORY / ".demo"
sys.argv = ["demo", {arguments}]
{before}
runpy.run_module("tandem_lab.demo", run_name="__main__")
"""


SHORT_TOUR = """
from tandem_lab.demo import steps, tour
tour.tour = lambda stack: [steps.Step("Is it there?", "kubectl get crd", (steps.prints("modeldeployments"),))]
"""


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("arguments", "before", "there", "exit_code"),
    [
        pytest.param("'--once'", "", "condition met", 130, id="once, in the tour"),
        pytest.param("", SHORT_TOUR, "Ctrl-C ends everything.", 0, id="after the tour"),
    ],
)
def test_an_interrupted_demo_leaves_no_process_and_no_coordinates(
    tmp_path: Path, arguments: str, before: str, there: str, exit_code: int
) -> None:
    (tmp_path / "examples").symlink_to(paths.EXAMPLES)
    session = secrets.token_hex(8)
    command = [sys.executable, "-u", "-c", demo_code(tmp_path, arguments, before)]
    with Process("demo", command, log=tmp_path / "log", env={MARKER: session}) as demo:

        def is_there() -> bool:
            demo.check()
            return there in demo.tail(100_000)

        eventually(is_there, within_seconds=600)  # seconds in peace; a test run is not
        assert (tmp_path / ".demo" / "env").exists()
        demo.signal(signal.SIGINT)
        eventually(lambda: not demo.alive, within_seconds=120)
        assert "Everything has ended." in demo.tail()
        assert demo.exit_code == exit_code

    eventually(lambda: not processes_of(session), within_seconds=30)
    assert not (tmp_path / ".demo" / "env").exists()
