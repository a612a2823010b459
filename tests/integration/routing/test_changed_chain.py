"""A chain that gets shorter under a request: Envoy keeps its number of retries and goes by the new members."""

import asyncio
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support.asking import Answer, ask
from support.gateway_house import CHANGE_SECONDS, GatewayHouse, gateway_house
from support.replica_peer import Seen
from support.wait import eventually
from tandem_operator.api.v1alpha1 import Target
from tandem_operator.routing import RoutedDeployment, compile_deployment

ATTEMPTS = 6
"""More than any request here has: each waits for its turn, and one too many would show."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayHouse]:
    with gateway_house(tmp_path_factory.mktemp("changed"), models=()) as running:
        yield running


@dataclass
class Chain:
    """One deployment with one replica that answers; the others that it has are never found healthy."""

    house: GatewayHouse
    name: str

    def be(self, *, replicas: int, clouds: tuple[str, ...] = ()) -> None:
        ports = (self.house.replicas.port, *range(1, replicas))
        targets = tuple(Target(replica=f"r{port}", address="127.0.0.1", port=port) for port in ports)
        routed = RoutedDeployment(
            "team", self.name, (self.name,), f"/{self.name}", clouds, fails_over=bool(clouds), targets=targets
        )
        self.house.operator.put(self.owner, compile_deployment(routed))
        eventually(lambda: self.house.operator.accepted(self.owner), CHANGE_SECONDS)

    @property
    def owner(self) -> str:
        return f"deployment/team/{self.name}"

    @property
    def asked(self) -> list[Seen]:
        return [seen for seen in self.house.replicas.of(f"/{self.name}") if "hold" in seen.json]

    async def ask_and_change(self, local: str, *, replicas: int) -> Answer:
        """Ask a replica that behaves like ``local``, and change the chain while the first attempt waits there."""
        asking = asyncio.create_task(ask(self.house.url, self.name, local=local, hold=self.name))
        await asyncio.to_thread(eventually, lambda: self.asked, CHANGE_SECONDS)
        await asyncio.to_thread(self.be, replicas=replicas)
        for _ in range(ATTEMPTS):
            self.house.replicas.pace.allow(self.name)
        return await asking


@pytest.fixture
def chain(house: GatewayHouse) -> Iterator[Chain]:
    chain = Chain(house, f"m{secrets.token_hex(4)}")
    yield chain
    house.operator.drop(chain.owner)


async def test_a_request_that_loses_replicas_still_gets_the_last_ones_answer(chain: Chain) -> None:
    await asyncio.to_thread(chain.be, replicas=4)
    await asyncio.to_thread(chain.house.until_answered, chain.name)
    answer = await chain.ask_and_change("crowded", replicas=2)
    assert [seen.headers["x-envoy-attempt-count"] for seen in chain.asked] == ["1", "2", "3", "4"]
    assert (answer.status, answer.destination, answer.attempts) == (429, "local", 4)
    assert answer.headers["retry-after"] == "7"


async def test_a_request_that_loses_its_clouds_still_gets_the_last_replicas_answer(chain: Chain) -> None:
    """The clouds here do not exist and are passed over: what counts is how many members the chain had."""
    await asyncio.to_thread(chain.be, replicas=2, clouds=("gone", "gone-too"))
    await asyncio.to_thread(chain.house.until_answered, chain.name)
    answer = await chain.ask_and_change("500", replicas=2)
    assert [seen.headers["x-envoy-attempt-count"] for seen in chain.asked] == ["1", "2", "3", "4", "5"]
    assert (answer.status, answer.destination, answer.attempts) == (500, "local", 5)
    assert answer.json["error"]["message"] == "replica says 500"
