"""Plays the kubelet for a mounted Secret: the lab has no node, and a gateway's certificate is read from files."""

import base64
import json
import os
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tandem_lab.control_plane import ControlPlane

_WAIT_SECONDS = 60
_REFRESH_SECONDS = 5  # a kubelet takes up to a minute


class SecretMount:
    """A folder with the Secret's entries as files, kept current while the ``with`` block lasts."""

    def __init__(self, cluster: ControlPlane, namespace: str, name: str, folder: Path) -> None:
        self.folder = folder
        self._cluster = cluster
        self._secret = (name, "--namespace", namespace)
        self._ended = threading.Event()
        self._writing = threading.Lock()
        self._refresher = threading.Thread(target=self._refresh_for_ever, name=f"mount of {name}", daemon=True)

    def __enter__(self) -> Self:
        """Return when the Secret exists and its files are there, as a pod would start."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        deadline = time.monotonic() + _WAIT_SECONDS
        while not self.refresh():
            if time.monotonic() > deadline:
                raise TimeoutError(f"Secret {' '.join(self._secret)} did not appear within {_WAIT_SECONDS} s")
            time.sleep(0.1)
        self._refresher.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._refresher.is_alive():
            self._refresher.join()

    def refresh(self) -> bool:
        """Write the entries as they are now; False when the Secret cannot be read, and then nothing changes."""
        found = self._cluster.run_kubectl("get", "secret", *self._secret, "-o", "json")
        if found.returncode != 0:
            return False
        with self._writing:
            for name, value in json.loads(found.stdout)["data"].items():
                _replace(self.folder / name, base64.b64decode(value))
        return True

    def _refresh_for_ever(self) -> None:
        while not self._ended.wait(_REFRESH_SECONDS):
            try:
                self.refresh()
            except (OSError, subprocess.SubprocessError):
                continue


def _replace(path: Path, content: bytes) -> None:
    """Change a file in one step, and only when it differs."""
    if path.exists() and path.read_bytes() == content:
        return
    beside = path.with_name(f".{path.name}")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(content)
    beside.rename(path)
