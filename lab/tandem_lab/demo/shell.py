"""Runs a step's command exactly as it was printed, in bash."""

import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tandem_lab.demo.steps import Result, Step

_COMMAND_SECONDS = 600
_REPEAT_SECONDS = 0.5


class Shell:
    """A person's shell: a folder and the variables of ``.demo/env``."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self._folder = folder
        self._env = dict(env)

    def run(self, command: str) -> Result:
        """Run one command; what it writes to stderr is part of its output."""
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self._folder,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
        return Result(done.returncode, done.stdout.decode(errors="replace"))

    def take(self, step: Step) -> tuple[Result, list[str]]:
        """Run a step's command, again until its checks hold or its time is over."""
        deadline = time.monotonic() + step.within_seconds
        while True:
            result = self.run(step.command)
            wrong = step.judge(result)
            if not wrong or time.monotonic() > deadline:
                return result, wrong
            time.sleep(_REPEAT_SECONDS)
