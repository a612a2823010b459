"""Steps are run as printed, and the demo's screen stays readable."""

import os
from pathlib import Path

from tandem_lab.demo import screen, steps
from tandem_lab.demo.shell import Shell
from tandem_lab.demo.steps import Step


def test_a_command_runs_in_bash_with_the_users_variables(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"PATH": os.environ["PATH"], "TANDEM_URL": "http://here"})

    result = shell.run('pwd; echo "$TANDEM_URL"; echo lost >&2; false | true; exit 3')

    assert result.code == 3
    assert result.output.splitlines() == [str(tmp_path), "http://here", "lost"]


def test_a_step_is_repeated_until_it_holds(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"PATH": os.environ["PATH"]})
    step = Step("Third time", "echo x >> count; cat count", (steps.prints_times("x", 3),), within_seconds=30)

    result, wrong = shell.take(step)

    assert not wrong
    assert result.output.split() == ["x", "x", "x"]


def test_a_step_that_must_hold_at_once_is_run_once(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"PATH": os.environ["PATH"]})

    _, wrong = shell.take(Step("Never", "echo x >> count; cat count", (steps.prints("y"),)))

    assert wrong
    assert (tmp_path / "count").read_text() == "x\n"


def test_long_output_is_shortened_and_says_so() -> None:
    lines = screen.shortened("\n".join(f"line {n}" for n in range(100))).splitlines()

    assert len(lines) < 30
    assert lines[0] == "line 0"
    assert "… 76 lines more …" in lines
    assert lines[-1] == "line 99"
    assert screen.shortened("x" * 5000).endswith("characters more")
    assert screen.shortened("short\r\n") == "short"
