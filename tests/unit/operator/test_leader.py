"""Who may lead, decided without a clock."""

from datetime import UTC, datetime

import pytest
from tandem_operator import leader
from tandem_operator.leader import Sighting, Terms

WALL = datetime(2026, 5, 1, tzinfo=UTC)
TERMS = Terms()


def a_lease(holder="other", *, version="5", renewed="t1", duration=15):
    return {
        "metadata": {"namespace": "tandem-system", "name": "tandem-operator", "resourceVersion": version},
        "spec": {
            "holderIdentity": holder, "leaseDurationSeconds": duration, "renewTime": renewed, "acquireTime": "t0",
            "leaseTransitions": 3,
        },
    }  # fmt: skip


def taken(lease, me="me"):
    return leader.taken(Sighting(lease, 0), me, TERMS, namespace="tandem-system", name="tandem-operator", wall=WALL)


@pytest.mark.parametrize(
    ("lease", "seen_for", "may"),
    [
        pytest.param(None, 0, True, id="there is none"),
        pytest.param(a_lease("me"), 0, True, id="it is ours"),
        pytest.param(a_lease(""), 0, True, id="it was given back"),
        pytest.param(a_lease("other"), 14.9, False, id="its holder may be alive"),
        pytest.param(a_lease("other"), 15, True, id="its holder was silent for the whole duration"),
        pytest.param(a_lease("other", duration=60), 15, False, id="its own duration counts"),
    ],
)
def test_who_may_take_it(lease, seen_for, may):
    assert leader.may_take(Sighting(lease, 100), "me", 100 + seen_for) is may


def test_only_a_renewal_starts_the_time_anew():
    first = leader.sight(None, a_lease(renewed="t1"), 10)
    assert leader.sight(first, a_lease(renewed="t1"), 20).at == 10
    assert leader.sight(first, a_lease(renewed="t2"), 20).at == 20
    assert leader.sight(first, None, 20).at == 20


def test_a_foreign_clock_does_not_count():
    years_ahead = a_lease(renewed="2099-01-01T00:00:00Z")
    assert leader.may_take(Sighting(years_ahead, 0), "me", 15)


def test_taking_over_counts_a_transition_and_renewing_does_not():
    assert taken(a_lease("other"))["spec"]["leaseTransitions"] == 4
    assert taken(a_lease("me"))["spec"]["leaseTransitions"] == 3
    assert taken(a_lease("me"))["spec"]["acquireTime"] == "t0"
    assert taken(None)["spec"]["leaseTransitions"] == 0


def test_followers_are_told_of_no_less_than_the_whole_duration():
    terms = Terms(duration_seconds=15.4, deadline_seconds=15.2)
    lease = leader.taken(Sighting(None, 0), "me", terms, namespace="tandem-system", name="tandem-operator", wall=WALL)
    assert not leader.may_take(Sighting(lease, 0), "other", 15.4 - 0.01)


def test_a_lease_is_replaced_only_in_the_version_that_was_read():
    assert taken(a_lease(version="77"))["metadata"]["resourceVersion"] == "77"
    assert "resourceVersion" not in taken(None)["metadata"]


def test_a_released_lease_is_free_at_once():
    released = leader.released(a_lease("me"), wall=WALL)
    assert leader.may_take(Sighting(released, 0), "other", 0)


def test_the_right_to_write_ends_before_anybody_else_may_lead():
    assert leader.writable_seconds(100, TERMS, 100) == 10
    assert leader.writable_seconds(100, TERMS, 109.5) == 0.5
    assert leader.writable_seconds(100, TERMS, 500) == 0
    assert leader.writable_seconds(None, TERMS, 0) == 0
    assert TERMS.deadline_seconds < TERMS.duration_seconds
