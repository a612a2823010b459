"""The gateway with the real guard, the replica's real door and gate, and cloud stand-ins: a deployment for each cell.

States of the cloud are a request's own ``x_fault``, an endpoint where nobody listens, or the guard stopped; so one
Envoy serves the whole matrix, and every cell can be asked at the same time as any other. What stands in for vLLM is
the lab's small model, without Ray: what a replica decides here, it decides in the product.
"""

import contextlib
import dataclasses
import secrets
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

from pydantic import SecretStr
from tandem_contract.data_class import DataClass
from tandem_contract.documents import CloudChoice, Credential, DeploymentPolicy, EndpointPolicy, LiveConfig
from tandem_contract.headers import Reason
from tandem_lab.cloud import CloudStandIn
from tandem_lab.process import free_port
from tandem_operator.api.v1alpha1 import Target
from tandem_operator.routing import (
    Bounds,
    GatewaySettings,
    RoutedDeployment,
    RoutedEndpoint,
    compile_deployment,
    compile_endpoint,
    compile_gateway,
)
from tandem_serving.gateway.policy_board import PolicyBoard, PolicyView
from tandem_serving.replica import admission

from support.asking import Answer, ask
from support.guarded_house import RunningGuard
from support.loop_thread import LoopThread
from support.replica_peer import TOKEN
from support.replica_server import ReplicaServer
from support.static_gateway import StaticGateway, pipe, static_bootstrap, tcp
from support.wait import eventually


class State(NamedTuple):
    """How local is."""

    replicas: tuple[Mapping[str, Any], ...] = ()
    """Switches of each replica's small model."""

    objective_milliseconds: int = 10_000
    """Long where nothing hangs: a busy machine is no reason to leave."""

    dead: bool = False
    """A replica is known, and nobody listens there."""


WELL: dict[str, Any] = {}
FAILING = {"fail": "out of memory"}
VERY_FULL = {"first_token_seconds": 8.0}
FULL = {"first_token_seconds": 1.0}
"""Twice the objective below, so it refuses; a fifth of what may queue."""

LOCAL = {
    "ok": State((WELL,)),
    "one of two bad": State((WELL, FAILING)),
    "failing": State((FAILING,)),
    "saturated": State((FULL,), 500),
    "three of four saturated": State((VERY_FULL, VERY_FULL, VERY_FULL, WELL), 4_000),
    "starting": State(),
    "dead": State(dead=True),
    "hanging before headers": State(({"hang": "before_headers"},), 100),
    "hanging after headers": State(({"hang": "after_headers"},), 100),
    "hanging after a token": State(({"hang": "after_first_token"},)),
}

CLOUD = {"ok": None, "429": "429", "500": "500", "hanging": "hang", "down": None, "guard dead": None}
"""State of the cloud, and the fault that a request asks it for."""

WHEN = {
    "Overflow, Failover, Bridge": (Reason.OVERFLOW, Reason.FAILOVER, Reason.BRIDGE),
    "Overflow": (Reason.OVERFLOW,),
    "Failover": (Reason.FAILOVER,),
    "Bridge": (Reason.BRIDGE,),
    "no cloud": (),
}
REGION = "eu-de"
USUAL = "Overflow, Failover, Bridge"

IMPATIENT = Bounds(answer=12, silence=12, cloud_answer=4, cloud_silence=4)
"""So that what hangs ends within a test; long enough for what does not hang on a busy machine."""

_LAST_BOUND_FLOOR_SECONDS = 1.0
"""A replica's patience with the last attempt, as impatient as the gateway is here."""


class Cell(NamedTuple):
    """One question of the matrix, and the deployment that it is put to."""

    local: str
    cloud: str
    streamed: bool
    denied: bool
    when: str = USUAL

    @property
    def name(self) -> str:
        marks = ("streamed" if self.streamed else "whole", "denied" if self.denied else "allowed")
        return "-".join((self.local, self.cloud, *marks, self.when)).replace(",", "").replace(" ", "-").lower()

    @property
    def prefix(self) -> str:
        return f"/app-{self.name}"

    @property
    def key(self) -> str:
        return f"ns/{self.name}"

    @property
    def endpoint(self) -> str:
        return "down" if self.cloud == "down" else "up"


@dataclasses.dataclass
class MatrixHouse:
    gateway: StaticGateway
    guard: RunningGuard
    cloud: CloudStandIn

    async def ask(self, cell: Cell) -> Answer:
        headers = {"x-tandem-data-class": "Restricted"} if cell.denied else {}
        fields: dict[str, Any] = {"x_mark": cell.name, "stream": cell.streamed}
        if fault := CLOUD[cell.cloud]:
            fields["x_fault"] = fault
        messages = [{"role": "user", "content": "two words"}]
        return await ask(self.gateway.url, cell.name, headers=headers, messages=messages, **fields)

    def sent_out(self, cell: Cell) -> int:
        """Return how often the cloud was asked for a cell."""
        return sum((received.body or {}).get("x_mark") == cell.name for received in self.cloud.received)


@contextlib.contextmanager
def matrix_house(folder: Path, dead_port: int, bounds: Bounds, cells: Collection[Cell]) -> Iterator[MatrixHouse]:
    """Start everything; ``dead_port`` refuses connections."""
    with contextlib.ExitStack() as stack:
        sockets = Path(tempfile.mkdtemp(prefix="tandem-"))  # a socket's path has no more than 107 characters
        stack.callback(shutil.rmtree, sockets)
        stack.enter_context(mock.patch.object(admission, "LAST_BOUND_FLOOR_SECONDS", _LAST_BOUND_FLOOR_SECONDS))
        cloud = stack.enter_context(CloudStandIn(folder / "cloud", key=f"sk-{secrets.token_hex(16)}"))
        most = max(len(state.replicas) for state in LOCAL.values())
        servers = [stack.enter_context(ReplicaServer(folder)) for _ in range(most)]
        ports = {"up": cloud.port, "down": dead_port}
        endpoints = [
            RoutedEndpoint(name, f"https://localhost:{port}/v1", REGION, cloud.ca_pem) for name, port in ports.items()
        ]
        board = PolicyBoard()
        board.publish(_view(cells, endpoints, cloud.key))
        guard = RunningGuard(board, sockets / "guard.sock", stack.enter_context(LoopThread()))
        guard.start()
        stack.callback(guard.stop)
        port = free_port()
        resources = compile_gateway(GatewaySettings("127.0.0.1", port, bounds))
        for endpoint in endpoints:
            resources += compile_endpoint(endpoint, bounds)
        for cell in cells:
            resources += compile_deployment(_routed(cell, servers, dead_port))
            for server, switches in zip(servers, LOCAL[cell.local].replicas, strict=False):
                server.put_up(cell.prefix, _live(cell), switches)
        bootstrap = static_bootstrap(resources, guard=pipe(sockets / "guard.sock"), agent=tcp(dead_port))
        gateway = stack.enter_context(StaticGateway(bootstrap, folder, port=port))
        eventually(lambda: _settled(gateway, cells), within_seconds=60)
        yield MatrixHouse(gateway, guard, cloud)


def _settled(gateway: StaticGateway, cells: Collection[Cell]) -> bool:
    health = gateway.health()
    return all(len(health[f"local|{cell.key}"]) == len(LOCAL[cell.local].replicas) for cell in cells)


def _routed(cell: Cell, servers: list[ReplicaServer], dead_port: int) -> RoutedDeployment:
    state = LOCAL[cell.local]
    ports = [dead_port] if state.dead else [server.port for server in servers[: len(state.replicas)]]
    when = WHEN[cell.when]
    return RoutedDeployment(
        "ns",
        cell.name,
        (cell.name,),
        cell.prefix,
        clouds=(cell.endpoint,) if when else (),
        fails_over=_fails_over(when),
        overflows=Reason.OVERFLOW in when,
        targets=tuple(Target(replica=str(port), address="127.0.0.1", port=port) for port in ports),
    )


def _fails_over(when: Collection[Reason]) -> bool:
    return Reason.FAILOVER in when or Reason.BRIDGE in when


def _live(cell: Cell) -> LiveConfig:
    when = WHEN[cell.when]
    return LiveConfig(
        names=(cell.name, cell.key),
        token=TOKEN,
        overflow=Reason.OVERFLOW in when,
        cloud=bool(when),
        time_to_first_token_milliseconds=LOCAL[cell.local].objective_milliseconds,
    )


def _view(cells: Collection[Cell], endpoints: Collection[RoutedEndpoint], key: str) -> PolicyView:
    return PolicyView(
        deployments={cell.key: _deployment_policy(cell) for cell in cells},
        endpoints={endpoint.name: _endpoint_policy(endpoint) for endpoint in endpoints},
        credentials={
            endpoint.name: Credential(
                endpoint=endpoint.name,
                destination=endpoint.destination,
                authorization=SecretStr(f"Bearer {key}"),
            )
            for endpoint in endpoints
        },
        ready_replicas={cell.key: 1 for cell in cells if cell.local != "starting"},
        fresh_at=time.monotonic(),
    )


def _deployment_policy(cell: Cell) -> DeploymentPolicy:
    when = WHEN[cell.when]
    return DeploymentPolicy(
        deployment=cell.key,
        names=(cell.name,),
        created_seconds=0,
        prefix=cell.prefix,
        token=TOKEN,
        data_class=DataClass.INTERNAL,
        when=when,
        clouds=(CloudChoice(endpoint=cell.endpoint, model="gpt-5-mini"),) if when else (),
    )


def _endpoint_policy(endpoint: RoutedEndpoint) -> EndpointPolicy:
    return EndpointPolicy(
        endpoint=endpoint.name,
        destination=endpoint.destination,
        authority=f"{endpoint.host}:{endpoint.port}",
        base_path="/v1",
        region=REGION,
        max_data_class=DataClass.INTERNAL,
        namespaces=("ns",),
        models={"gpt-5-mini": 400_000},
    )
