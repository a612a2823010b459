"""What is known of the API server, and how old it is, with an API server that answers as it is told."""

import asyncio
from contextlib import suppress

from support.builders import a_cloud_endpoint, a_model_deployment, from_server
from support.wait import eventually_async
from tandem_operator.cache import Key, Kind
from tandem_operator.clients.cluster import Listing
from tandem_operator.errors import Retry
from tandem_operator.metrics import Metrics
from tandem_operator.observing import Observing

CHAT = Key(Kind.DEPLOYMENT, "default", "chat")


def chat(version=5, **metadata):
    return from_server(a_model_deployment("chat"), resourceVersion=str(version), **metadata)


class ApiServer:
    """Lists what it is given; ``None`` = it does not answer."""

    def __init__(self, deployments):
        self.deployments = deployments
        self.version = 10
        self.lists = 0

    async def list_all(self, kind):
        if self.deployments is None:
            raise Retry("no answer")
        self.lists += 1
        self.version += 1
        return Listing(self.deployments if kind is Kind.DEPLOYMENT else [], self.version)


class Watched:
    def __init__(self, server, *, relist_seconds=1000.0):
        self.keys = []
        self.urgent = []
        self.server = server
        self.metrics = Metrics()
        self.glances = []
        self.observing = Observing(server, self.metrics, relist_seconds=relist_seconds, queue=self)

    def add(self, key, *, urgent=False):
        self.keys.append(key)
        if urgent:
            self.urgent.append(key)

    def glance(self, key):
        self.keys.append(key)
        self.glances.append(key)

    async def __aenter__(self):
        self.task = asyncio.create_task(self.observing.run())
        return self

    async def __aexit__(self, *_):
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


async def test_everything_is_listed_before_it_is_synced():
    async with Watched(ApiServer([chat()])) as watched:
        assert not watched.observing.current
        await asyncio.wait_for(watched.observing.synced.wait(), 10)
        assert watched.keys == [CHAT]
        assert watched.urgent == []  # it may be as old as the hills
        assert watched.observing.current


async def test_an_api_server_that_does_not_answer_leaves_it_unsynced_and_alive():
    async with Watched(ApiServer(None)) as watched:
        await eventually_async(lambda: watched.task and watched.observing.alive, within_seconds=5)
        assert not watched.observing.synced.is_set()
        assert not watched.observing.current


async def test_a_gap_in_the_watch_is_closed_by_listing_at_once():
    server = ApiServer([chat()])
    async with Watched(server) as watched:
        await asyncio.wait_for(watched.observing.synced.wait(), 10)
        watched.keys.clear()
        server.deployments = []
        watched.observing.on_gap()
        await eventually_async(lambda: watched.keys == [CHAT], within_seconds=10, every=0.001)
        assert watched.observing.cache.get(CHAT) is None


async def test_an_event_becomes_a_key_and_an_old_one_does_not():
    async with Watched(ApiServer([])) as watched:
        await asyncio.wait_for(watched.observing.synced.wait(), 10)
        watched.observing.on_event(Kind.DEPLOYMENT, chat(50), gone=False)
        watched.observing.on_event(Kind.DEPLOYMENT, chat(49), gone=False)
        assert watched.keys == [CHAT]
        watched.observing.on_event(Kind.DEPLOYMENT, chat(51), gone=True)
        assert watched.keys == [CHAT, CHAT]
        assert watched.metrics.registry.get_sample_value("tandem_objects", {"kind": "ModelDeployment"}) == 0


async def test_what_people_did_is_urgent_and_a_status_is_not():
    async with Watched(ApiServer([])) as watched:
        await asyncio.wait_for(watched.observing.synced.wait(), 10)

        def urgent(raw, gone=False):
            watched.keys.clear()
            watched.urgent.clear()
            watched.observing.on_event(Kind.DEPLOYMENT, raw, gone=gone)
            assert watched.keys == [CHAT]
            return watched.urgent == [CHAT]

        assert urgent(chat(50))
        assert not urgent(chat(51) | {"status": {"observedGeneration": 1}})
        assert urgent(chat(52, generation=2))
        assert urgent(chat(53, generation=2, annotations={"tandem.dev/abandon-serve-app": "true"}))
        assert urgent(chat(54, generation=2, deletionTimestamp="2026-01-01T00:00:00Z"))
        assert urgent(chat(55, generation=2), gone=True)


async def test_the_endpoint_that_was_edited_or_whose_namespace_was_labelled_comes_before_its_users():
    eu = from_server(a_cloud_endpoint("eu"), resourceVersion="10")
    user = chat(11)
    user["spec"]["cloud"] = {"endpoints": [{"name": "eu", "model": "m"}]}
    endpoint, home = Key(Kind.ENDPOINT, "", "eu"), {"apiVersion": "v1", "kind": "Namespace"}
    async with Watched(ApiServer([])) as watched:
        await asyncio.wait_for(watched.observing.synced.wait(), 10)
        watched.observing.on_event(Kind.ENDPOINT, eu, gone=False)
        watched.urgent.clear()
        watched.observing.on_event(Kind.DEPLOYMENT, user, gone=False)
        assert set(watched.urgent) == {endpoint, CHAT}  # its policy lets the new user's namespace in
        watched.keys.clear()
        watched.urgent.clear()
        edited = from_server(a_cloud_endpoint("eu"), resourceVersion="20", generation=2)
        watched.observing.on_event(Kind.ENDPOINT, edited, gone=False)
        assert (set(watched.keys), watched.urgent) == ({endpoint, CHAT}, [endpoint])
        watched.urgent.clear()
        metadata = {"name": "default", "uid": "u", "resourceVersion": "21", "labels": {"team": "a"}}
        watched.observing.on_event(Kind.NAMESPACE, {**home, "metadata": metadata}, gone=False)
        assert watched.urgent == [endpoint]


async def test_what_was_listed_long_ago_is_not_current():
    async with Watched(ApiServer([]), relist_seconds=1000.0) as watched:
        await asyncio.wait_for(watched.observing.synced.wait(), 10)
        watched.observing._list_at -= 2500
        assert not watched.observing.current
        age = watched.metrics.registry.get_sample_value("tandem_last_resync_age_seconds")
        assert age > 2000
