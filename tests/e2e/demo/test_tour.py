"""The demo's own tour, on everything at once: a real control plane, Ray, vLLM with Gemma, Envoy, the guard."""

from pathlib import Path

import pytest
from tandem_lab import paths
from tandem_lab.demo import coordinates, overlay
from tandem_lab.demo.shell import Shell
from tandem_lab.demo.tour import tour
from tandem_lab.stack import Stack


@pytest.mark.timeout(1500)  # vLLM starts twice, and everything else runs beside it
def test_each_step_of_the_tour_holds(tmp_path: Path) -> None:
    said: list[str] = []
    with Stack(tmp_path / "run", report=said.append) as stack:
        overlay.write(tmp_path / ".demo" / "hello", stack.machine)
        (tmp_path / "examples").symlink_to(paths.EXAMPLES)
        shell = Shell(tmp_path, coordinates.environment(stack.variables, stack.programs))
        for step in tour(stack):
            result, wrong = shell.take(step)
            assert not wrong, f"{step.title}\n$ {step.command}\n{result.output}\n{wrong}"

        assert not stack.control_plane.get_json("mdep", "-A")["items"]
    assert said
