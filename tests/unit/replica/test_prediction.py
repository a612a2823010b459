"""The predicted time to first token: learned, forgotten, and never made of nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tandem_serving.replica.prediction import HALF_LIFE_SECONDS, Load, Predictor, Sample

IDLE = Load()
CALIBRATED = Predictor(anchors=(Sample(10, 0.11), Sample(1010, 1.11)))
"""0.1 s, and 1,000 tokens a second."""


def learned(predictor, samples, *, now=0.0):
    for sample in samples:
        predictor = predictor.after_first_output(sample, now=now)
    return predictor


def test_nothing_measured_predicts_nothing():
    assert Predictor().seconds(IDLE, 100, now=0.0) is None


def test_the_calibration_alone_predicts():
    assert CALIBRATED.seconds(IDLE, 500, now=0.0) == pytest.approx(0.6)


def test_what_waits_before_a_prompt_counts_as_its_own_tokens():
    assert CALIBRATED.seconds(Load(waiting_tokens=900), 100, now=0.0) == pytest.approx(1.1)


def test_short_prompts_alone_do_not_make_long_ones_look_slow():
    short = learned(CALIBRATED, [Sample(10, 0.11)] * 200)
    assert short.seconds(IDLE, 2010, now=0.0) == pytest.approx(2.11, rel=0.01)


def test_a_slower_engine_is_noticed():
    slower = learned(CALIBRATED, [Sample(tokens, 0.1 + tokens / 250) for tokens in range(0, 2000, 50)])
    assert slower.seconds(IDLE, 1000, now=0.0) == pytest.approx(4.1, rel=0.1)


def test_a_stall_is_forgotten():
    stalled = learned(CALIBRATED, [Sample(100, 60.0)] * 5)
    assert stalled.seconds(IDLE, 100, now=0.0) > 10
    assert stalled.seconds(IDLE, 100, now=12 * HALF_LIFE_SECONDS) == pytest.approx(0.2, abs=0.1)


def test_without_calibration_what_was_seen_is_forgotten_whole():
    seen = learned(Predictor(), [Sample(100, 1.0)])
    assert seen.seconds(IDLE, 100, now=0.0) == pytest.approx(1.0)
    assert seen.seconds(IDLE, 100, now=40 * HALF_LIFE_SECONDS) is None


def test_an_oldest_request_that_is_late_makes_the_next_as_late():
    assert CALIBRATED.seconds(Load(late_seconds=5.0), 10, now=0.0) == pytest.approx(5.11)


@pytest.mark.parametrize(
    ("requests", "wait_seconds"),
    [
        pytest.param(3, 0.0, id="a slot is free"),
        pytest.param(4, 2.0, id="one must end first: 8 s over 4 slots"),
        pytest.param(11, 16.0, id="eight must end first"),
    ],
)
def test_waiting_for_a_slot_is_added(requests, wait_seconds):
    busy = CALIBRATED.after_request(8.0, now=0.0)
    predicted = busy.seconds(Load(requests=requests, slots=4), 10, now=0.0)
    assert predicted == pytest.approx(0.11 + wait_seconds)


@given(
    st.lists(st.tuples(st.integers(0, 100_000), st.floats(0, 600)), max_size=30),
    st.integers(0, 10**6),
    st.integers(1, 10**6),
)
def test_a_prediction_is_never_negative_and_never_shrinks_with_the_queue(samples, waiting, tokens):
    predictor = learned(CALIBRATED, [Sample(float(size), seconds) for size, seconds in samples])
    alone = predictor.seconds(IDLE, tokens, now=1.0)
    behind = predictor.seconds(Load(waiting_tokens=waiting), tokens, now=1.0)
    assert 0 <= alone <= behind
