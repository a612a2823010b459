"""A status is written when it differs, and Events follow it; an Event that is lost costs nothing else."""

from datetime import UTC, datetime

import pytest
from support.builders import a_model_deployment, from_server
from tandem_operator import conditions
from tandem_operator.api.v1alpha1 import ModelDeploymentStatus
from tandem_operator.clients.cluster import DEPLOYMENTS, NotLeader
from tandem_operator.conditions import Finding
from tandem_operator.errors import Retry
from tandem_operator.recorder import Recorder

NOW = datetime(2026, 5, 1, tzinfo=UTC)
READY = conditions.set_condition((), "Ready", Finding("True", "LocalAnswers"), generation=1, now=NOW)
STATUS = ModelDeploymentStatus(observed_generation=1, conditions=READY)


class Cluster:
    def __init__(self, event_error=None):
        self.written = []
        self.told = []
        self._event_error = event_error

    async def apply_status(self, resource, raw, status):
        self.written.append(status)
        return raw | {"status": status}

    async def create(self, resource, body):
        if self._event_error:
            raise self._event_error
        self.told.append(body["reason"])


def a_raw(status=None):
    return from_server(a_model_deployment("chat", status=status))


async def test_an_equal_status_is_not_written():
    cluster = Cluster()
    raw = a_raw(STATUS.model_dump(mode="json", by_alias=True))
    assert await Recorder(cluster).record(DEPLOYMENTS, raw, READY, STATUS) is raw
    assert (cluster.written, cluster.told) == ([], [])


async def test_another_status_is_written_whole_and_told():
    cluster = Cluster()
    after = await Recorder(cluster).record(DEPLOYMENTS, a_raw(), (), STATUS)
    assert cluster.written == [STATUS.model_dump(mode="json", by_alias=True)]
    assert after["status"] == cluster.written[0]
    assert cluster.told == ["LocalAnswers"]


async def test_a_lost_event_is_no_failure_unless_this_process_does_not_lead():
    await Recorder(Cluster(Retry("full"))).record(DEPLOYMENTS, a_raw(), (), STATUS)
    with pytest.raises(NotLeader):
        await Recorder(Cluster(NotLeader("no"))).record(DEPLOYMENTS, a_raw(), (), STATUS)
