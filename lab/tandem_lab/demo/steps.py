"""What a step of the tour is, and how its outcome is judged. Pure: it runs nothing.

A step is a command as a person would type it and the facts that must hold of its result.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

_STATUS = re.compile(r"^HTTP/[\d.]+ (\d{3})", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What a command printed, and its exit code."""

    code: int
    output: str

    @property
    def status(self) -> int | None:
        """The HTTP status that ``curl -i`` printed; None when it printed none."""
        found = _STATUS.search(self.output)
        return int(found.group(1)) if found else None

    @property
    def headers(self) -> dict[str, str]:
        """The headers that ``curl -i`` printed, names in lower case."""
        head, _, _ = self.output.replace("\r", "").partition("\n\n")
        lines = (line.partition(":") for line in head.splitlines()[1:])
        return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}

    @property
    def body(self) -> str:
        """What came after the headers."""
        return self.output.replace("\r", "").partition("\n\n")[2]


Check = Callable[[Result], str | None]
"""Returns None when the fact holds, else what was there instead."""


@dataclass(frozen=True)
class Step:
    """One stop of the tour."""

    title: str
    command: str
    checks: tuple[Check, ...] = field(default=())
    within_seconds: float = 0
    """How long the command may be repeated until its checks hold; 0 = it must hold at once."""

    def judge(self, result: Result) -> list[str]:
        """Return what did not hold; empty when the step held."""
        return [wrong for check in self.checks if (wrong := check(result)) is not None]


def succeeds(result: Result) -> str | None:
    return None if result.code == 0 else f"the command ended with {result.code}"


def status(expected: int) -> Check:
    def check(result: Result) -> str | None:
        return None if result.status == expected else f"HTTP status {result.status} instead of {expected}"

    return check


def header(name: str, *expected: str) -> Check:
    """Return a check that a response header has one of these values."""

    def check(result: Result) -> str | None:
        found = result.headers.get(name)
        return None if found in expected else f"{name}: {found} instead of {' or '.join(expected)}"

    return check


def prints(pattern: str) -> Check:
    """Return a check that the output matches a regular expression somewhere."""

    def check(result: Result) -> str | None:
        return None if re.search(pattern, result.output) else f"the output does not match {pattern!r}"

    return check


def prints_nothing(result: Result) -> str | None:
    return None if not result.output.strip() else "the output is not empty"


def prints_times(pattern: str, at_least: int) -> Check:
    """Return a check that a regular expression matches at least this often."""

    def check(result: Result) -> str | None:
        found = len(re.findall(pattern, result.output))
        return None if found >= at_least else f"{pattern!r} is there {found} times instead of {at_least} or more"

    return check
