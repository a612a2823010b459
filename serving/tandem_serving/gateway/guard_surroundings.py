"""What all exchanges of one guard share. Made by ``guard.serve``, handed to each stream."""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass

from tandem_serving.gateway.guard_decide import Deny, RequestFacts, Send, decide
from tandem_serving.gateway.guard_limits import ByteBudget, Places, RepeatMemory
from tandem_serving.gateway.guard_onward import nobody_is_left
from tandem_serving.gateway.policy_board import PolicyBoard
from tandem_serving.gateway.usage import UsageMeter


@dataclass(frozen=True)
class Surroundings:
    """The policy of the moment, the limits, and the clock."""

    board: PolicyBoard
    meter: UsageMeter
    asked: RepeatMemory
    room: ByteBudget
    places: Places
    large_bodies: Executor
    clock: Callable[[], float]
    policy_limit_seconds: float
    room_wait_seconds: float

    def verdict(self, request: RequestFacts) -> Send | Deny:
        """Judge by the view of this moment: policy and key are of one view, never of two."""
        return decide(request, self.board.current(), now=self.clock(), limit_seconds=self.policy_limit_seconds)

    def nobody_is_left(self, request: RequestFacts) -> bool:
        """Return whether this cloud is the last that could answer, by the view of this moment."""
        return nobody_is_left(request, self.board.current(), now=self.clock(), limit_seconds=self.policy_limit_seconds)
