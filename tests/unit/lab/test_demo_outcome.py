"""What ``make demo ONCE=1`` tells whoever called it."""

import contextlib
import sys
from pathlib import Path

import pytest
from tandem_lab.demo import __main__ as demo
from tandem_lab.demo import steps
from tandem_lab.demo.shell import Shell

HOLDS = steps.Step("Holds", "echo yes", (steps.prints("yes"),))
FAILS = steps.Step("Fails", "echo no", (steps.prints("yes"),))


class Parts:
    """A stack of nothing."""

    logs = Path("logs")

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __enter__(self) -> "Parts":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("tour", "code"), [((HOLDS, HOLDS), 0), ((HOLDS, FAILS), 1), ((FAILS, HOLDS), 1)], ids=["held", "last", "first"]
)
def test_the_exit_code_tells_whether_each_step_held(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tour: tuple[steps.Step, ...], code: int
) -> None:
    monkeypatch.setattr(sys, "argv", ["demo", "--once"])
    monkeypatch.setattr(demo, "_FOLDER", tmp_path / ".demo")
    monkeypatch.setattr(demo, "_quiet_end", contextlib.nullcontext)  # pytest has the signals
    monkeypatch.setattr(demo, "Stack", Parts)
    monkeypatch.setattr(demo, "_prepare", lambda _: Shell(tmp_path, {"PATH": "/usr/bin:/bin"}))
    monkeypatch.setattr(demo, "tour", lambda _: tour)

    assert demo.main() == code
