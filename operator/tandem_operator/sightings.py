"""What each application did when somebody last looked, be it a reconcile or the poll. Pure.

So the poll knows what a deployment's last reconcile went by, even when it looks for the first time: whatever differs
from that wakes the deployment, and nobody has to ask again in a state that may last for days.
"""

from tandem_operator.cache import Key
from tandem_operator.observed import AppState


class Sightings:
    """Of one term."""

    def __init__(self) -> None:
        self._last: dict[Key, AppState | None] = {}

    def note(self, key: Key, state: AppState | None) -> bool:
        """Take in what was seen now, None = it could not be; return whether something else was seen before."""
        news = key in self._last and self._last[key] != state
        self._last[key] = state
        return news

    def forget(self, key: Key) -> None:
        """Take in that the deployment is gone."""
        self._last.pop(key, None)
