"""What the middleware needs of an engine. vLLM is one (``vllm_engine``); the lab's small model is another."""

from collections.abc import Sequence
from typing import Protocol

from starlette.types import ASGIApp

from tandem_serving.replica.prediction import Sample


class Engine(Protocol):
    """A started model. Its ASGI app tells ``progress`` about prompts and outputs."""

    @property
    def asgi(self) -> ASGIApp: ...

    @property
    def slots(self) -> int:
        """Requests that run at once."""

    @property
    def most_tokens(self) -> int:
        """Tokens of context."""

    @property
    def calibration(self) -> Sequence[Sample]:
        """Times to first token on an idle engine, measured at the start."""

    def rename(self, names: Sequence[str]) -> None:
        """Answer to these model names from now on; the first one is told in answers."""

    async def check(self) -> None:
        """Raise when the engine cannot answer any more."""

    def stop(self) -> None:
        """End the engine's processes."""


class CannotStartError(Exception):
    """The model cannot be served. The message is one line for the person who wrote the spec.

    Ray shows a constructor's traceback; this is its last line, and nothing is chained behind it.
    """
