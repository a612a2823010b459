"""An edited CloudEndpoint under load: agent, guard and Envoy get it one after the other, or Envoy not at all.

Whatever is half way, a key goes only where it was published for, and every request is answered, at home at the least.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr
from support.asking import Answer, ask
from support.gateway_house import CHANGE_SECONDS, START_SECONDS
from support.replica_peer import TOKEN, ReplicaPeer
from support.wait import eventually
from support.xds_operator import XdsOperator, a_pki, mount
from tandem_contract.data_class import DataClass
from tandem_contract.documents import CloudChoice, Credential, DeploymentPolicy, Document, EndpointPolicy, Freshness
from tandem_contract.headers import Reason
from tandem_contract.xds import State
from tandem_lab.cloud import CloudStandIn
from tandem_lab.gateway import Gateway
from tandem_lab.process import free_port
from tandem_operator.api.v1alpha1 import Target
from tandem_operator.routing import Message, RoutedDeployment, RoutedEndpoint, compile_deployment, compile_endpoint

OFFERED = "gpt-5-mini"
OWNER = "endpoint/east"


@dataclass
class House:
    url: str
    operator: XdsOperator
    before: CloudStandIn
    after: CloudStandIn

    def put(self, routes: CloudStandIn, documents: CloudStandIn) -> None:
        self.operator.put(OWNER, compile_endpoint(way_out(routes)), what_the_guard_knows(documents))

    def settle(self, cloud: CloudStandIn) -> None:
        """Let the endpoint be ``cloud`` and wait until requests get there."""
        self.put(cloud, cloud)
        eventually(lambda: self.operator.accepted(OWNER), CHANGE_SECONDS)
        seen = len(cloud.received)
        eventually(lambda: asyncio.run(self.overflow()).destination == "cloud/east", CHANGE_SECONDS)
        assert len(cloud.received) > seen

    async def overflow(self, **fields: Any) -> Answer:
        messages = [{"role": "user", "content": "two words"}]
        return await ask(self.url, "chat", local="saturated", messages=messages, **fields)

    async def overflow_until(self, settled: Callable[[list[Answer]], bool]) -> list[Answer]:
        """Ask, four at a time, until the answers of a round are as wanted; return all."""
        answers: list[Answer] = []
        async with asyncio.timeout(CHANGE_SECONDS):
            while True:
                latest = list(await asyncio.gather(*(self.overflow() for _ in range(4))))
                answers += latest
                if settled(latest):
                    return answers


def way_out(cloud: CloudStandIn) -> RoutedEndpoint:
    return RoutedEndpoint("east", cloud.url, "eu-de", cloud.ca_pem)


def what_the_guard_knows(cloud: CloudStandIn) -> list[Document]:
    destination = way_out(cloud).destination
    policy = EndpointPolicy(
        endpoint="east",
        destination=destination,
        authority=f"localhost:{cloud.port}",
        base_path="/v1",
        region="eu-de",
        max_data_class=DataClass.CONFIDENTIAL,
        namespaces=("team",),
        models={OFFERED: 400_000},
    )
    key = SecretStr(f"Bearer {cloud.key}")
    return [policy, Credential(endpoint="east", destination=destination, authorization=key)]


def a_deployment(port: int) -> tuple[list[Message], list[Document]]:
    names = ("chat", "team/chat")
    routed = RoutedDeployment("team", "chat", names, "/chat", ("east",), fails_over=True, overflows=True)
    targets = (Target(replica="r", address="127.0.0.1", port=port),)
    policy = DeploymentPolicy(
        deployment="team/chat",
        names=names,
        created_seconds=0,
        prefix="/chat",
        token=TOKEN,
        data_class=DataClass.INTERNAL,
        when=(Reason.OVERFLOW, Reason.FAILOVER, Reason.BRIDGE),
        clouds=(CloudChoice(endpoint="east", model=OFFERED),),
    )
    return compile_deployment(replace(routed, targets=targets)), [policy]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder, pki, port = tmp_path_factory.mktemp("edited"), a_pki(), free_port()
    with contextlib.ExitStack() as stack:
        before, after = (
            stack.enter_context(CloudStandIn(folder / name, key=f"sk-{name}-{secrets.token_hex(8)}"))
            for name in ("before", "after")
        )
        replicas, operator = stack.enter_context(ReplicaPeer()), stack.enter_context(XdsOperator(pki.server))
        operator.put_gateway(port)
        operator.put("freshness", documents=[Freshness(observed_seconds=int(datetime.now(UTC).timestamp()))])
        operator.put("deployment/team/chat", *a_deployment(replicas.port))
        operator.open()
        gateway = Gateway(folder, operators=[operator.address], tls_dir=mount(pki, folder / "tls"))
        stack.enter_context(gateway)
        eventually(lambda: gateway.ready, START_SECONDS)
        yield House(f"http://127.0.0.1:{port}", operator, before, after)


def keys_seen_by(cloud: CloudStandIn) -> set[str]:
    return {received.headers["authorization"].removeprefix("Bearer ") for received in cloud.received}


def test_an_edit_moves_requests_to_the_new_place_and_loses_none(house: House) -> None:
    house.settle(house.before)
    asked, seen = len(house.before.received), len(house.after.received)

    async def edit() -> tuple[Answer, list[Answer]]:
        slow = asyncio.create_task(house.overflow(stream=True, x_fault="slow"))
        await asyncio.to_thread(eventually, lambda: len(house.before.received) > asked, CHANGE_SECONDS)
        house.put(house.after, house.after)
        moved = await house.overflow_until(lambda _: len(house.after.received) > seen + 8)
        return await slow, moved

    slow, answers = asyncio.run(edit())
    assert {answer.status for answer in answers} == {200}
    assert {answer.destination for answer in answers} <= {"cloud/east", "local"}
    assert (slow.status, slow.destination, slow.cut) == (200, "cloud/east", False)
    assert keys_seen_by(house.before) == {house.before.key}
    assert keys_seen_by(house.after) == {house.after.key}


def test_an_edit_that_envoy_refuses_sends_nothing_anywhere(house: House) -> None:
    house.settle(house.before)
    compiled = compile_endpoint(way_out(house.after))
    broken = [each | ({"connect_timeout": "0s"} if each["name"].startswith("upstream|") else {}) for each in compiled]
    house.operator.put(OWNER, broken, what_the_guard_knows(house.after))
    eventually(lambda: house.operator.programmed(OWNER).state is State.REJECTED, CHANGE_SECONDS)
    asyncio.run(house.overflow_until(all_local))
    seen = len(house.before.received), len(house.after.received)
    assert all_local(asyncio.run(house.overflow_until(lambda _: True)))
    assert (len(house.before.received), len(house.after.received)) == seen
    assert keys_seen_by(house.before) == {house.before.key}
    house.settle(house.after)


@pytest.mark.parametrize("ahead", ["routes", "documents"])
def test_half_an_edit_sends_nothing_anywhere(house: House, ahead: str) -> None:
    house.settle(house.before)
    house.put(*((house.after, house.before) if ahead == "routes" else (house.before, house.after)))
    eventually(lambda: house.operator.accepted(OWNER), CHANGE_SECONDS)
    asyncio.run(house.overflow_until(all_local))
    assert keys_seen_by(house.before) == {house.before.key}
    assert keys_seen_by(house.after) <= {house.after.key}


def all_local(answers: list[Answer]) -> bool:
    return {(answer.status, answer.destination) for answer in answers} == {(200, "local")}
