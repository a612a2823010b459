"""What can go wrong, named by what happens next. Raised everywhere in the operator, caught by the work queue's worker.

TandemError
├── Retry    nothing is known to be wrong with the object: try again, after ``delay_seconds`` or the queue's back-off
├── Hold     something could not be read, and no data is not zero: change nothing, ask again
└── Reject   the object asks for what cannot be had: a condition says so, and the next edit is the retry
"""


class TandemError(Exception):
    """Root of Tandem's own errors; the message is written for the person who reads a condition or a log."""


class Retry(TandemError):  # noqa: N818  named by what the worker does next
    """Try the same key again."""

    def __init__(self, message: str, *, delay_seconds: float | None = None) -> None:
        super().__init__(message)
        self.delay_seconds = delay_seconds
        """Seconds until the next attempt; None = the queue's own back-off."""


class Hold(TandemError):  # noqa: N818  named by what the worker does next
    """What is needed for a decision is unknown: keep everything as it is."""


class Reject(TandemError):  # noqa: N818  named by what the worker does next
    """The object cannot be honoured as it is written."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """A constant of ``conditions``: one CamelCase word."""
