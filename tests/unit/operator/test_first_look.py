"""No gateway is let in before everything was looked at; one bad object does not keep all the others from them."""

from tandem_operator.cache import Key, Kind
from tandem_operator.first_look import MAX_ATTEMPTS, FirstLook

A, B = (Key(Kind.DEPLOYMENT, "default", name) for name in "ab")


def test_it_is_over_when_the_last_one_was_looked_at():
    look = FirstLook([A, B])
    look.done(A)
    look.done(A)
    assert not look.over.is_set()
    look.done(B)
    assert look.over.is_set()


def test_with_nothing_to_look_at_it_is_over():
    assert FirstLook([]).over.is_set()


def test_one_that_keeps_failing_is_given_up():
    look = FirstLook([A])
    for _ in range(MAX_ATTEMPTS):
        assert not look.over.is_set()
        look.failed(A)
    assert look.over.is_set()
    look.failed(B)
