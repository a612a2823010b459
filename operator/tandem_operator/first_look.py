"""Whose objects a new leader has not decided on yet: until none is left, no gateway is let in. Fed by ``leading``.

Decided = published, or withdrawn: whatever fails after that, a write of the status for one, is no reason to wait.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from tandem_operator.errors import Hold, Retry

MAX_ATTEMPTS: Final = 3
"""An object that fails this often is not waited for any longer: one must not keep all the others from the gateways."""


class FirstLook:
    """Knows objects as the owners of what is published."""

    def __init__(self, owners: Iterable[str]) -> None:
        self._left = dict.fromkeys(owners, MAX_ATTEMPTS)
        self.over = asyncio.Event()
        """Set once everything was decided."""

        self._check()

    def decided(self, owner: str) -> None:
        """Say that what is published for ``owner`` is what should be."""
        self._left.pop(owner, None)
        self._check()

    def failed(self, owner: str, error: Exception) -> None:
        """Say that ``owner`` was not reconciled this time.

        An outage says nothing about the object: it is waited for, and gateways keep what they have until then.
        """
        if owner not in self._left or isinstance(error, Retry | Hold):
            return
        self._left[owner] -= 1
        if self._left[owner] == 0:
            self.decided(owner)

    def _check(self) -> None:
        if not self._left:
            self.over.set()
