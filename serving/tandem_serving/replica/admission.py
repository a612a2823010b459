"""Whether this replica takes a request: predicted time to first token against the objective.

The gate calls ``decide`` before the engine sees a request and ``missed`` when the first token did not come in time.
Pure: load and prediction go in, a verdict comes out. It refuses to know of HTTP; ``answers`` turns verdicts into it.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BOUND_OBJECTIVES: Final = 2.0
"""The first token of a request that can still go elsewhere may take this many objectives …"""

BOUND_FLOOR_SECONDS: Final = 0.5
"""… and this much more: an objective of some milliseconds must not kill healthy work."""

QUEUE_OBJECTIVES: Final = 10.0
"""A request that has nowhere else to go queues while it is predicted to wait at most this many objectives."""

QUEUE_MOST: Final = 256
"""Requests without a first token at most."""

LAST_BOUND_OBJECTIVES: Final = 2 * QUEUE_OBJECTIVES
LAST_BOUND_FLOOR_SECONDS: Final = 10.0
"""The bound for a request that has nowhere else to go: generous, but a dead engine must not hold it for ever."""

LOCAL_ATTEMPTS: Final = 2
"""Replicas that a gateway asks before it looks further, when it does not say."""

LATE_ATTEMPTS: Final = 2
"""A refusal costs a millisecond; a bound without a token costs seconds, and work that is thrown away. Who sat through
two of them goes to a cloud that may take overflow; who may not leave sits through one, then has the long bound."""


class Verdict(StrEnum):
    """What becomes of a request."""

    ADMIT = "admit"
    """The engine takes it, in time."""

    QUEUE = "queue"
    """The engine takes it, late: it has nowhere else to go."""

    ELSEWHERE = "elsewhere"
    """A retriable 503: another replica, or whatever the gateway's chain says next."""

    REDIRECT = "redirect"
    """The cloud is asked, with reason overflow."""

    FULL = "full"
    """A final 429."""


@dataclass(frozen=True)
class Attempt:
    """How a request arrived."""

    number: int
    """The gateway's count on this leg, from 1; 0 when nobody counts, so nobody would try again."""

    local_attempts: int = LOCAL_ATTEMPTS
    """How many replicas the gateway asks at first: attempts beyond are of the end of its chain."""

    reason: str | None = None
    """Why it left local before; a request with a reason came back."""

    stays_local: bool = False
    """The client asked that it never leaves."""


@dataclass(frozen=True)
class Terms:
    """What the deployment allows and promises."""

    objective_seconds: float
    overflow: bool
    cloud: bool


@dataclass(frozen=True)
class Decision:
    """A verdict, and how long the first token may take when the engine gets the request."""

    verdict: Verdict
    bound_seconds: float


def decide(attempt: Attempt, terms: Terms, *, predicted_seconds: float | None, waiting: int) -> Decision:
    """Return what becomes of a request that just arrived.

    ``predicted_seconds=None`` means that nothing was measured yet: that is not the same as full. ``waiting`` counts
    requests whose first token is not out.
    """
    verdict = _verdict(attempt, terms, predicted_seconds, waiting)
    # What queues has nowhere else to go: a short bound would turn "full" into a failure, and so into a failover.
    return Decision(verdict, _last_bound(terms) if verdict is Verdict.QUEUE else _bound(attempt, terms))


def without_room(attempt: Attempt, terms: Terms) -> Verdict:
    """Return what becomes of a request whose body there is no memory for: the replica is full, not broken."""
    return _verdict(attempt, terms, None, QUEUE_MOST)


def missed(attempt: Attempt, terms: Terms) -> Verdict:
    """Return what becomes of a request whose first token did not come within its bound."""
    enough = terms.overflow and _may_leave(attempt, terms) and LATE_ATTEMPTS <= attempt.number <= attempt.local_attempts
    return Verdict.REDIRECT if enough else Verdict.ELSEWHERE


def _verdict(attempt: Attempt, terms: Terms, predicted: float | None, waiting: int) -> Verdict:
    in_time = predicted is None or predicted <= terms.objective_seconds
    if in_time and waiting < QUEUE_MOST:
        return Verdict.ADMIT
    if _another_replica(attempt):
        return Verdict.ELSEWHERE
    if _overflows(attempt, terms):
        return Verdict.REDIRECT
    bearable = predicted is None or predicted <= QUEUE_OBJECTIVES * terms.objective_seconds
    return Verdict.QUEUE if bearable and waiting < QUEUE_MOST else Verdict.FULL


def _bound(attempt: Attempt, terms: Terms) -> float:
    others = _may_leave(attempt, terms) or attempt.number < LATE_ATTEMPTS
    if others and (_another_replica(attempt) or _next_is_cloud(attempt, terms)):
        return BOUND_OBJECTIVES * terms.objective_seconds + BOUND_FLOOR_SECONDS
    return _last_bound(terms)


def _last_bound(terms: Terms) -> float:
    return LAST_BOUND_OBJECTIVES * terms.objective_seconds + LAST_BOUND_FLOOR_SECONDS


def _another_replica(attempt: Attempt) -> bool:
    return attempt.reason is None and 0 < attempt.number < attempt.local_attempts


def _next_is_cloud(attempt: Attempt, terms: Terms) -> bool:
    return attempt.number == attempt.local_attempts and _may_leave(attempt, terms)


def _may_leave(attempt: Attempt, terms: Terms) -> bool:
    return attempt.reason is None and terms.cloud and not attempt.stays_local


def _overflows(attempt: Attempt, terms: Terms) -> bool:
    return terms.overflow and _next_is_cloud(attempt, terms)
