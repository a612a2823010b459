"""Who lost the Lease writes to no Ray cluster either."""

import pytest
from prometheus_client import CollectorRegistry
from tandem_operator.clients.cluster import NotLeader
from tandem_operator.clients.ray_metrics import RayMetrics
from tandem_operator.config import RayCluster
from tandem_operator.ray_clusters import FencedClient, make_engines


class Session:
    def __init__(self):
        self.sent = []

    def request(self, method, url, **_):
        self.sent.append((method, url))
        raise OSError("sent, and that is all")


def a_client(session, seconds):
    metrics = RayMetrics(CollectorRegistry())
    return FencedClient(
        session, fence=lambda: seconds, cluster="lab", url="http://ray", token=lambda: None, metrics=metrics
    )


@pytest.mark.parametrize("write", [lambda c: c.put({"applications": []}), lambda c: c.scale("app", "replica", 1)])
async def test_a_write_is_sent_by_the_leader_alone(write):
    leader, other = Session(), Session()
    with pytest.raises(Exception, match="sent, and that is all"):
        await write(a_client(leader, 1.0))
    assert len(leader.sent) == 1
    with pytest.raises(NotLeader):
        await write(a_client(other, 0.0))
    assert other.sent == []


def test_each_cluster_of_the_configuration_gets_an_engine():
    metrics = RayMetrics(CollectorRegistry())
    clusters = {"a": RayCluster(url="http://a"), "b": RayCluster(url="http://b")}
    assert set(make_engines(clusters, Session(), metrics, cluster_uid="uid", fence=lambda: 1.0)) == {"a", "b"}
