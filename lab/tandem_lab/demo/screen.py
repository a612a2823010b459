"""What the demo prints: each step's command, its result, and whether it held."""

import sys
from pathlib import Path

from tandem_lab.demo.steps import Result, Step

_SHOWN_LINES = 24
_SHOWN_CHARACTERS = 1600
_COLOURS = {"bold": "1", "dim": "2", "green": "32", "red": "31"}


def paint(text: str, colour: str) -> str:
    """Return ``text`` in colour where somebody looks, plain in a file."""
    return f"\033[{_COLOURS[colour]}m{text}\033[0m" if sys.stdout.isatty() else text


def say(text: str = "") -> None:
    print(text, flush=True)


def began(number: int, step: Step) -> None:
    say(f"\n{paint(f'── {number}. {step.title}', 'bold')}")
    say(paint(f"$ {step.command}", "dim"))


def ended(result: Result, wrong: list[str], seconds: float) -> None:
    if result.output.strip():
        say(shortened(result.output))
    if wrong:
        say(paint(f"✗ did not hold ({seconds:.1f} s): {'; '.join(wrong)}", "red"))
    else:
        say(paint(f"✓ held ({seconds:.1f} s)", "green"))


def shortened(output: str) -> str:
    """Return output that fits a screen, and say what was left out."""
    text = output.replace("\r", "").rstrip()
    lines = text.splitlines()
    if len(lines) > _SHOWN_LINES:
        rest = len(lines) - _SHOWN_LINES
        text = "\n".join([*lines[: _SHOWN_LINES - 4], f"… {rest} lines more …", *lines[-4:]])
    if len(text) > _SHOWN_CHARACTERS:
        text = f"{text[:_SHOWN_CHARACTERS]} … {len(text) - _SHOWN_CHARACTERS} characters more"
    return text


def verdict(held: int, steps: int, logs: Path) -> str:
    """Return the tour's last line."""
    if held == steps:
        return paint(f"All {steps} steps held.", "green")
    return paint(f"{steps - held} of {steps} steps did not hold. Logs: {logs}", "red")
