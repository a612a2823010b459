"""The order of work, with a clock that tests move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tandem_operator.backlog import URGENT_IN_A_ROW, Backlog, Backoff, Bucket


def a_backlog() -> Backlog[str]:
    return Backlog(Backoff(first_seconds=1, longest_seconds=60), Bucket(per_second=1000, burst=1000))


def test_a_key_that_is_added_twice_is_worked_on_once():
    backlog = a_backlog()
    backlog.add("a", 0)
    backlog.add("a", 1)
    assert backlog.pop(2) == ("a", 2)
    assert backlog.pop(2) is None


def test_keys_come_in_the_order_of_arrival():
    backlog = a_backlog()
    for key in "cab":
        backlog.add(key, 0)
    assert [backlog.pop(0)[0] for _ in range(3)] == ["c", "a", "b"]


def drained(backlog):
    """Return the keys that are due, in order."""
    keys = []
    while (popped := backlog.pop(0)) is not None:
        keys.append(popped[0])
        backlog.done(popped[0], 0)
    return "".join(keys)


def test_urgent_keys_come_first_and_a_key_that_becomes_urgent_moves_and_is_worked_on_once():
    backlog = a_backlog()
    for key in "abc":
        backlog.add(key, 0)
    backlog.add("x", 0, urgent=True)
    backlog.add("c", 5, urgent=True)
    backlog.add("c", 6)
    backlog.add_after("c", 1, 6)
    assert len(backlog) == 4
    assert backlog.pop(7) == ("x", 7)
    assert backlog.pop(7) == ("c", 7)
    backlog.done("x", 7)
    backlog.done("c", 7)
    assert drained(backlog) == "ab"
    assert backlog.next_at() is None


def test_a_key_that_becomes_urgent_while_it_is_worked_on_comes_again_before_others():
    for later in (True, False):
        backlog = a_backlog()
        for key in "ab":
            backlog.add(key, 0)
        backlog.pop(0)
        backlog.add("a", 0, urgent=not later)
        backlog.add("a", 0, urgent=later)
        backlog.done("a", 0)
        assert drained(backlog) == "ab"


def test_urgent_keys_do_not_keep_the_others_waiting_for_ever():
    backlog = a_backlog()
    backlog.add("a", 0)
    backlog.add("b", 0)
    worked_on = []
    for number in range(2 * URGENT_IN_A_ROW + 2):
        backlog.add(f"urgent-{number}", 0, urgent=True)
        backlog.add(f"more-{number}", 0, urgent=True)
        worked_on.append(backlog.pop(0)[0])
    assert [worked_on.index(key) for key in "ab"] == [URGENT_IN_A_ROW, 2 * URGENT_IN_A_ROW + 1]


def test_a_key_added_while_it_is_worked_on_comes_again_and_never_twice_at_once():
    backlog = a_backlog()
    backlog.add("a", 0)
    backlog.pop(0)
    backlog.add("a", 1)
    assert backlog.pop(1) is None
    backlog.done("a", 2)
    assert backlog.pop(2) == ("a", 0)
    backlog.done("a", 3)
    assert backlog.pop(3) is None


def test_a_key_that_falls_due_while_it_is_worked_on_comes_again():
    backlog = a_backlog()
    backlog.add("a", 0)
    backlog.pop(0)
    backlog.add_after("a", 5, 0)
    assert backlog.pop(6) is None
    backlog.done("a", 7)
    assert backlog.pop(7)[0] == "a"


def test_the_earlier_of_two_times_wins():
    backlog = a_backlog()
    backlog.add_after("a", 10, 0)
    backlog.add_after("a", 300, 0)
    backlog.add_after("a", 3, 0)
    assert backlog.next_at() == 3
    assert backlog.pop(2.9) is None
    assert backlog.pop(3)[0] == "a"
    backlog.done("a", 3)
    assert backlog.pop(1000) is None


def test_an_immediate_add_replaces_a_planned_one():
    backlog = a_backlog()
    backlog.add_after("a", 10, 0)
    backlog.add("a", 1)
    assert backlog.pop(1)[0] == "a"
    backlog.done("a", 1)
    assert backlog.next_at() is None


def test_failures_double_the_wait_up_to_the_longest_and_success_forgets_them():
    backlog = a_backlog()
    waits = []
    now = 0.0
    backlog.add("a", now)
    for _ in range(9):
        backlog.pop(now)
        waits.append(backlog.retry("a", now, jitter=0))
        backlog.done("a", now)
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    backlog.succeed("a")
    backlog.pop(now)
    assert backlog.retry("a", now, jitter=0) == 1


def test_a_general_outage_is_spread_over_time():
    backlog: Backlog[int] = Backlog(Backoff(first_seconds=0.1), Bucket(per_second=10, burst=5))
    waits = [backlog.retry(key, 0, jitter=0) for key in range(25)]
    assert waits[:5] == [0.1] * 5
    assert waits[-1] == pytest.approx(2.0)


def test_jitter_only_shortens_a_wait_and_by_at_most_a_fifth():
    backoff = Backoff(first_seconds=1, longest_seconds=60)
    assert backoff.delay_seconds(3, jitter=0) == 4
    assert backoff.delay_seconds(3, jitter=1) == pytest.approx(3.2)


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("add"), st.sampled_from("abc")),
            st.tuples(st.just("urgent"), st.sampled_from("abc")),
            st.tuples(st.just("add_after"), st.sampled_from("abc")),
            st.tuples(st.just("retry"), st.sampled_from("abc")),
            st.tuples(st.just("pop"), st.none()),
            st.tuples(st.just("done"), st.none()),
        ),
        max_size=60,
    )
)
def test_no_key_is_ever_lost_whatever_happens(steps):
    backlog = a_backlog()
    owed: set[str] = set()
    active: list[str] = []
    now = 0.0
    for action, key in steps:
        now += 0.5
        if action == "pop":
            if (popped := backlog.pop(now)) is not None:
                assert popped[0] not in active, "two workers on one key"
                active.append(popped[0])
                owed.discard(popped[0])
        elif action == "done":
            if active:
                backlog.done(active.pop(), now)
        else:
            owed.add(key)
            if action in ("add", "urgent"):
                backlog.add(key, now, urgent=action == "urgent")
            elif action == "add_after":
                backlog.add_after(key, 2, now)
            else:
                backlog.retry(key, now, jitter=0)
    for key in active:
        backlog.done(key, now)
    found = set()
    while (popped := backlog.pop(now + 1000)) is not None:
        assert popped[0] not in found, "one key in two lanes"
        found.add(popped[0])
    assert owed <= found


def test_an_echo_of_our_own_write_brings_no_failed_attempt_forward():
    for while_active in (True, False):
        backlog = a_backlog()
        backlog.add("a", 0)
        backlog.pop(0)
        if while_active:
            backlog.glance("a", 0)
        backlog.retry("a", 0, jitter=0)
        backlog.done("a", 0)
        if not while_active:
            backlog.glance("a", 0)
        assert backlog.pop(0) is None
        assert backlog.next_at() == 1
        assert backlog.pop(1) == ("a", 0)


def test_an_echo_of_what_went_well_is_looked_at():
    for while_active in (True, False):
        backlog = a_backlog()
        backlog.add("a", 0)
        backlog.pop(0)
        if while_active:
            backlog.glance("a", 0)
        backlog.succeed("a")
        backlog.done("a", 0)
        if not while_active:
            backlog.glance("a", 0)
        assert backlog.pop(0) == ("a", 0)


def test_news_brings_a_failed_attempt_forward_also_after_an_echo():
    backlog = a_backlog()
    backlog.add("a", 0)
    backlog.pop(0)
    backlog.glance("a", 0)
    backlog.add("a", 0)
    backlog.retry("a", 0, jitter=0)
    backlog.done("a", 0)
    assert backlog.pop(0) == ("a", 0)


def test_a_new_term_begins_with_nothing():
    backlog = a_backlog()
    for key in "ab":
        backlog.add(key, 0, urgent=True)
    backlog.add_after("c", 1, 0)
    backlog.clear()
    assert backlog.pop(5) is None
    assert backlog.next_at() is None
