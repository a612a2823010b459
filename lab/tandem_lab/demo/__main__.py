"""``python -m tandem_lab.demo [--once]``: start everything, take the tour, stay up until Ctrl-C.

With ``--once`` it ends after the tour, with 0 when each step held and 1 when one did not.
"""

import argparse
import fcntl
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tandem_lab import paths
from tandem_lab.demo import coordinates, overlay, screen
from tandem_lab.demo.shell import Shell
from tandem_lab.demo.steps import Step
from tandem_lab.demo.tour import apply, chat, tour
from tandem_lab.stack import Stack

_FOLDER = paths.DEMO


def main() -> int:
    """Run the demo and return its exit code."""
    parser = argparse.ArgumentParser(prog="make demo", description="Everything of Tandem on this machine, and a tour.")
    parser.add_argument("--once", action="store_true", help="end after the tour; the exit code tells whether it held")
    once: bool = parser.parse_args().once
    with _alone(_FOLDER), _quiet_end():
        try:
            return 0 if _run(stay=not once) else 1
        except (RuntimeError, TimeoutError) as error:
            screen.say(f"{error}\nThe demo cannot go on. Logs: {_FOLDER / 'run'}")
            return 1
    return 130 if once else 0  # Ctrl-C: what `make demo` waits for, but no way to end a check


def _run(*, stay: bool) -> bool:
    """Start, take the tour, stay if asked to; return whether every step held."""
    began = time.monotonic()
    with Stack(_FOLDER / "run", report=screen.say) as stack:
        screen.say(f"Everything runs after {time.monotonic() - began:.0f} s.")
        shell = _prepare(stack)
        held, steps = take(tour(stack), shell)
        screen.say(f"\n{screen.verdict(held, steps, stack.logs)} {time.monotonic() - began:.0f} s since the start.")
        if stay:
            _stay(stack, shell)
    return held == steps


def take(steps: Iterable[Step], shell: Shell) -> tuple[int, int]:
    """Take the steps, printing each; return how many held, and how many there were."""
    held = number = 0
    for number, step in enumerate(steps, start=1):
        began = time.monotonic()
        screen.began(number, step)
        result, wrong = shell.take(step)
        screen.ended(result, wrong, time.monotonic() - began)
        held += not wrong
    return held, number


def _prepare(stack: Stack) -> Shell:
    """Write what a user needs (``.demo/env``, ``.demo/hello``) and return a shell that has it."""
    overlay.write(_FOLDER / "hello", stack.machine)
    coordinates.write(_FOLDER / "env", stack.variables, stack.programs)
    return Shell(paths.REPOSITORY, coordinates.environment(stack.variables, stack.programs))


def _stay(stack: Stack, shell: Shell) -> None:
    """Leave the user a model to try, until Ctrl-C."""
    screen.say(f"\nThe model is applied again for you ($ {apply()}); the cloud bridges until it has started.")
    shell.run(apply())
    screen.say(_CARD.format(**stack.variables, chat=chat(), folder=_FOLDER.relative_to(paths.REPOSITORY)))
    threading.Event().wait()


_CARD = """
  URL         {URL}
  KUBECONFIG  {KUBECONFIG}

In another terminal, here:

  source {folder}/env
  kubectl get mdep,cloudep -A
  kubectl describe mdep -n hello hello
  {chat}
  curl -s $URL/models
  curl -X PUT $CLOUD_ADMIN_URL/fault/500    # the cloud fails from now on; DELETE makes it well again

Ctrl-C ends everything."""


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second demo out of this checkout, and leave nothing behind that is no longer true."""
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"A demo already runs in this checkout: source {folder / 'env'}")
        shutil.rmtree(folder / "run", ignore_errors=True)
        try:
            yield
        finally:
            (folder / "env").unlink(missing_ok=True)


@contextmanager
def _quiet_end() -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into an orderly end that a second Ctrl-C does not disturb."""

    def interrupt(number: int, _: FrameType | None) -> None:
        for again in (signal.SIGINT, signal.SIGTERM):
            signal.signal(again, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    try:
        yield
    except KeyboardInterrupt:
        screen.say("\nEverything has ended.")


if __name__ == "__main__":
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]  # a text stream, unless somebody replaced it
    os.chdir(paths.REPOSITORY)
    sys.exit(main())
