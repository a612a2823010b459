"""How long something has been so. Memory of ``serve_engine``; lost at a restart, which only makes it wait again."""

from collections.abc import Callable


class Patience:
    """Remembers since when a fact has held, by key."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[str, float] = {}

    def waited(self, key: str, *, holds: bool) -> float:
        """Return for how many seconds it has held without a break, as far as was asked; 0 when it does not hold."""
        if not holds:
            self._since.pop(key, None)
            return 0.0
        now = self._clock()
        return now - self._since.setdefault(key, now)

    def forget(self, key: str) -> None:
        """Start anew."""
        self._since.pop(key, None)
