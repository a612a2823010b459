"""A real gateway (Envoy and its agent) before an operator's xDS server and replicas: what its tests share."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tandem_contract.xds import Key
from tandem_contract.xds.types import CLUSTER, DEPLOYMENT_POLICY, ENDPOINTS, LISTENER, ROUTES
from tandem_lab.gateway import Gateway
from tandem_lab.process import free_port
from tandem_operator.pki import Pki
from tandem_serving.gateway import disk

from support.asking import Answer, ask
from support.replica_peer import ReplicaPeer
from support.wait import eventually
from support.xds_operator import XdsOperator, a_pki, mount

START_SECONDS = 120
CHANGE_SECONDS = 60


@dataclass
class GatewayHouse:
    """``operator`` leads; ``gateway`` follows it; ``replicas`` answer for every model."""

    pki: Pki
    operator: XdsOperator
    gateway: Gateway
    replicas: ReplicaPeer
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, model: str, **how: Any) -> Answer:
        return asyncio.run(ask(self.url, model, **how))

    def status(self, model: str) -> int:
        """Return the status of an answer; 0 while nobody listens."""
        try:
            return self.ask(model).status
        except OSError:
            return 0
        except Exception as error:  # noqa: BLE001  httpx's own tree, whose root says nothing more
            return _no_answer(error)

    def answers(self, *models: str) -> bool:
        return all(self.status(model) == 200 for model in models)

    def until_answered(self, *models: str, within_seconds: float = CHANGE_SECONDS) -> None:
        eventually(lambda: self.answers(*models), within_seconds)

    def until_gone(self, model: str) -> None:
        eventually(lambda: self.status(model) == 404, CHANGE_SECONDS)

    def until_ready(self) -> None:
        eventually(lambda: self.gateway.ready, START_SECONDS)

    def until_saved(self, *models: str) -> None:
        """Wait until the snapshot on disk has these models."""
        wanted = {Key(CLUSTER, f"model|team/{model}") for model in models}
        wanted |= {Key(ENDPOINTS, f"local|team/{model}") for model in models}
        wanted |= {Key(DEPLOYMENT_POLICY, f"team/{model}") for model in models}
        kinds = {LISTENER, ROUTES}

        def saved() -> bool:
            try:
                keys = {resource.key for resource in disk.read(self.gateway.snapshot)}
            except disk.CorruptSnapshot:
                return False
            return wanted <= keys and kinds <= {key.type_url for key in keys}

        eventually(saved, CHANGE_SECONDS)


def files_below(folder: Path) -> dict[Path, bytes]:
    """Return the content of each file, read again when one was replaced meanwhile, as the snapshot is."""
    while True:
        try:
            return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        except FileNotFoundError:
            continue


def _no_answer(error: Exception) -> int:
    if type(error).__module__.startswith("httpx"):
        return 0
    raise error


@contextmanager
def gateway_house(folder: Path, *, models: tuple[str, ...] = ("mini",)) -> Iterator[GatewayHouse]:
    """Start everything and wait until the models answer."""
    pki, port = a_pki(), free_port()
    with ReplicaPeer() as replicas, XdsOperator(pki.server) as operator:
        operator.put_gateway(port)
        for model in models:
            operator.put_model(model, replicas.port)
        operator.open()
        gateway = Gateway(folder, operators=[operator.address], tls_dir=mount(pki, folder / "tls"))
        with gateway:
            house = GatewayHouse(pki, operator, gateway, replicas, port)
            house.until_ready()
            house.until_answered(*models)
            yield house
