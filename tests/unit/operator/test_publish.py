"""What becomes of published routes, as a condition: neither a moment's delay nor a new leader is news."""

from datetime import UTC, datetime

import pytest
from tandem_contract.xds import Programmed, State
from tandem_operator import conditions, publish
from tandem_operator.api.v1alpha1 import Condition

NOW = datetime(2026, 5, 1, tzinfo=UTC)
PRIOR = Condition(
    type="RoutesProgrammed", status="True", reason="Programmed", message="m", observed_generation=3,
    last_transition_time=NOW,
)  # fmt: skip


def finding(state, *, prior=PRIOR, generation=3, waited=0.0):
    return publish.routes_finding(Programmed(state, "bad", "gw-1"), prior, generation=generation, waited_seconds=waited)


def test_acknowledged_is_programmed():
    assert finding(State.YES).status == "True"


def test_a_refusal_carries_the_gateways_own_words():
    found = finding(State.REJECTED)
    assert (found.status, found.reason) == ("False", "Rejected")
    assert "gw-1" in found.message
    assert "bad" in found.message


@pytest.mark.parametrize("state", [State.PENDING, State.NO_GATEWAY])
def test_during_the_grace_the_condition_stays_as_it_is(state):
    found = finding(state)
    assert (found.status, found.reason, found.message) == ("True", "Programmed", "m")


@pytest.mark.parametrize("state", [State.PENDING, State.NO_GATEWAY])
def test_during_the_grace_nothing_is_said_of_a_new_generation(state):
    assert finding(state, generation=4) is None


@pytest.mark.parametrize(
    ("state", "grace", "reason"),
    [
        (State.PENDING, publish.PENDING_GRACE_SECONDS, conditions.PENDING),
        (State.NO_GATEWAY, publish.GATEWAY_GRACE_SECONDS, conditions.NO_GATEWAY),
    ],
)
def test_after_the_grace_the_truth_is_told(state, grace, reason):
    for generation in (3, 4):
        found = finding(state, generation=generation, waited=grace)
        assert (found.status, found.reason) == ("False", reason)


def test_without_a_gateway_a_new_object_is_told_so_at_once():
    assert finding(State.NO_GATEWAY, prior=None).reason == "NoGateway"
    assert finding(State.PENDING, prior=None) is None


class APublisher:
    """Answers as it is told."""

    def __init__(self):
        self.state = State.PENDING

    def put(self, owner, messages, documents):
        return True

    def drop(self, owner):
        return True

    def programmed(self, owner):
        return Programmed(self.state)


def test_the_grace_begins_anew_with_each_change_and_ends_when_it_is_over():
    now = 100.0
    publisher = APublisher()
    publishing = publish.Publishing(publisher, decided=lambda _: None, clock=lambda: now)
    publishing.put("a", [], [])
    assert publishing.finding("a", None, generation=1) is None
    now += publish.PENDING_GRACE_SECONDS
    assert publishing.finding("a", None, generation=1).reason == "Pending"
    assert publishing.grace_seconds("a") is None
    publishing.put("a", [], [])
    assert publishing.finding("a", None, generation=1) is None
    now += 1
    assert publishing.grace_seconds("a") == publish.PENDING_GRACE_SECONDS - 1
    publisher.state = State.YES
    assert publishing.finding("a", None, generation=1).status == "True"
    assert publishing.grace_seconds("a") is None


def test_each_put_and_each_drop_is_a_decision_whatever_was_published_before():
    decided = []
    publishing = publish.Publishing(APublisher(), decided=decided.append)
    publishing.put("a", [], [])
    publishing.drop("b")
    assert decided == ["a", "b"]
