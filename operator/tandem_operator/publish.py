"""What becomes of published routes, as a condition. Used by both reconcilers; only ``Publishing`` has a clock.

A put is acknowledged some milliseconds later, and a leader's gateways take seconds to find it: neither is news. So a
condition is not touched before a grace is over; then it says what is so.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from tandem_contract.documents import Document
from tandem_contract.xds import Programmed, State

from tandem_operator import conditions
from tandem_operator.api.v1alpha1 import Condition
from tandem_operator.conditions import Finding
from tandem_operator.servers.xds import Publisher

PENDING_GRACE_SECONDS: Final = 5.0
"""How long gateways may take to acknowledge before a condition says that they do not."""

GATEWAY_GRACE_SECONDS: Final = 30.0
"""How long gateways may take to find a new leader before a condition says that there are none."""

_GRACE: Final[Mapping[State, float]] = {
    State.PENDING: PENDING_GRACE_SECONDS,
    State.NO_GATEWAY: GATEWAY_GRACE_SECONDS,
}


def routes_finding(
    programmed: Programmed, prior: Condition | None, *, generation: int, waited_seconds: float
) -> Finding | None:
    """Return what ``RoutesProgrammed`` is; None = too early to say, so the status had better wait.

    ``waited_seconds`` is how long it has not been settled, ``generation`` that of the spec which was published.
    """
    grace = _GRACE.get(programmed.state)
    if grace is None or waited_seconds >= grace:
        return _settled(programmed)
    if prior is not None and prior.observed_generation == generation:
        return Finding(prior.status, prior.reason, prior.message)
    if prior is None and programmed.state is State.NO_GATEWAY:
        return _settled(programmed)  # nobody had it before: there is nothing to flap
    return None


def _settled(programmed: Programmed) -> Finding:
    match programmed.state:
        case State.YES:
            return Finding("True", conditions.PROGRAMMED, "every connected gateway has the routes")
        case State.REJECTED:
            message = f"gateway {programmed.client} refused them and keeps the last good ones: {programmed.message}"
            return Finding("False", conditions.REJECTED, message)
        case State.PENDING:
            return Finding("False", conditions.PENDING, "a connected gateway has not acknowledged the routes yet")
        case State.NO_GATEWAY:
            return Finding("False", conditions.NO_GATEWAY, "no gateway is connected to the operator")


class Publishing:
    """A publisher, and since when each owner has not been settled; ``decided`` is told of each owner's put and drop."""

    def __init__(
        self, publisher: Publisher, *, decided: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._publisher = publisher
        self._decided = decided
        self._clock = clock
        self._unsettled_since: dict[str, float] = {}

    def put(self, owner: str, messages: Iterable[Mapping[str, Any]], documents: Iterable[Document]) -> None:
        """Publish exactly this for ``owner``."""
        if self._publisher.put(owner, messages, documents):
            self._unsettled_since.pop(owner, None)
        self._decided(owner)

    def drop(self, owner: str) -> None:
        """Withdraw all of ``owner``."""
        self._publisher.drop(owner)
        self._unsettled_since.pop(owner, None)
        self._decided(owner)

    def finding(self, owner: str, prior: Condition | None, *, generation: int) -> Finding | None:
        """Return what ``RoutesProgrammed`` of ``owner`` is now; None = too early to say."""
        programmed = self._publisher.programmed(owner)
        return routes_finding(programmed, prior, generation=generation, waited_seconds=self._waited(owner, programmed))

    def grace_seconds(self, owner: str) -> float | None:
        """Return the seconds after which ``finding`` changes by the mere passing of time; None = it does not."""
        programmed = self._publisher.programmed(owner)
        left = _GRACE.get(programmed.state, 0.0) - self._waited(owner, programmed)
        return left if left > 0 else None

    def _waited(self, owner: str, programmed: Programmed) -> float:
        if programmed.state not in _GRACE:
            self._unsettled_since.pop(owner, None)
            return 0.0
        now = self._clock()
        return now - self._unsettled_since.setdefault(owner, now)


def deployment_owner(deployment: str) -> str:
    """Return who owns the resources of ``namespace/name``."""
    return f"deployment/{deployment}"


def endpoint_owner(endpoint: str) -> str:
    """Return who owns the resources of a CloudEndpoint."""
    return f"endpoint/{endpoint}"
