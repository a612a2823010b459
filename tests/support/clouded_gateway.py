"""Clouds behind a whole gateway (Envoy, agent, guard): a deployment that overflows to one endpoint, in its versions.

A version is a stand-in of its own, with its own port and key; Envoy's half and the guard's half of it can be published
apart, as they may arrive.
"""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from tandem_contract.data_class import DataClass
from tandem_contract.documents import CloudChoice, Credential, DeploymentPolicy, Document, EndpointPolicy, Freshness
from tandem_contract.headers import Reason
from tandem_operator.routing import (
    Message,
    RoutedDeployment,
    RoutedEndpoint,
    Target,
    compile_deployment,
    compile_endpoint,
)

from support.asking import CHAT, Answer, send
from support.gateway_house import GatewayHouse
from support.replica_peer import TOKEN

ENDPOINT = "provider"
OWNER = f"endpoint/{ENDPOINT}"
OFFERED = "gpt-5-mini"
REGION = "eu-de"


class Provider(Protocol):
    """A stand-in for one version of the endpoint."""

    key: str

    @property
    def port(self) -> int: ...

    @property
    def url(self) -> str: ...

    @property
    def ca_pem(self) -> str: ...


@dataclass
class CloudedGateway:
    """``model`` has one replica that is always full: whatever no cloud answers it answers itself."""

    house: GatewayHouse
    model: str = "full"

    def begin(self) -> None:
        """Publish the deployment and a heartbeat."""
        key, prefix = f"team/{self.model}", f"/{self.model}"
        self.house.replicas.behave(prefix, "saturated")
        target = Target(replica="one", address="127.0.0.1", port=self.house.replicas.port)
        routed = RoutedDeployment("team", self.model, (self.model, key), prefix, (ENDPOINT,), True, True, (target,))
        policy = DeploymentPolicy(
            deployment=key,
            names=(self.model, key),
            created_seconds=1,
            prefix=prefix,
            token=TOKEN,
            data_class=DataClass.PUBLIC,
            when=(Reason.OVERFLOW,),
            clouds=(CloudChoice(endpoint=ENDPOINT, model=OFFERED),),
        )
        self.house.operator.put(f"deployment/{key}", compile_deployment(routed), [policy])
        self.heartbeat()

    def heartbeat(self, *, age_seconds: float = 0) -> None:
        observed = int(time.time() - age_seconds)
        self.house.operator.put("freshness", documents=[Freshness(observed_seconds=observed)])

    def lead_to(self, cloud: Provider) -> None:
        """Publish a version of the endpoint, both halves."""
        self.publish(way(cloud), words(cloud))

    def publish(self, messages: Iterable[Message], documents: Iterable[Document]) -> None:
        self.house.operator.put(OWNER, messages, documents)

    def denials(self, word: str) -> float:
        """Return how often the guard denied with this word."""
        return self.metric("tandem_guard_denials_total", word=word)

    def metric(self, name: str, **labels: str) -> float:
        """Return the sum of the agent's samples that have these labels."""
        families = text_string_to_metric_families(self.house.gateway.get("/metrics")[1])
        samples = (sample for family in families for sample in family.samples if sample.name == name)
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def destination(self) -> str | None:
        return self.house.ask(self.model).destination

    async def load(self, edits: Any, *, clients: int = 8) -> list[Answer]:
        """Return the answers to requests that went on, from several clients at once, while ``edits`` ran."""
        done, answers = asyncio.Event(), list[Answer]()

        async def ask_on(client: httpx.AsyncClient) -> None:
            while not done.is_set():
                body = {"model": self.model, "messages": []}
                answers.append(await send(client, client.build_request("POST", self.house.url + CHAT, json=body)))

        async with httpx.AsyncClient(timeout=60, headers={"x-request-id": "load"}, verify=False) as client:  # noqa: S501  plain HTTP
            asking = [asyncio.create_task(ask_on(client)) for _ in range(clients)]
            try:
                await asyncio.to_thread(edits)
            finally:
                done.set()
                await asyncio.gather(*asking)
        return answers


def way(cloud: Provider) -> list[Message]:
    """Return Envoy's half of a version."""
    return compile_endpoint(_routed(cloud))


def words(cloud: Provider) -> list[Document]:
    """Return the guard's half of a version."""
    return [policy(cloud), key(cloud)]


def policy(cloud: Provider) -> EndpointPolicy:
    return EndpointPolicy(
        endpoint=ENDPOINT,
        destination=_routed(cloud).destination,
        authority=f"localhost:{cloud.port}",
        base_path="/v1",
        region=REGION,
        max_data_class=DataClass.PUBLIC,
        namespaces=("team",),
        models={OFFERED: 8192},
    )


def key(cloud: Provider) -> Credential:
    authorization = SecretStr(f"Bearer {cloud.key}")
    return Credential(endpoint=ENDPOINT, destination=_routed(cloud).destination, authorization=authorization)


def _routed(cloud: Provider) -> RoutedEndpoint:
    return RoutedEndpoint(ENDPOINT, cloud.url, REGION, cloud.ca_pem)
