"""What an engine tells the middleware about one request: set by the gate in a context variable, called by the engine.

A response that is not streamed says nothing until it is done, and a stream may begin before the engine does: only the
engine knows when the first token is out.
"""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar


class Progress:
    """One request on its way through the engine."""

    def __init__(self, *, on_prompt: Callable[[int], None], on_first_output: Callable[[], None]) -> None:
        self.first_output = asyncio.Event()
        self._on_prompt = on_prompt
        self._on_first_output = on_first_output

    def prompt(self, tokens: int) -> None:
        """Tell how many tokens one prompt of the request has; a request may have several."""
        self._on_prompt(tokens)

    def output(self) -> None:
        """Tell that the engine gave something. Cheap, and meant to be called for every output."""
        if not self.first_output.is_set():
            self.first_output.set()
            self._on_first_output()


_CURRENT: ContextVar[Progress | None] = ContextVar("tandem_progress", default=None)


def begin(progress: Progress) -> None:
    """Make ``progress`` the one of the task that calls this and of all that it starts."""
    _CURRENT.set(progress)


def current() -> Progress | None:
    """Return the progress of the request that is being served here; None outside of one (warm-up, health)."""
    return _CURRENT.get()
