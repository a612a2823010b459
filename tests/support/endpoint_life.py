"""The life of a CloudEndpoint: created, led to another place, deleted. For ``lives``."""

from collections.abc import Callable
from typing import Final

from tandem_contract.xds.types import CLUSTER
from tandem_operator import names

from support.lives import Part
from support.operator_world import World

SECRET: Final = "of-a-crash"


def endpoint_life(world: World) -> Callable[[str], dict[str, Part]]:
    """Return what tells the parts of one endpoint's life by its name; all share one Secret."""
    credentials = {"secretRef": {"name": SECRET, "key": "api-key"}}

    def life(name: str) -> dict[str, Part]:
        def leads_to(host: str) -> Part:
            spec = {"url": f"https://{host}/v1", "credentials": credentials}
            return Part(lambda: world.apply(world.endpoint(name, **spec)), lambda: _usable(world, name, host))

        delete = ("delete", "cloudep", name, "--wait=false")
        return {
            "creation": leads_to("one.example.com"),
            "edit": leads_to("two.example.com"),
            "deletion": Part(lambda: world.control_plane.kubectl(*delete), lambda: _gone(world, name)),
        }

    return life


def _usable(world: World, name: str, host: str) -> None:
    found = {type_: world.endpoint_condition(name, type_) for type_ in ("Ready", "RoutesProgrammed")}
    assert found == {"Ready": ("True", "EndpointAvailable"), "RoutesProgrammed": ("True", "Programmed")}
    policy = world.gateway.endpoint_policy(name)
    assert policy is not None
    assert policy["authority"] == host
    assert world.gateway.credential(name) == f"Bearer sk-{SECRET}"
    assert host.encode() in b"".join(_ways_out(world, name))


def _gone(world: World, name: str) -> None:
    left = world.control_plane.run_kubectl("get", "cloudep", name, "--ignore-not-found")
    assert not left.stdout.strip()
    assert world.gateway.endpoint_policy(name) is None
    assert world.gateway.credential(name) is None
    assert not _ways_out(world, name)


def _ways_out(world: World, name: str) -> list[bytes]:
    hop, upstream = names.cloud_cluster(name), names.upstream_statistics(name)
    clusters = dict(world.gateway.held[CLUSTER])  # at once: the gateway has a thread of its own
    return [held for key, held in clusters.items() if key == hop or key.startswith((f"{hop}|", f"{upstream}|"))]
