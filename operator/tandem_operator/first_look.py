"""Which objects a new leader has not looked at yet: until none is left, no gateway is let in. Fed by ``leading``."""

import asyncio
from collections.abc import Iterable
from typing import Final

from tandem_operator.cache import Key
from tandem_operator.errors import Hold, Retry

MAX_ATTEMPTS: Final = 3
"""An object that fails this often is not waited for any longer: one must not keep all the others from the gateways."""


class FirstLook:
    """Fed with the outcome of every reconcile."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._left = dict.fromkeys(keys, MAX_ATTEMPTS)
        self.over = asyncio.Event()
        """Set once every object was looked at."""

        self._check()

    def done(self, key: Key) -> None:
        """Say that ``key`` was reconciled."""
        self._left.pop(key, None)
        self._check()

    def failed(self, key: Key, error: Exception, *, published: bool) -> None:
        """Say that ``key`` was not reconciled this time, and whether it was published before ``error``.

        An outage says nothing about the object: it is waited for, and gateways keep what they have until then.
        """
        if published:
            self.done(key)
        if key not in self._left or isinstance(error, Retry | Hold):
            return
        self._left[key] -= 1
        if self._left[key] == 0:
            self.done(key)

    def _check(self) -> None:
        if not self._left:
            self.over.set()
