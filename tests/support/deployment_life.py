"""The life of a ModelDeployment: created, given a second replica, edited, deleted. For ``lives``."""

import re
from collections.abc import Callable, Iterable
from typing import Final

from tandem_lab.ray_head import RayHead
from tandem_operator import names

from support.lives import Part
from support.operator_world import World, condition_of, serve_app

GROWTH: Final = {"local": {"replicas": {"min": 2, "max": 2}}}
"""In a part of its own: beside another edit the number goes to Ray in the same document."""

EDIT: Final = {
    **GROWTH,
    "model": {"names": ["chat", "second-name"]},
    "slo": {"timeToFirstTokenMilliseconds": 1234},
}

WRITES: Final = (
    r"PATCH \S+/modeldeployments/[^/]+",  # the finalizer: on, or off
    r"PATCH \S+/modeldeployments/[^/]+/status",
    r"PUT \S+/serve/applications/",
    r"POST \S+/scale",
)


def deployment_life(world: World, ray_head: RayHead) -> Callable[[str], dict[str, Part]]:
    """Return what tells the parts of one deployment's life by its name."""

    def life(name: str) -> dict[str, Part]:
        delete = ("delete", "mdep", name, "-n", world.namespace, "--wait=false")
        return {
            "creation": Part(
                lambda: world.apply(world.deployment(name)), lambda: _settled(world, ray_head, name, [name], 1)
            ),
            "growth": Part(
                lambda: world.apply(world.deployment(name, **GROWTH)),
                lambda: _settled(world, ray_head, name, [name], 2),
                must_happen=False,
            ),
            "edit": Part(
                lambda: world.apply(world.deployment(name, **EDIT)),
                lambda: _settled(world, ray_head, name, ["chat", "second-name"], 2),
                must_happen=False,
            ),
            "deletion": Part(lambda: world.control_plane.kubectl(*delete), lambda: _gone(world, ray_head, name)),
        }

    return life


def missed(killed_at: Iterable[str]) -> list[str]:
    """Return the kinds of writes at which the operator was not killed: it was not the life that is meant."""
    writes = list(killed_at)
    return [kind for kind in WRITES if not any(re.fullmatch(kind, write) for write in writes)]


def _settled(world: World, ray_head: RayHead, name: str, expected_names: list[str], replicas: int) -> None:
    found = world.get(name)
    assert condition_of(found, "Ready") == ("True", "LocalAnswers")
    assert condition_of(found, "RoutesProgrammed") == ("True", "Programmed")
    assert condition_of(found, "Reconciling") == ("", "")
    assert found["metadata"]["finalizers"] == [names.FINALIZER]
    assert found["status"]["names"] == [*expected_names, world.owner_key(name)]
    app = serve_app(ray_head, world, name)
    assert app is not None
    assert app["deployments"]["replica"]["deployment_config"]["user_config"]["names"] == found["status"]["names"]
    policy = world.gateway.policy(world.owner_key(name))
    assert policy is not None
    assert policy["names"] == found["status"]["names"]
    targets = {target["replica"] for target in found["status"]["local"]["targets"]}
    assert len(targets) == world.gateway.addresses(names.local_cluster(world.owner_key(name))) == replicas


def _gone(world: World, ray_head: RayHead, name: str) -> None:
    assert not world.exists(name)
    assert serve_app(ray_head, world, name) is None
    assert world.gateway.policy(world.owner_key(name)) is None
