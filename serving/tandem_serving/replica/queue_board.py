"""The requests in the engine: what admission predicts from. One per replica, used by the gate on one event loop."""

from collections.abc import Callable
from dataclasses import dataclass

from tandem_serving.replica.metrics import ReplicaMetrics
from tandem_serving.replica.prediction import Load, Predictor, Sample
from tandem_serving.replica.prompt_size import BytesPerToken, PromptSize


@dataclass
class Ticket:
    """One request in the engine."""

    size: PromptSize
    guess: int
    predicted_seconds: float | None
    at: float
    tokens: int
    """The guess until the engine has counted."""

    ahead: int
    """Prompt tokens that stood before the engine when it came."""

    waited_for_slot: bool
    counted: int = 0


class Board:
    """Keeps the sums that a prediction needs, so that each costs the same however many wait."""

    def __init__(
        self,
        predictor: Predictor,
        *,
        slots: int,
        most_tokens: int,
        metrics: ReplicaMetrics,
        clock: Callable[[], float],
    ) -> None:
        self._predictor = predictor
        self._ratio = BytesPerToken()
        self._slots = slots
        self._most_tokens = most_tokens
        self._metrics = metrics
        self._clock = clock
        self._waiting: dict[int, Ticket] = {}
        self._waiting_tokens = 0
        self._requests = 0
        metrics.watch(
            lambda: len(self._waiting), lambda: self._waiting_tokens, lambda: self._requests, self._prefill_rate
        )

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def guess(self, size: PromptSize) -> int:
        return self._ratio.tokens(size, most=self._most_tokens)

    def predict(self, tokens: int) -> float | None:
        now = self._clock()
        predicted = self._predictor.seconds(self._load(now), tokens, now=now)
        if predicted is not None:
            self._metrics.predicted_first_token.observe(predicted)
        return predicted

    def enter(self, size: PromptSize, guess: int, predicted_seconds: float | None) -> Ticket:
        ticket = Ticket(
            size=size,
            guess=guess,
            predicted_seconds=predicted_seconds,
            at=self._clock(),
            tokens=guess,
            ahead=self._waiting_tokens,
            waited_for_slot=self._requests >= self._slots,
        )
        self._waiting[id(ticket)] = ticket
        self._waiting_tokens += guess
        self._requests += 1
        return ticket

    def counted(self, ticket: Ticket, tokens: int) -> None:
        """Correct the guess: the engine has tokenised one of the request's prompts."""
        self._metrics.prompt_tokens.inc(tokens)
        ticket.counted += tokens
        if id(ticket) in self._waiting:
            self._waiting_tokens += ticket.counted - ticket.tokens
            ticket.tokens = ticket.counted

    def first_output(self, ticket: Ticket) -> None:
        """Learn from a first output, and count the request as running."""
        if not self._stop_waiting(ticket):
            return
        now = self._clock()
        seconds = now - ticket.at
        self._metrics.first_token.observe(seconds)
        if ticket.predicted_seconds:
            self._metrics.prediction_ratio.observe(seconds / ticket.predicted_seconds)
        if ticket.counted:
            self._metrics.guessed_prompt_tokens.inc(ticket.guess)
            self._ratio = self._ratio.after(ticket.size, ticket.counted)
        if not ticket.waited_for_slot:
            sample = Sample(ticket.ahead + ticket.tokens, seconds)
            self._predictor = self._predictor.after_first_output(sample, now=now)

    def leave(self, ticket: Ticket, *, answered: bool) -> None:
        """Forget a request; only one that the engine answered tells how long one takes."""
        refused = self._stop_waiting(ticket)
        self._requests -= 1
        if answered and not refused:
            now = self._clock()
            self._predictor = self._predictor.after_request(now - ticket.at, now=now)

    def _stop_waiting(self, ticket: Ticket) -> bool:
        if self._waiting.pop(id(ticket), None) is None:
            return False
        self._waiting_tokens -= ticket.tokens
        return True

    def _load(self, now: float) -> Load:
        return Load(self._waiting_tokens, self._requests, self._slots, self._late_seconds(now))

    def _late_seconds(self, now: float) -> float:
        oldest = next(iter(self._waiting.values()), None)
        if oldest is None or oldest.predicted_seconds is None:
            return 0.0
        return max(0.0, now - oldest.at - oldest.predicted_seconds)

    def _prefill_rate(self) -> float:
        line = self._predictor.line(now=self._clock())
        return 1 / line.seconds_per_token if line and line.seconds_per_token else 0.0
