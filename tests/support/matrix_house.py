"""The gateway with the real guard and cloud stand-ins, and one deployment for each state that local can be in.

States of the cloud are a request's own ``x_fault``, an endpoint where nobody listens, or the guard stopped; so one
Envoy serves the whole matrix, and every cell can be asked at the same time as any other.
"""

import contextlib
import dataclasses
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic import SecretStr
from tandem_contract.data_class import DataClass
from tandem_contract.documents import CloudChoice, Credential, DeploymentPolicy, EndpointPolicy
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

from support.asking import Answer, ask
from support.guarded_house import RunningGuard
from support.loop_thread import LoopThread
from support.replica_peer import TOKEN, ReplicaPeer
from support.static_gateway import StaticGateway, pipe, static_bootstrap, tcp
from support.wait import eventually

LOCAL = {
    "ok": "ok",
    "one of two bad": "ok",
    "saturated": "saturated",
    "starting": None,
    "dead": None,
    "hanging before headers": "hang before headers",
    "hanging after headers": "hang after headers",
}
"""State of local, and how its replica behaves."""

CLOUD = {"ok": None, "429": "429", "500": "500", "hanging": "hang", "down": None, "guard dead": None}
"""State of the cloud, and the fault that a request asks it for."""

IMPATIENT = Bounds(answer=12, silence=12, cloud_answer=4, cloud_silence=4)
"""So that what hangs ends within a test; long enough for what does not hang on a busy machine."""


@dataclasses.dataclass
class MatrixHouse:
    gateway: StaticGateway
    guard: RunningGuard
    cloud: CloudStandIn

    async def ask(self, local: str, cloud: str, *, stream: bool, denied: bool, mark: str = "") -> Answer:
        headers = {"x-tandem-data-class": "Restricted"} if denied else {}
        fields = {"x_mark": mark, "messages": [{"role": "user", "content": "two words"}], "stream": stream}
        if fault := CLOUD[cloud]:
            fields["x_fault"] = fault
        endpoint = "down" if cloud == "down" else "up"
        return await ask(self.gateway.url, f"{slug(local)}-{endpoint}", headers=headers, **fields)

    def sent_out(self, mark: str) -> int:
        """Return how often the cloud was asked for a request."""
        return sum((received.body or {}).get("x_mark") == mark for received in self.cloud.received)


def slug(state: str) -> str:
    return state.replace(" ", "-")


@contextlib.contextmanager
def matrix_house(folder: Path, dead_port: int, bounds: Bounds) -> Iterator[MatrixHouse]:
    """Start everything; ``dead_port`` refuses connections."""
    with contextlib.ExitStack() as stack:
        sockets = Path(tempfile.mkdtemp(prefix="tandem-"))  # a socket's path has no more than 107 characters
        stack.callback(shutil.rmtree, sockets)
        cloud = stack.enter_context(CloudStandIn(folder / "cloud", key=f"sk-{secrets.token_hex(16)}"))
        replicas, sick = stack.enter_context(ReplicaPeer()), stack.enter_context(ReplicaPeer(default="500"))
        board = PolicyBoard()
        board.publish(_view(cloud))
        guard = RunningGuard(board, sockets / "guard.sock", stack.enter_context(LoopThread()))
        guard.start()
        stack.callback(guard.stop)
        port = free_port()
        resources = compile_gateway(GatewaySettings("127.0.0.1", port, bounds))
        for name, cloud_port in (("up", cloud.port), ("down", dead_port)):
            resources += compile_endpoint(
                RoutedEndpoint(name, "localhost", cloud_port, "localhost", cloud.ca_pem), bounds
            )
            for state, behaviour in LOCAL.items():
                deployed = _routed(state, name, _ports(state, replicas, sick, dead_port))
                resources += compile_deployment(deployed)
                replicas.behave(deployed.prefix, behaviour or "ok")
        bootstrap = static_bootstrap(resources, guard=pipe(sockets / "guard.sock"), agent=tcp(replicas.port))
        gateway = stack.enter_context(StaticGateway(bootstrap, folder, port=port))
        eventually(lambda: _settled(gateway), within_seconds=20)
        yield MatrixHouse(gateway, guard, cloud)


def _ports(state: str, replicas: ReplicaPeer, sick: ReplicaPeer, dead_port: int) -> tuple[int, ...]:
    special = {"one of two bad": (replicas.port, sick.port), "starting": (), "dead": (dead_port,)}
    return special.get(state, (replicas.port,))


def _settled(gateway: StaticGateway) -> bool:
    health = gateway.health()
    wanted = {"one of two bad": 2, "starting": 0, "dead": 0}
    return all(
        len(health[f"local|ns/{slug(state)}-{endpoint}"]) == wanted.get(state, 1)
        for state in LOCAL
        for endpoint in ("up", "down")
    )


def _routed(state: str, endpoint: str, ports: tuple[int, ...]) -> RoutedDeployment:
    name = f"{slug(state)}-{endpoint}"
    targets = tuple(Target(replica=str(port), address="127.0.0.1", port=port) for port in ports)
    return RoutedDeployment("ns", name, (name,), f"/app-{name}", (endpoint,), True, True, targets)


def _view(cloud: CloudStandIn) -> PolicyView:
    names = [(state, endpoint, f"ns/{slug(state)}-{endpoint}") for state in LOCAL for endpoint in ("up", "down")]
    return PolicyView(
        deployments={name: _deployment_policy(name, endpoint) for _, endpoint, name in names},
        endpoints={endpoint: _endpoint_policy(endpoint, cloud) for endpoint in ("up", "down")},
        credentials={
            endpoint: Credential(endpoint=endpoint, authorization=SecretStr(f"Bearer {cloud.key}"))
            for endpoint in ("up", "down")
        },
        ready_replicas={name: 1 for state, _, name in names if state != "starting"},
        fresh_at=time.monotonic(),
    )


def _deployment_policy(name: str, endpoint: str) -> DeploymentPolicy:
    return DeploymentPolicy(
        deployment=name,
        names=(name,),
        created_seconds=0,
        prefix=f"/app-{name.removeprefix('ns/')}",
        token=TOKEN,
        data_class=DataClass.INTERNAL,
        when=(Reason.OVERFLOW, Reason.FAILOVER, Reason.BRIDGE),
        clouds=(CloudChoice(endpoint=endpoint, model="gpt-5-mini"),),
    )


def _endpoint_policy(endpoint: str, cloud: CloudStandIn) -> EndpointPolicy:
    return EndpointPolicy(
        endpoint=endpoint,
        provider="OpenAI",
        authority=f"localhost:{cloud.port}",
        base_path="/v1",
        region="eu-de",
        max_data_class=DataClass.INTERNAL,
        namespaces=("ns",),
        models={"gpt-5-mini": 400_000},
    )
