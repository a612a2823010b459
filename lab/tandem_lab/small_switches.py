"""How the small model is told to misbehave, and where that is read from. Read by `small_engine`; see `small_model`."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict


class Switches(BaseModel):
    """How to misbehave. All off by default."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    start_seconds: float = 0.0
    """The constructor takes this long."""

    start_error: str = ""
    """The constructor fails with this message."""

    dead: bool = False
    """The engine's check fails: health 503, requests 503, and Serve replaces the replica."""

    prefill_tokens_per_second: float = 1e6
    """Prompts pass one after the other at this rate: small values saturate the replica."""

    first_token_seconds: float = 0.0
    """Added before the first token of each request."""

    token_seconds: float = 0.0
    """Between tokens."""

    tokens: int = 0
    """Answer with this many tokens; 0 = as many as the echo has, or ``max_tokens``."""

    hang: str = ""
    """``before_headers``, ``after_headers`` (a status line, then nothing) or ``after_first_token``."""

    status: int = 0
    """Answer with this status and nothing else."""

    fail: str = ""
    """Raise an exception with this message, as a broken engine does."""

    crash: bool = False
    """End the replica's process in the middle of the request."""


def switch_file(source: str) -> Path:
    """Return the file that a model's ``source`` names; it need not be there."""
    return Path(unquote(urlsplit(source).path))


def read_switches(file: Path, asked: Mapping[str, Any] | None = None) -> Switches:
    """Return what the file says now, for this process, and what the request asked for on top."""
    try:
        written = json.loads(file.read_text())
    except (OSError, ValueError):
        written = {}
    own = written.pop("by_pid", {}).get(str(os.getpid()), {})
    return Switches.model_validate({**written, **own, **(asked or {})})
