"""The operator's server as a gateway meets it: real gRPC, real certificates."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from support.wait import eventually
from support.xds_client import cluster
from support.xds_operator import XdsOperator, a_pki
from tandem_contract.documents import Freshness
from tandem_contract.identity import OPERATOR_NAME
from tandem_contract.xds import InvalidResource, State
from tandem_contract.xds.server import until_accepted
from tandem_contract.xds.types import CLUSTER, FRESHNESS
from tandem_operator.pki import Pki, plan_pki

PKI = a_pki()
BIG = 64 * 1024 * 1024


@pytest.fixture
def operator() -> Iterator[XdsOperator]:
    with XdsOperator(PKI.server) as operator:
        operator.put("one", [cluster("a")])
        operator.open()
        yield operator


class Stream:
    """An agent, message by message."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def ask(self, type_url: str, *names: str) -> None:
        await self._call.write(
            discovery_pb2.DeltaDiscoveryRequest(node={"id": "gw-1"}, type_url=type_url, resource_names_subscribe=names)
        )

    async def read(self) -> Any:
        return await self._call.read()

    async def answer(self, response: Any, error: str = "") -> None:
        request = discovery_pb2.DeltaDiscoveryRequest(type_url=response.type_url, response_nonce=response.nonce)
        if error:
            request.error_detail.message = error
        await self._call.write(request)

    async def introduce(self) -> Any:
        """Ask for clusters and the heartbeat, and return the clusters."""
        await self.ask(CLUSTER, "*")
        clusters = await self.read()
        await self.ask(FRESHNESS, "operator")
        await self.answer(await self.read())
        return clusters


@asynccontextmanager
async def connect(
    operator: XdsOperator,
    *,
    ca: bytes = PKI.gateway["ca.crt"],
    identity: tuple[bytes, bytes] | None = (PKI.gateway["tls.key"], PKI.gateway["tls.crt"]),
    name: str = OPERATOR_NAME,
) -> AsyncIterator[Stream]:
    key, certificate = identity or (None, None)
    options: Sequence[tuple[str, Any]] = (
        ("grpc.ssl_target_name_override", name),
        ("grpc.max_receive_message_length", BIG),
        ("grpc.use_local_subchannel_pool", 1),
    )
    credentials = grpc.ssl_channel_credentials(ca, key, certificate)
    async with grpc.aio.secure_channel(operator.address, credentials, options=options) as channel:
        call = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).DeltaAggregatedResources()
        await until_accepted(call)
        yield Stream(call)


async def refusal(operator: XdsOperator, **how: Any) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        async with connect(operator, **how) as stream:
            await stream.introduce()
    return refused.value


async def test_a_gateway_of_ours_is_served(operator: XdsOperator) -> None:
    async with connect(operator) as stream:
        clusters = await stream.introduce()
        assert [resource.name for resource in clusters.resources] == ["a"]
        assert operator.gateways == ("gw-1",)
    eventually(lambda: operator.gateways == (), 60)


STRANGER = a_pki()


@pytest.mark.parametrize(
    "how",
    [
        pytest.param({"identity": None}, id="a client without a certificate"),
        pytest.param(
            {"identity": (STRANGER.gateway["tls.key"], STRANGER.gateway["tls.crt"])}, id="a certificate of another CA"
        ),
        pytest.param({"identity": (PKI.server.key_pem, PKI.server.certificate_pem)}, id="the server's own certificate"),
        pytest.param({"ca": STRANGER.gateway["ca.crt"]}, id="a client that trusts another CA"),
        pytest.param({"name": "somebody.else"}, id="a client that looks for another name"),
    ],
)
async def test_nobody_else_is_served(operator: XdsOperator, how: dict[str, Any]) -> None:
    assert (await refusal(operator, **how)).code() is grpc.StatusCode.UNAVAILABLE
    assert operator.gateways == ()


async def test_before_it_is_opened_every_stream_is_refused() -> None:
    with XdsOperator(PKI.server) as operator:
        operator.put("one", [cluster("a")])
        refused = await refusal(operator)
    assert (refused.code(), refused.details()) == (grpc.StatusCode.UNAVAILABLE, "not ready yet")


async def test_losing_the_lead_ends_streams_that_run_and_says_why(operator: XdsOperator) -> None:
    async with connect(operator) as stream:
        await stream.introduce()
        operator.refuse("another operator leads")
        with pytest.raises(grpc.aio.AioRpcError, match="another operator leads"):
            await stream.read()
    assert (await refusal(operator)).details() == "another operator leads"
    operator.open()
    async with connect(operator) as stream:
        assert await stream.introduce()


async def test_the_other_variant_of_the_protocol_is_refused(operator: XdsOperator) -> None:
    credentials = grpc.ssl_channel_credentials(PKI.gateway["ca.crt"], PKI.gateway["tls.key"], PKI.gateway["tls.crt"])
    options = [("grpc.ssl_target_name_override", OPERATOR_NAME)]
    async with grpc.aio.secure_channel(operator.address, credentials, options=options) as channel:
        call = ads_pb2_grpc.AggregatedDiscoveryServiceStub(channel).StreamAggregatedResources()
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_programmed_follows_what_the_gateway_answers(operator: XdsOperator) -> None:
    assert operator.programmed("one").state is State.NO_GATEWAY
    async with connect(operator) as stream:
        clusters = await stream.introduce()
        assert operator.programmed("one").state is State.PENDING
        await stream.answer(clusters)
        eventually(lambda: operator.programmed("one").state is State.YES, 60)
        operator.put("one", [cluster("a", seconds=2)])
        assert operator.programmed("one").state is State.PENDING
        await stream.answer(await stream.read(), "no such time-out")
        eventually(lambda: operator.programmed("one").state is State.REJECTED, 60)
        verdict = operator.programmed("one")
        assert (verdict.client, verdict.message) == ("gw-1", "no such time-out")


async def test_every_gateway_has_to_accept(operator: XdsOperator) -> None:
    async with connect(operator) as first, connect(operator) as second:
        await first.answer(await first.introduce())
        eventually(lambda: operator.programmed("one").state is State.YES, 60)
        clusters = await second.introduce()
        assert operator.programmed("one").state is State.PENDING
        await second.answer(clusters)
        eventually(lambda: operator.programmed("one").state is State.YES, 60)


async def test_owners_are_told_when_their_verdict_may_have_changed(operator: XdsOperator) -> None:
    operator.put("two", [cluster("b")])
    async with connect(operator) as stream:
        clusters = await stream.introduce()
        eventually(lambda: operator.told == [{"one", "two"}], 60)
        await stream.answer(clusters)
        eventually(lambda: operator.told[1:] == [{"one", "two"}], 60)
        operator.put("two", [cluster("b", seconds=2)])
        await stream.answer(await stream.read())
        eventually(lambda: operator.told[2:] == [{"two"}], 60)
    eventually(lambda: operator.told[3:] == [{"one", "two"}], 60)


async def test_the_heartbeat_tells_nobody(operator: XdsOperator) -> None:
    async with connect(operator) as stream:
        await stream.answer(await stream.introduce())
        eventually(lambda: len(operator.told) == 2, 60)
        operator.put("freshness", documents=[Freshness(observed_seconds=1)])
        heartbeat = await stream.read()
        assert heartbeat.type_url == FRESHNESS
        await stream.answer(heartbeat)
        operator.put("one", [cluster("a", seconds=2)])
        await stream.answer(await stream.read())
        eventually(lambda: len(operator.told) == 3, 60)
        assert operator.told[2] == {"one"}


async def test_a_resource_with_a_wrong_field_changes_nothing(operator: XdsOperator) -> None:
    with pytest.raises(InvalidResource, match="conect_timeout"):
        operator.put("one", [cluster("b"), {**cluster("c"), "conect_timeout": "1s"}])
    async with connect(operator) as stream:
        assert [resource.name for resource in (await stream.introduce()).resources] == ["a"]


async def test_one_resource_of_twenty_megabytes_arrives_whole(operator: XdsOperator) -> None:
    metadata = {"filter_metadata": {"tandem": {"filler": "x" * (20 << 20)}}}
    operator.put("one", [{**cluster("large"), "metadata": metadata}])
    async with connect(operator) as stream:
        assert (await stream.introduce()).ByteSize() > 20 << 20


def renewed(pki: Pki, days: int) -> Pki:
    """Return what is planned after some days from a start that many days ago, so that all is valid now."""
    now = datetime.now(UTC)
    return plan_pki(pki.internal, pki.gateway, server=pki.server, names=(), now=now + timedelta(days=days))


def a_pki_from(days_ago: int) -> Pki:
    return plan_pki(None, None, server=None, names=(), now=datetime.now(UTC) - timedelta(days=days_ago))


async def test_a_renewed_certificate_serves_the_next_connection_and_leaves_the_stream_alone() -> None:
    old = a_pki_from(21)
    new = renewed(old, 0)
    assert new.server.certificate_pem != old.server.certificate_pem
    identity = (old.gateway["tls.key"], old.gateway["tls.crt"])
    with XdsOperator(old.server) as operator:
        operator.put("one", [cluster("a")])
        operator.open()
        async with connect(operator, ca=old.gateway["ca.crt"], identity=identity) as running:
            await running.introduce()
            operator.use(new.server)
            async with connect(operator, ca=new.gateway["ca.crt"], identity=identity) as fresh:
                await fresh.introduce()
            operator.put("one", [cluster("a", seconds=2)])
            assert (await running.read()).resources[0].name == "a"


async def test_over_a_change_of_authority_old_and_new_gateways_are_served() -> None:
    before = a_pki_from(307)
    announced = renewed(before, -1)
    signing = renewed(announced, 0)
    assert signing.internal["ca.crt"] != before.internal["ca.crt"]
    with XdsOperator(announced.server) as operator:
        operator.put("one", [cluster("a")])
        operator.open()
        for server in (announced.server, signing.server):
            operator.use(server)
            for pki in (announced, signing):
                identity = (pki.gateway["tls.key"], pki.gateway["tls.crt"])
                async with connect(operator, ca=pki.gateway["ca.crt"], identity=identity) as stream:
                    assert await stream.introduce()


async def test_a_gateway_of_an_authority_that_is_gone_is_refused_from_then_on() -> None:
    replaced = a_pki()
    with XdsOperator(PKI.server) as operator:
        operator.put("one", [cluster("a")])
        operator.open()
        operator.use(replaced.server)
        await refusal(operator, ca=replaced.gateway["ca.crt"])
        identity = (replaced.gateway["tls.key"], replaced.gateway["tls.crt"])
        async with connect(operator, ca=replaced.gateway["ca.crt"], identity=identity) as stream:
            assert await stream.introduce()
