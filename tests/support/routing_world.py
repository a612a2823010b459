"""One real Envoy with compiled resources and a peer for everything behind it: what tests of the routes share.

The peers act on the body of each request, so tests do not disturb one another; what they saw is found by request id.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tandem_lab.certificates import Authority
from tandem_lab.process import free_port
from tandem_operator.routing import (
    Bounds,
    GatewaySettings,
    RoutedDeployment,
    RoutedEndpoint,
    Target,
    compile_deployment,
    compile_endpoint,
    compile_gateway,
)

from support.agent_peer import AgentPeer
from support.cloud_peer import CloudPeer
from support.guard_peer import TRACE, GuardPeer, Judged
from support.replica_peer import ReplicaPeer, Seen
from support.static_gateway import StaticGateway, pipe, static_bootstrap, tcp
from support.wait import eventually

SPEED = 200
"""How much faster time runs here than with the usual bounds: they keep their proportions."""

BOUNDS = Bounds(**{name: bound / SPEED for name, bound in asdict(Bounds()).items()} | {"guard": Bounds().guard})
CLOUDS = ("east", "west")


@dataclass
class World:
    """The gateway and what is behind it."""

    gateway: StaticGateway
    replicas: ReplicaPeer
    sick: ReplicaPeer
    """Looks healthy and answers 500."""

    cloud: CloudPeer
    guard: GuardPeer

    @property
    def url(self) -> str:
        return self.gateway.url

    def at_replicas(self, request_id: str) -> list[Seen]:
        return [seen for seen in self.replicas.seen if seen.headers.get("x-request-id") == request_id]

    def at_cloud(self, request_id: str) -> list[Seen]:
        return [seen for seen in self.cloud.seen if seen.headers.get(TRACE) == request_id]

    def at_guard(self, request_id: str) -> list[Judged]:
        return [judged for judged in self.guard.judged if judged.headers.get("x-request-id") == request_id]


@contextmanager
def routing_world(folder: Path, dead_port: int) -> Iterator[World]:
    """Start everything; ``dead_port`` refuses connections."""
    authority = Authority()
    with (
        ReplicaPeer() as replicas,
        ReplicaPeer(default="500") as sick,
        CloudPeer(authority, folder) as cloud,
        CloudPeer(authority, folder, host="other.example") as impostor,
        tempfile.TemporaryDirectory(prefix="tandem-") as sockets,  # a socket's path has no more than 107 characters
        GuardPeer(Path(sockets, "guard.sock")) as guard,
        AgentPeer() as agent,
    ):
        port = free_port()
        ways_out = endpoints(cloud, impostor, authority, dead_port)
        resources = [
            *compile_gateway(GatewaySettings("127.0.0.1", port, BOUNDS)),
            *(
                resource
                for some in deployments(replicas.port, sick.port, dead_port)
                for resource in compile_deployment(some, BOUNDS)
            ),
            *(resource for endpoint in ways_out for resource in compile_endpoint(endpoint, BOUNDS)),
        ]
        bootstrap = static_bootstrap(resources, guard=pipe(guard.socket), agent=tcp(agent.port))
        with StaticGateway(bootstrap, folder, port=port) as gateway:
            eventually(lambda: usable(gateway, "local|ns/two") == 2, within_seconds=60)
            eventually(lambda: usable(gateway, "local|ns/dead") == 0, within_seconds=60)
            yield World(gateway, replicas, sick, cloud, guard)


def usable(gateway: StaticGateway, cluster: str) -> int:
    return len(gateway.health()[cluster])


def deployments(port: int, sick_port: int, dead_port: int) -> list[RoutedDeployment]:
    one = (target(port),)
    return [
        deployment("chat", one, CLOUDS),
        deployment("one-cloud", one, ("east",)),
        deployment("two", (target(port), target(sick_port)), ("east",)),
        deployment("alone", one, ()),
        deployment("failing-over", one, ("east",), overflows=False),
        deployment("overflowing", one, ("east",), fails_over=False),
        deployment("strict", one, ("east",), fails_over=False, overflows=False),
        deployment("empty", (), ("east",)),
        deployment("dead", (target(dead_port),), ("east",)),
        deployment("nowhere", (), ()),
        deployment("no-such-cloud", (), ("vanished", "east")),
        deployment("down-then-up", (), ("down", "east")),
        deployment("impostor", (), ("impostor",)),
        deployment("untrusted", (), ("untrusted",)),
    ]


def deployment(
    name: str, targets: tuple[Target, ...], clouds: tuple[str, ...], *, fails_over: bool = True, overflows: bool = True
) -> RoutedDeployment:
    return RoutedDeployment("ns", name, (name, f"ns/{name}"), f"/app-{name}", clouds, fails_over, overflows, targets)


def target(port: int) -> Target:
    return Target(replica=f"replica-{port}", address="127.0.0.1", port=port)


def endpoints(cloud: CloudPeer, impostor: CloudPeer, authority: Authority, dead_port: int) -> list[RoutedEndpoint]:
    stranger = Authority()
    return [
        way_out("east", cloud.port, authority.ca_pem),
        way_out("west", cloud.port, authority.ca_pem),
        way_out("down", dead_port, authority.ca_pem),
        way_out("impostor", impostor.port, authority.ca_pem),
        way_out("untrusted", cloud.port, stranger.ca_pem),
    ]


def way_out(name: str, port: int, ca_pem: str) -> RoutedEndpoint:
    return RoutedEndpoint(name, f"https://localhost:{port}/v1", "eu-de", ca_pem)
