"""Where everything is, as variables of a shell: for the tour's commands and in ``.demo/env`` for the user's own."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from tandem_lab import kubeconfig


def write(path: Path, variables: Mapping[str, str], programs: Path) -> None:
    """Write a file to source; it carries tokens, so nobody else may read it."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    lines.append(f'export PATH={shlex.quote(str(programs))}:"$PATH"')
    kubeconfig.write_private(path, "\n".join(lines) + "\n")


def environment(variables: Mapping[str, str], programs: Path) -> dict[str, str]:
    """Return the environment of a shell that has sourced the file."""
    return {**os.environ, **variables, "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}
