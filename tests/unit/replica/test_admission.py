"""What becomes of a request: the whole table."""

import pytest
from tandem_serving.replica.admission import QUEUE_MOST, Attempt, Terms, Verdict, decide, missed, without_room

OVERFLOWS = Terms(objective_seconds=2.0, overflow=True, cloud=True)
FAILS_OVER_ONLY = Terms(objective_seconds=2.0, overflow=False, cloud=True)
LOCAL_ONLY = Terms(objective_seconds=2.0, overflow=False, cloud=False)

FIRST = Attempt(1)
SECOND = Attempt(2)
LAST = Attempt(3)
SECOND_OF_FOUR = Attempt(2, local_attempts=4)
FOURTH_OF_FOUR = Attempt(4, local_attempts=4)
BEHIND_FOUR = Attempt(5, local_attempts=4)
SECOND_OF_FOUR_HELD = Attempt(2, local_attempts=4, stays_local=True)
BACK = Attempt(2, reason="overflow")
BACK_AT_ONCE = Attempt(1, reason="overflow")
UNCOUNTED = Attempt(0)
FIRST_HELD = Attempt(1, stays_local=True)
SECOND_HELD = Attempt(2, stays_local=True)

IN_TIME, LATE, HOPELESS = 2.0, 2.1, 20.1


@pytest.mark.parametrize(
    ("attempt", "terms", "predicted", "verdict"),
    [
        pytest.param(FIRST, OVERFLOWS, IN_TIME, Verdict.ADMIT, id="just in time is in time"),
        pytest.param(FIRST, OVERFLOWS, None, Verdict.ADMIT, id="nothing measured is not full"),
        pytest.param(FIRST, OVERFLOWS, LATE, Verdict.ELSEWHERE, id="another replica is asked first"),
        pytest.param(SECOND, OVERFLOWS, LATE, Verdict.REDIRECT, id="then the cloud"),
        pytest.param(SECOND, OVERFLOWS, IN_TIME, Verdict.ADMIT, id="the other replica can"),
        pytest.param(SECOND, OVERFLOWS, HOPELESS, Verdict.REDIRECT, id="the cloud, however full"),
        pytest.param(SECOND_OF_FOUR, OVERFLOWS, LATE, Verdict.ELSEWHERE, id="two more replicas are asked"),
        pytest.param(FOURTH_OF_FOUR, OVERFLOWS, LATE, Verdict.REDIRECT, id="the last of four, then the cloud"),
        pytest.param(BEHIND_FOUR, OVERFLOWS, LATE, Verdict.QUEUE, id="four replicas and the clouds: queue"),
        pytest.param(SECOND_OF_FOUR, LOCAL_ONLY, HOPELESS, Verdict.ELSEWHERE, id="local only: two more replicas"),
        pytest.param(LAST, OVERFLOWS, LATE, Verdict.QUEUE, id="the clouds failed: queue"),
        pytest.param(LAST, OVERFLOWS, HOPELESS, Verdict.FULL, id="the clouds failed and the queue is full"),
        pytest.param(BACK, OVERFLOWS, LATE, Verdict.QUEUE, id="a reason: never redirected again"),
        pytest.param(BACK_AT_ONCE, OVERFLOWS, LATE, Verdict.QUEUE, id="a reason counts, not the attempt"),
        pytest.param(BACK, OVERFLOWS, HOPELESS, Verdict.FULL, id="back and the queue is full"),
        pytest.param(FIRST_HELD, OVERFLOWS, LATE, Verdict.ELSEWHERE, id="to stay local: another replica still"),
        pytest.param(SECOND_HELD, OVERFLOWS, LATE, Verdict.QUEUE, id="to stay local: never the cloud"),
        pytest.param(SECOND_HELD, OVERFLOWS, HOPELESS, Verdict.FULL, id="to stay local and full"),
        pytest.param(FIRST, FAILS_OVER_ONLY, LATE, Verdict.ELSEWHERE, id="no overflow: another replica"),
        pytest.param(SECOND, FAILS_OVER_ONLY, LATE, Verdict.QUEUE, id="no overflow: full is not broken"),
        pytest.param(SECOND, FAILS_OVER_ONLY, HOPELESS, Verdict.FULL, id="no overflow: final, or it would fail over"),
        pytest.param(FIRST, LOCAL_ONLY, HOPELESS, Verdict.ELSEWHERE, id="local only: another replica"),
        pytest.param(SECOND, LOCAL_ONLY, LATE, Verdict.QUEUE, id="local only: queue"),
        pytest.param(SECOND, LOCAL_ONLY, HOPELESS, Verdict.FULL, id="local only and full"),
        pytest.param(UNCOUNTED, OVERFLOWS, LATE, Verdict.QUEUE, id="nobody counts, nobody would retry"),
        pytest.param(UNCOUNTED, OVERFLOWS, HOPELESS, Verdict.FULL, id="nobody counts, and full"),
    ],
)
def test_verdict(attempt, terms, predicted, verdict):
    assert decide(attempt, terms, predicted_seconds=predicted, waiting=0).verdict is verdict


@pytest.mark.parametrize(
    ("attempt", "verdict"),
    [
        pytest.param(FIRST, Verdict.ELSEWHERE, id="first attempt"),
        pytest.param(SECOND, Verdict.REDIRECT, id="second attempt"),
        pytest.param(BACK, Verdict.FULL, id="back from the cloud"),
        pytest.param(UNCOUNTED, Verdict.FULL, id="not counted"),
    ],
)
@pytest.mark.parametrize("predicted", [0.001, None])
def test_a_full_queue_takes_nobody_however_fast_it_is_predicted_to_move(attempt, verdict, predicted):
    assert decide(attempt, OVERFLOWS, predicted_seconds=predicted, waiting=QUEUE_MOST - 1).verdict is Verdict.ADMIT
    assert decide(attempt, OVERFLOWS, predicted_seconds=predicted, waiting=QUEUE_MOST).verdict is verdict


@pytest.mark.parametrize(
    ("attempt", "terms", "seconds"),
    [
        pytest.param(FIRST, OVERFLOWS, 4.5, id="another replica can be asked"),
        pytest.param(FIRST, LOCAL_ONLY, 4.5, id="another replica can be asked, local only"),
        pytest.param(SECOND, OVERFLOWS, 4.5, id="a cloud can be asked"),
        pytest.param(SECOND, FAILS_OVER_ONLY, 4.5, id="a cloud can be asked, as failover"),
        pytest.param(SECOND_OF_FOUR, OVERFLOWS, 4.5, id="a third replica can be asked"),
        pytest.param(SECOND_OF_FOUR, LOCAL_ONLY, 50.0, id="a third can, but long work would be thrown away again"),
        pytest.param(SECOND_OF_FOUR_HELD, OVERFLOWS, 50.0, id="the same for what may not leave"),
        pytest.param(SECOND, LOCAL_ONLY, 50.0, id="nobody else can"),
        pytest.param(SECOND_HELD, OVERFLOWS, 50.0, id="nobody else may"),
        pytest.param(LAST, OVERFLOWS, 50.0, id="the clouds failed"),
        pytest.param(BACK, OVERFLOWS, 50.0, id="back from the cloud"),
        pytest.param(UNCOUNTED, OVERFLOWS, 50.0, id="not counted"),
    ],
)
def test_the_bound_is_short_only_while_somebody_else_can_answer(attempt, terms, seconds):
    assert decide(attempt, terms, predicted_seconds=0.1, waiting=0).bound_seconds == pytest.approx(seconds)


def test_the_last_bound_is_longer_than_the_longest_wait_that_is_let_into_the_queue():
    decision = decide(LAST, OVERFLOWS, predicted_seconds=20.0, waiting=0)
    assert decision.verdict is Verdict.QUEUE
    assert decision.bound_seconds > 20.0


@pytest.mark.parametrize(
    ("attempt", "terms", "verdict"),
    [
        pytest.param(FIRST, OVERFLOWS, Verdict.ELSEWHERE, id="another replica"),
        pytest.param(SECOND, OVERFLOWS, Verdict.REDIRECT, id="the cloud"),
        pytest.param(Attempt(1, local_attempts=4), OVERFLOWS, Verdict.ELSEWHERE, id="another replica of four"),
        pytest.param(SECOND_OF_FOUR, OVERFLOWS, Verdict.REDIRECT, id="two were late: no third is waited for"),
        pytest.param(SECOND_OF_FOUR_HELD, OVERFLOWS, Verdict.ELSEWHERE, id="two were late, but it may not leave"),
        pytest.param(SECOND_OF_FOUR, FAILS_OVER_ONLY, Verdict.ELSEWHERE, id="two were late, and late is no overflow"),
        pytest.param(BEHIND_FOUR, OVERFLOWS, Verdict.ELSEWHERE, id="behind the clouds"),
        pytest.param(SECOND, FAILS_OVER_ONLY, Verdict.ELSEWHERE, id="the gateway's chain says what is next"),
        pytest.param(SECOND_HELD, OVERFLOWS, Verdict.ELSEWHERE, id="it may not leave"),
        pytest.param(BACK, OVERFLOWS, Verdict.ELSEWHERE, id="never redirected again"),
        pytest.param(LAST, OVERFLOWS, Verdict.ELSEWHERE, id="nothing is left"),
    ],
)
def test_a_first_token_that_did_not_come(attempt, terms, verdict):
    assert missed(attempt, terms) is verdict


def test_what_queues_because_it_may_not_overflow_is_not_made_a_failover_by_a_short_bound():
    decision = decide(SECOND, FAILS_OVER_ONLY, predicted_seconds=15.0, waiting=0)
    assert decision.verdict is Verdict.QUEUE
    assert decision.bound_seconds > 15.0


@pytest.mark.parametrize(
    ("attempt", "terms", "verdict"),
    [
        pytest.param(FIRST, OVERFLOWS, Verdict.ELSEWHERE, id="another replica may have room"),
        pytest.param(SECOND, OVERFLOWS, Verdict.REDIRECT, id="the cloud"),
        pytest.param(SECOND, FAILS_OVER_ONLY, Verdict.FULL, id="full must not leave as a failover"),
        pytest.param(BACK, OVERFLOWS, Verdict.FULL, id="back from the cloud"),
    ],
)
def test_a_body_without_room_is_full_and_not_broken(attempt, terms, verdict):
    assert without_room(attempt, terms) is verdict
