"""Kubeconfig files with a bearer token, readable by their owner alone."""

import base64
import json
import os
from pathlib import Path


def write(path: Path, *, server: str, certificate_authority: Path, token: str) -> None:
    authority = base64.b64encode(certificate_authority.read_bytes()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tandem",
        "contexts": [{"name": "tandem", "context": {"cluster": "tandem", "user": "tandem"}}],
        "clusters": [{"name": "tandem", "cluster": {"server": server, "certificate-authority-data": authority}}],
        "users": [{"name": "tandem", "user": {"token": token}}],
    }
    write_private(path, json.dumps(document, indent=1))


def write_private(path: Path, text: str) -> None:
    """Write a file that nobody else could read at any moment."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
