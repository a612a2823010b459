"""How long a prompt would wait for its first token: learned from requests, newest first. Pure.

``seconds = base + per_token * tokens`` over the tokens that stand before the engine, this prompt's among them: least
squares, in which a sample's weight halves every half minute and the start-up's calibration keeps a little for ever.
So a stall is forgotten, and a replica that refuses everything finds its way back. Decoding beside the prefill shows
in the samples; waiting for one of the engine's slots is added by itself.
"""

from dataclasses import dataclass, replace
from typing import Final

HALF_LIFE_SECONDS: Final = 30.0
ANCHOR_WEIGHT: Final = 2.0
_FLAT_TOKENS: Final = 8.0
"""Below this spread of sizes (standard deviation, tokens) a slope would be made of noise."""


@dataclass(frozen=True)
class Sample:
    """``tokens`` stood before the engine, and the first output came after ``seconds``."""

    tokens: float
    seconds: float


@dataclass(frozen=True)
class Load:
    """What stands before and in the engine."""

    waiting_tokens: int = 0
    """Prompt tokens of requests without a first output."""

    requests: int = 0
    """Requests in the engine, waiting or running."""

    slots: int = 1
    """Requests that the engine runs at once."""

    late_seconds: float = 0.0
    """How far the oldest waiting request is past what was predicted for it: a stall shows here first."""


@dataclass(frozen=True)
class _Sums:
    weight: float = 0.0
    x: float = 0.0
    y: float = 0.0
    xx: float = 0.0
    xy: float = 0.0

    def plus(self, sample: Sample, weight: float) -> "_Sums":
        x, y = sample.tokens, sample.seconds
        return _Sums(
            self.weight + weight,
            self.x + weight * x,
            self.y + weight * y,
            self.xx + weight * x * x,
            self.xy + weight * x * y,
        )

    def times(self, factor: float) -> "_Sums":
        return _Sums(self.weight * factor, self.x * factor, self.y * factor, self.xx * factor, self.xy * factor)


@dataclass(frozen=True)
class Line:
    """The fitted ``seconds = base + per_token * tokens``."""

    base_seconds: float
    seconds_per_token: float


@dataclass(frozen=True)
class Predictor:
    """Immutable: each sample gives a new one."""

    anchors: tuple[Sample, ...] = ()
    sums: _Sums = _Sums()
    at: float = 0.0
    service_weight: float = 0.0
    service_seconds: float = 0.0

    def after_first_output(self, sample: Sample, *, now: float) -> "Predictor":
        faded = self._faded(now)
        return replace(faded, sums=faded.sums.plus(sample, 1.0))

    def after_request(self, seconds: float, *, now: float) -> "Predictor":
        """Learn how long one request occupied a slot."""
        faded = self._faded(now)
        weight = faded.service_weight + 1.0
        mean = faded.service_seconds + (seconds - faded.service_seconds) / weight
        return replace(faded, service_weight=weight, service_seconds=mean)

    def seconds(self, load: Load, tokens: int, *, now: float) -> float | None:
        """Return the time to first token of a prompt of ``tokens``; None while nothing was measured."""
        line = self.line(now=now)
        if line is None:
            return None
        prefill = line.base_seconds + line.seconds_per_token * (load.waiting_tokens + tokens)
        return prefill + load.late_seconds + self._slot_seconds(load)

    def line(self, *, now: float) -> Line | None:
        sums = self._faded(now).sums
        for anchor in self.anchors:
            sums = sums.plus(anchor, ANCHOR_WEIGHT)
        return _fit(sums)

    def _slot_seconds(self, load: Load) -> float:
        beyond = max(0, load.requests + 1 - load.slots)
        return beyond * self.service_seconds / load.slots

    def _faded(self, now: float) -> "Predictor":
        factor = 0.5 ** (max(0.0, now - self.at) / HALF_LIFE_SECONDS)
        return replace(self, sums=self.sums.times(factor), at=now, service_weight=self.service_weight * factor)


def _fit(sums: _Sums) -> Line | None:
    if sums.weight <= 1e-9:
        return None
    mean_x, mean_y = sums.x / sums.weight, sums.y / sums.weight
    variance = sums.xx / sums.weight - mean_x * mean_x
    if variance < _FLAT_TOKENS**2:
        return Line(base_seconds=mean_y, seconds_per_token=0.0)
    slope = max(0.0, (sums.xy / sums.weight - mean_x * mean_y) / variance)
    base = max(0.0, mean_y - slope * mean_x)
    return Line(base_seconds=base, seconds_per_token=slope)
