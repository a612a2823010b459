"""Writing and checking of generated files. Used by ``crd`` and ``reference``, each a command; knows neither."""

import argparse
import difflib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path


def main(description: str | None, *, default: Path, files: Callable[[Path], Mapping[Path, str]]) -> None:
    """Write the files under a folder, or exit with 1 and a diff when they are not what would be written."""
    parser = argparse.ArgumentParser(description=description)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--write", action="store_true", help="write the files")
    action.add_argument("--check", action="store_true", help="fail when a file differs from what would be written")
    parser.add_argument("--folder", type=Path, default=default, help=f"default: {default}")
    options = parser.parse_args()
    expected = files(options.folder)
    if options.write:
        write(expected)
    elif found := drift(expected):
        sys.exit("\n".join([*found, "Generated files are out of date: run `make generate` and commit the result."]))


def write(expected: Mapping[Path, str]) -> None:
    """Write each file."""
    for path, text in expected.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def drift(expected: Mapping[Path, str]) -> list[str]:
    """Return a diff for each file that is not what it should be; empty when all are."""
    found = []
    for path, text in expected.items():
        now = path.read_text(encoding="utf-8") if path.exists() else ""
        if now != text:
            lines = difflib.unified_diff(now.splitlines(), text.splitlines(), f"{path}", "generated", lineterm="")
            found.append("\n".join(lines))
    return found
