"""One line that says why a model did not start, out of vLLM's exception and what its processes wrote meanwhile.

vLLM's engine runs in processes of its own: the exception in ours says "see root cause above", and above is a log.
Under Ray, standard output and error are files, so that what was written since the start can be read back.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

MOST_CHARACTERS: Final = 400
_MOST_LOG_BYTES: Final = 512 * 1024
_PREFIX: Final = re.compile(
    r"^(?:\x1b\[[0-9;]*m|\([A-Za-z0-9_ -]+ pid=\d+\)|[A-Z]{4,8} \d\d-\d\d [\d:.]+|\[[\w./]+:\d+\]|\s)+"
)
_ERROR: Final = re.compile(r"^(?:[A-Za-z_][\w.]*\.)?([A-Z]\w*(?:Error|Exception)|AssertionError): (.+)$")
_SEE_ABOVE: Final = re.compile(
    r"root cause|stack trace|core initialization failed|Worker failed with error", re.IGNORECASE
)
_KILLED: Final = re.compile(r": -9\b")


class LogMark:
    """Where the process's output files ended when the start began."""

    def __init__(self) -> None:
        self._ends = [(path, path.stat().st_size) for path in map(_file_behind, (1, 2)) if path is not None]

    def lines(self) -> list[str]:
        """Return what was written since, standard output first; nothing when it went to no file."""
        return [line for path, end in self._ends for line in _read_from(path, end).splitlines()]


def cause(error: BaseException, log: Iterable[str]) -> str:
    """Return the one line. The first error in the log is the root; ours counts when it does not point elsewhere."""
    own = _words(error)
    if not _SEE_ABOVE.search(own):
        return _shorten(own)
    for line in log:
        found = _ERROR.match(_PREFIX.sub("", line))
        if found and not _SEE_ABOVE.search(found[2]):
            return _shorten(f"{found[1]}: {found[2]}")
    if _KILLED.search(own):
        return "the engine's process was killed while it started: most likely there is too little memory"
    return _shorten(own)


def _words(error: BaseException) -> str:
    errors = getattr(error, "errors", None)
    if callable(errors):  # pydantic's: the rest of its text is the whole input
        return "; ".join(str(each.get("msg", each)) for each in errors())
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MOST_CHARACTERS else line[: MOST_CHARACTERS - 1] + "…"


def _file_behind(descriptor: int) -> Path | None:
    try:
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        return path if path.is_file() else None
    except OSError:
        return None


def _read_from(path: Path, end: int) -> str:
    try:
        with path.open("rb") as log:
            log.seek(end)
            return log.read(_MOST_LOG_BYTES).decode(errors="replace")
    except OSError:
        return ""
