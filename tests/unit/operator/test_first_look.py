"""No gateway is let in before everything was decided; one bad object does not keep all the others from them."""

import pytest
from tandem_operator.errors import Hold, Retry
from tandem_operator.first_look import MAX_ATTEMPTS, FirstLook

A, B = "deployment/default/a", "endpoint/b"


def test_it_is_over_when_the_last_one_was_decided():
    look = FirstLook([A, B])
    look.decided(A)
    look.decided(A)
    assert not look.over.is_set()
    look.decided(B)
    assert look.over.is_set()


def test_with_nothing_to_look_at_it_is_over():
    assert FirstLook([]).over.is_set()


def test_one_that_keeps_failing_is_given_up():
    look = FirstLook([A])
    for _ in range(MAX_ATTEMPTS):
        assert not look.over.is_set()
        look.failed(A, ValueError())
    assert look.over.is_set()
    look.failed(B, ValueError())


@pytest.mark.parametrize("error", [Retry("the API server is gone"), Hold("unreadable")])
def test_an_outage_is_waited_out_however_long_since_what_was_not_read_would_be_taken_from_gateways(error):
    look = FirstLook([A])
    for _ in range(10 * MAX_ATTEMPTS):
        look.failed(A, error)
    assert not look.over.is_set()
    look.decided(A)
    assert look.over.is_set()
