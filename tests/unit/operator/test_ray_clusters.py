"""Who lost the Lease writes to no Ray cluster either."""

import asyncio
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tandem_operator.clients.cluster import NotLeader
from tandem_operator.clients.ray_metrics import RayMetrics
from tandem_operator.config import RayCluster
from tandem_operator.errors import Hold
from tandem_operator.ray_clusters import FencedClient, make_engines


class Session:
    def __init__(self):
        self.sent = []

    def request(self, method, url, **_):
        self.sent.append((method, url))
        raise OSError("sent, and that is all")


class SlowSession:
    """Sends at once, and answers when it is told to."""

    def __init__(self):
        self.answers = asyncio.Event()
        self.ended = ""

    def request(self, _method, _url, **_):
        return self

    async def __aenter__(self):
        try:
            await self.answers.wait()
        except asyncio.CancelledError:
            self.ended = "cut off"
            raise
        self.ended = "answered"
        return self

    async def __aexit__(self, *_):
        return None

    status = 200

    async def text(self, **_):
        return "null"


def a_client(session, fence):
    metrics = RayMetrics(CollectorRegistry())
    return FencedClient(session, fence=fence, cluster="lab", url="http://ray", token=lambda: "t", metrics=metrics)


WRITES = [lambda c: c.put({"applications": []}), lambda c: c.scale("app", "replica", 1)]


@pytest.mark.parametrize("write", WRITES)
async def test_a_write_is_sent_by_the_leader_alone(write):
    leader, other = Session(), Session()
    with pytest.raises(Exception, match="sent, and that is all"):
        await write(a_client(leader, lambda: 1.0))
    assert len(leader.sent) == 1
    with pytest.raises(NotLeader):
        await write(a_client(other, lambda: 0.0))
    assert other.sent == []


@pytest.mark.parametrize("write", WRITES)
async def test_a_write_that_outlasts_the_lease_is_let_go_of(write):
    session, left = SlowSession(), iter([0.01, 0.01, 0.005])
    with pytest.raises(NotLeader, match="was let go of"):
        await write(a_client(session, lambda: next(left, 0.0)))
    assert session.ended == "cut off"


@pytest.mark.parametrize("write", WRITES)
async def test_a_slow_write_goes_on_while_the_lease_is_renewed(write):
    session, asked = SlowSession(), []

    def fence():
        asked.append(None)
        if len(asked) == 5:
            session.answers.set()
        return 0.01

    await write(a_client(session, fence))
    assert session.ended == "answered"


async def test_a_write_that_is_cancelled_is_cut_off():
    session = SlowSession()
    task = asyncio.create_task(a_client(session, lambda: 60.0).put({"applications": []}))
    while not session.ended:
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert session.ended == "cut off"


async def test_a_token_that_cannot_be_read_is_no_silence_of_ray(tmp_path):
    cluster = RayCluster(url="http://ray", token_file=tmp_path / "missing")
    session, metrics = Session(), RayMetrics(CollectorRegistry())
    engine = make_engines({"lab": cluster}, session, metrics, cluster_uid="uid", fence=lambda: 1.0)["lab"]
    with pytest.raises(Hold, match=r"lab is not asked: its tokenFile cannot be read: .*missing"):
        await engine.observe("app")
    assert session.sent == []


def test_each_cluster_of_the_configuration_gets_an_engine():
    metrics = RayMetrics(CollectorRegistry())
    clusters = {name: RayCluster(url=f"http://{name}", token_file=Path("token")) for name in ("a", "b")}
    assert set(make_engines(clusters, Session(), metrics, cluster_uid="uid", fence=lambda: 1.0)) == {"a", "b"}
