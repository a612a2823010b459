"""Objects as they come in, also from an operator of a later version that was rolled back."""

import pytest
from support.builders import a_model_deployment, from_server
from tandem_operator.api.v1alpha1 import ModelDeployment, ModelDeploymentStatus
from tandem_operator.errors import Reject
from tandem_operator.parsing import parse, parse_status

TARGET = {"replica": "r1", "address": "10.0.0.1", "port": 30001, "zone": "a"}
CONDITION = {"type": "CloudReachable", "status": "True", "reason": "R", "message": "", "observedGeneration": 1}
LATER = {
    "observedGeneration": 1,
    "names": ["chat", "default/chat"],
    "conditions": [{**CONDITION, "lastTransitionTime": "2026-01-01T00:00:00Z", "severity": "Info"}],
    "local": {"ready": 1, "granted": 3, "targets": [TARGET]},
    "cloud": {"spentUsd": "1"},
}


def test_of_a_later_versions_status_all_that_is_known_stays_known():
    raw = from_server(a_model_deployment("chat"), generation=1)
    for status in (
        parse(ModelDeployment, {**raw, "status": LATER}).status,
        parse_status(ModelDeploymentStatus, {"status": LATER}),
    ):
        assert status.names == ("chat", "default/chat")
        assert [(target.address, target.port) for target in status.local.targets] == [("10.0.0.1", 30001)]
        assert [(each.type, each.status) for each in status.conditions] == [("CloudReachable", "True")]


@pytest.mark.parametrize("status", [{"names": "chat"}, {"local": {"targets": [{"address": "10.0.0.1"}]}}, []])
def test_a_status_that_is_none_is_read_as_not_written(status):
    raw = from_server(a_model_deployment("chat"))
    assert parse(ModelDeployment, {**raw, "status": status}).status == ModelDeploymentStatus()
    assert parse_status(ModelDeploymentStatus, {"status": status}) == ModelDeploymentStatus()


def test_a_spec_of_a_later_version_is_refused_by_the_field():
    raw = from_server(a_model_deployment("chat"))
    raw["spec"]["fromTheFuture"] = 1
    with pytest.raises(Reject, match=r"spec\.fromTheFuture"):
        parse(ModelDeployment, raw)
