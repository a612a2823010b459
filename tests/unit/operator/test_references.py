"""What a deployment refers to when its spec is not understood: what it referred to before."""

import pytest
from support.builders import a_model_deployment, from_server
from tandem_operator.references import last_known


def unreadable(*, names=("shared", "team/chat"), spec=None, **metadata):
    spec = {"fromTheFuture": 1, "cloud": {"endpoints": [{"name": "eu", "new": 1}]}} if spec is None else spec
    raw = from_server(a_model_deployment("chat"), **metadata)
    return {**raw, "spec": spec, "status": {"names": list(names)}}


def test_names_are_those_that_were_granted_and_endpoints_those_that_are_named():
    found = last_known(unreadable())
    assert (found.names, found.held, found.endpoints) == (("shared",), {"shared", "team/chat"}, ("eu",))
    assert found.metadata.name == "chat"


@pytest.mark.parametrize(
    "spec", [{}, {"cloud": None}, {"cloud": {"endpoints": "eu"}}, {"cloud": {"endpoints": [{"called": "eu"}]}}]
)
def test_endpoints_that_cannot_be_read_are_none(spec):
    assert last_known(unreadable(spec=spec)).endpoints == ()


def test_one_that_is_being_deleted_refers_to_nothing():
    found = last_known(unreadable(deletionTimestamp="2026-01-01T00:00:00Z"))
    assert (found.names, found.endpoints) == ((), ())
