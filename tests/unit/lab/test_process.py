"""Child processes: nothing outlives its owner."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.wait import eventually
from tandem_lab.process import Process

TWO_GENERATIONS = ["sh", "-c", "sleep 600 & echo $! > child; echo started; wait"]


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_stopping_ends_the_whole_session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Process("family", TWO_GENERATIONS, log=tmp_path / "log") as parent:
        eventually(lambda: "started" in parent.tail(), within_seconds=10)
        child = int((tmp_path / "child").read_text())
        assert running(child)

    assert not parent.alive
    eventually(lambda: not running(child), within_seconds=60)


def test_a_program_that_ignores_the_polite_request_is_killed(tmp_path: Path) -> None:
    stubborn = Process("stubborn", ["sh", "-c", "trap '' TERM; echo ready; sleep 600; sleep 600"], log=tmp_path / "log")
    eventually(lambda: "ready" in stubborn.tail(), within_seconds=10)

    stubborn.stop(grace_seconds=0.2)

    assert not stubborn.alive


def test_a_program_that_ended_says_why(tmp_path: Path) -> None:
    with Process("broken", ["sh", "-c", "echo out of luck; exit 3"], log=tmp_path / "log") as broken:
        eventually(lambda: not broken.alive, within_seconds=10)

        with pytest.raises(RuntimeError, match=r"(?s)broken ended with 3.*out of luck"):
            broken.check()


def test_children_die_with_an_owner_that_was_killed(tmp_path: Path) -> None:
    owner = f"""
import time
from pathlib import Path
from tandem_lab.process import Process
print(Process("orphan", ["sleep", "600"], log=Path({str(tmp_path / "log")!r})).pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", owner], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert running(child)
        parent.send_signal(signal.SIGKILL)

    eventually(lambda: not running(child), within_seconds=60)
