"""Child processes with an owner: each is stopped by its own handle, and dies with the process that started it."""

import contextlib
import os
import random
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from types import TracebackType
from typing import Self

_DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "TERM", "--")
"""From util-linux, on every Debian. Not ``preexec_fn``: Python in a forked child of a process with threads (gRPC's)
may abort before the program is started."""


_PORTS = range(2_000, 11_000)
"""Below those of Ray heads, and of outgoing connections: one of these could be there before who asked for the port."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that was free a moment ago; ``OSError`` when there is none."""
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    raise OSError(f"no free port among {_PORTS.start} to {_PORTS.stop - 1} on {host}")


class Process:
    """One running program, with its log in a file; the whole session that it leads is stopped with it."""

    def __init__(
        self, name: str, command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as out:
            self._popen = subprocess.Popen(
                [*_DIE_WITH_PARENT, *(str(part) for part in command)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def alive(self) -> bool:
        return self.exit_code is None

    @property
    def exit_code(self) -> int | None:
        """As the program left it, negative when a signal ended it; None while it runs."""
        return self._popen.poll()

    def check(self) -> None:
        """Raise ``RuntimeError`` with the end of the log when the program is gone."""
        if not self.alive:
            raise RuntimeError(f"{self.name} ended with {self.exit_code}: {self.tail()}")

    def tail(self, characters: int = 2000) -> str:
        return self.log.read_text(errors="replace")[-characters:]

    def signal(self, number: Signals) -> None:
        """Send a signal to the program alone."""
        if self.alive:
            self._popen.send_signal(number)

    def kill(self) -> None:
        """End it at once, as a crash would, with everything in its session."""
        self._signal_session(SIGKILL)
        self._popen.wait()

    def stop(self, grace_seconds: float = 10) -> None:
        """End it politely; what is left of its session after the grace is killed."""
        self.signal(SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(grace_seconds)
        self.kill()

    def _signal_session(self, number: Signals) -> None:
        try:
            os.killpg(self._popen.pid, number)
        except ProcessLookupError:
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
