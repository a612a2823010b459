"""A real Envoy with the compiled way out, the real guard and cloud stand-ins over TLS, for tests of the guard.

Everything is as compiled by ``tandem_operator``; only xDS is left out (the resources stand in Envoy's bootstrap, the
policy is put on the board by the test). Deployments: ``team/hello`` has a replica, ``team/cold`` has none.
"""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import SecretStr
from tandem_contract import headers
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
from tandem_serving.gateway.guard import GuardSettings, serve
from tandem_serving.gateway.policy_board import PolicyBoard, PolicyView

from support.ext_proc_client import talk
from support.loop_thread import LoopThread
from support.replica_peer import TOKEN, ReplicaPeer
from support.static_gateway import StaticGateway, pipe, static_bootstrap, tcp
from support.wait import eventually

LIMIT_SECONDS = 3600.0
ENDPOINTS = ("cloud-a", "cloud-b")
DEPLOYMENTS = {"hello": "/app-hello", "cold": "/app-cold"}
OFFERED = "gpt-5-mini"


class RunningGuard:
    """The guard as the agent runs it, in this process: started, stopped, started again."""

    def __init__(self, board: PolicyBoard, socket: Path, thread: LoopThread) -> None:
        self._board = board
        self.socket = socket
        self.body_bytes = 64 << 20
        self._thread = thread
        self._serving: asyncio.Task[None] | None = None
        self.registry = CollectorRegistry()

    def start(self) -> None:
        self.registry = CollectorRegistry()
        self._thread.run(self._start(GuardSettings(self.socket, LIMIT_SECONDS, self.body_bytes)))
        eventually(self.socket.exists, within_seconds=60)

    def stop(self) -> None:
        self._thread.run(self._stop())

    def metric(self, name: str, **labels: str) -> float:
        """Return a sample's value, 0 when there is none yet."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def metrics(self) -> str:
        return generate_latest(self.registry).decode()

    async def _start(self, settings: GuardSettings) -> None:
        self._serving = asyncio.create_task(serve(self._board, settings, self.registry))

    async def _stop(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.gather(self._serving, return_exceptions=True)
            self.socket.unlink(missing_ok=True)


@dataclasses.dataclass
class House:
    """What a test touches. ``reset`` before each."""

    gateway: StaticGateway
    guard: RunningGuard
    board: PolicyBoard
    replica: ReplicaPeer
    clouds: dict[str, CloudStandIn]
    client: httpx.Client

    def reset(self) -> None:
        self.board.publish(self.usual_view())
        for cloud in self.clouds.values():
            cloud.fail(None)
            cloud.received.clear()
        for prefix in DEPLOYMENTS.values():
            self.replica.behave(prefix, "ok")

    def usual_view(self) -> PolicyView:
        return PolicyView(
            deployments={f"team/{name}": a_deployment(name) for name in DEPLOYMENTS},
            endpoints={name: an_endpoint(name, cloud) for name, cloud in self.clouds.items()},
            credentials={name: a_credential(name, cloud) for name, cloud in self.clouds.items()},
            ready_replicas={"team/hello": 1},
            fresh_at=time.monotonic(),
        )

    def change_deployment(self, name: str, **changes: Any) -> None:
        """Publish a view in which one deployment's policy differs."""
        view = self.board.current()
        changed = view.deployments[f"team/{name}"].model_copy(update=changes)
        self.publish(deployments={**view.deployments, f"team/{name}": changed})

    def change_endpoints(self, **changes: Any) -> None:
        """Publish a view in which the endpoints' policies differ."""
        view = self.board.current()
        self.publish(endpoints={name: one.model_copy(update=changes) for name, one in view.endpoints.items()})

    def publish(self, **changes: Any) -> None:
        self.board.publish(dataclasses.replace(self.board.current(), **changes))

    def chat(
        self, model: str = "cold", *, headers: dict[str, str] | None = None, path: str = "chat/completions", **body: Any
    ) -> httpx.Response:
        """Ask the gateway; ``cold`` has no replica, so that a cloud is asked at once."""
        asked = {"model": model, "messages": [{"role": "user", "content": "two words"}], **body}
        return self.client.post(f"{self.gateway.url}/v1/{path}", json=asked, headers=headers)

    def talk(self, messages: Iterator[Any] | list[Any], endpoint: str = "cloud-a", **metadata: str) -> list[Any]:
        """Speak to the guard as Envoy would; ``metadata`` takes the place of what the listener says of itself."""
        return talk(self.guard.socket, messages, {**self.metadata(endpoint), **metadata})

    def metadata(self, endpoint: str = "cloud-a") -> dict[str, str]:
        """Return what the listener of an endpoint says of itself."""
        known = self.clouds.get(endpoint)
        place = {headers.DESTINATION_DIGEST: a_way_out(endpoint, known).destination} if known else {}
        return {headers.ENDPOINT: endpoint, **place}

    @property
    def received(self) -> int:
        return sum(len(cloud.received) for cloud in self.clouds.values())


def a_deployment(name: str, **changes: Any) -> DeploymentPolicy:
    policy = DeploymentPolicy(
        deployment=f"team/{name}",
        names=(name, f"team/{name}"),
        created_seconds=0,
        prefix=DEPLOYMENTS[name],
        token=TOKEN,
        data_class=DataClass.INTERNAL,
        when=(Reason.OVERFLOW, Reason.FAILOVER, Reason.BRIDGE),
        clouds=tuple(CloudChoice(endpoint=endpoint, model=OFFERED) for endpoint in ENDPOINTS),
    )
    return policy.model_copy(update=changes)


def an_endpoint(name: str, cloud: CloudStandIn) -> EndpointPolicy:
    return EndpointPolicy(
        endpoint=name,
        destination=a_way_out(name, cloud).destination,
        authority=f"localhost:{cloud.port}",
        base_path="/v1",
        region="eu-de",
        max_data_class=DataClass.CONFIDENTIAL,
        namespaces=("team",),
        models={OFFERED: 20_000_000},
    )


def a_credential(name: str, cloud: CloudStandIn) -> Credential:
    destination = a_way_out(name, cloud).destination
    return Credential(endpoint=name, destination=destination, authorization=SecretStr(f"Bearer {cloud.key}"))


def a_way_out(name: str, cloud: CloudStandIn) -> RoutedEndpoint:
    return RoutedEndpoint(name, cloud.url, "eu-de", cloud.ca_pem)


@contextlib.contextmanager
def guarded_house(folder: Path) -> Iterator[House]:
    """Start everything, and stop it again."""
    with contextlib.ExitStack() as stack:
        sockets = Path(tempfile.mkdtemp(prefix="tandem-"))  # a socket's path may have no more than 107 characters
        stack.callback(shutil.rmtree, sockets)
        clouds = {
            name: stack.enter_context(CloudStandIn(folder / name, key=f"sk-{name}-{secrets.token_hex(16)}"))
            for name in ENDPOINTS
        }
        replica = stack.enter_context(ReplicaPeer())
        thread = stack.enter_context(LoopThread())
        board = PolicyBoard()
        guard = RunningGuard(board, sockets / "guard.sock", thread)
        guard.start()
        stack.callback(guard.stop)
        gateway = stack.enter_context(a_gateway(folder, guard.socket, clouds, replica, Bounds()))
        # Threads share it: a connection kept for one may be closed as idle while another takes it up. Without the
        # header each is kept for a moment, whatever the limit.
        no_limit = httpx.Limits(max_keepalive_connections=0)
        client = stack.enter_context(httpx.Client(timeout=30, limits=no_limit, headers={"connection": "close"}))
        yield House(gateway, guard, board, replica, clouds, client)


@contextlib.contextmanager
def a_gateway(
    folder: Path, guard: Path, clouds: dict[str, CloudStandIn], replica: ReplicaPeer, bounds: Bounds
) -> Iterator[StaticGateway]:
    """Start an Envoy before the guard at this socket."""
    port = free_port()
    resources = compile_gateway(GatewaySettings("127.0.0.1", port, bounds))
    for name, cloud in clouds.items():
        resources += compile_endpoint(a_way_out(name, cloud), bounds)
    for name, prefix in DEPLOYMENTS.items():
        targets = (Target(replica="one", address="127.0.0.1", port=replica.port),) if name == "hello" else ()
        resources += compile_deployment(
            RoutedDeployment("team", name, (name, f"team/{name}"), prefix, ENDPOINTS, True, True, targets)
        )
    bootstrap = static_bootstrap(resources, guard=pipe(guard), agent=tcp(replica.port))
    with StaticGateway(bootstrap, folder, port=port) as gateway:
        eventually(lambda: gateway.health()["local|team/hello"], within_seconds=60)
        yield gateway


def at_once(count: int, work: Any) -> list[Any]:
    """Return what ``count`` parallel calls of ``work`` return."""
    with concurrent.futures.ThreadPoolExecutor(count) as threads:
        return list(threads.map(lambda _: work(), range(count)))
