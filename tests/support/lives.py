"""Lives of a deployment in which the operator is killed, at one write after the other, and started again.

Writes go to the API server and to the Ray head alike. A part of a life (creation, edit, deletion) that ended before
the n-th write is not tried at a later one; an edit is not even made then.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tandem_lab.control_plane import ControlPlane
from tandem_lab.ray_head import RayHead
from tandem_operator import names

from support.fault_proxy import Fuse, When
from support.operator_world import SETTLE_SECONDS, World, condition_of, faulty, running_world, serve_app
from support.wait import eventually

EDIT: Final = {"model": {"names": ["chat", "second-name"]}, "slo": {"timeToFirstTokenMilliseconds": 1234}}
SETTINGS: Final = {"identity": "the-only-one"}
"""Its own Lease is free to it at once: how one runs out has tests of its own, and would be waited for in vain here."""


LEAST_WRITES: Final = 3
"""Finalizer, Serve's document, status: a life with fewer was not the life that is meant."""


@contextmanager
def crashing_world(control_plane: ControlPlane, ray_head: RayHead, folder: Path) -> Iterator[tuple[World, Fuse]]:
    """Yield a world whose operator's writes go through a fuse."""
    with faulty(control_plane, ray_head, folder) as (fuse, _, file, entry):
        fuse.disarm()
        with running_world(control_plane, folder, {"lab": entry}, kubeconfig_file=file, settings=SETTINGS) as world:
            yield world, fuse


@dataclass
class Lives:
    """``left`` are the parts that may have a write left to be killed at."""

    world: World
    fuse: Fuse
    ray_head: RayHead
    when: When
    left: set[str] = field(default_factory=lambda: {"creation", "edit", "deletion"})

    def live_until_no_write_is_left(self) -> int:
        """Return the number of the first write that no part of a life had."""
        for number in itertools.count(1):
            if not self.left:
                return number
            self._live(number)
        raise AssertionError

    def _live(self, number: int) -> None:
        name = f"crash-{number}-{self.when.name.lower()}"
        delete = ("delete", "mdep", name, "-n", self.world.namespace, "--wait=false")
        self._part(
            "creation", number, lambda: self.world.apply(self.world.deployment(name)), self._settled(name, [name])
        )
        if "edit" in self.left:
            edited = self._settled(name, ["chat", "second-name"])
            self._part("edit", number, lambda: self.world.apply(self.world.deployment(name, **EDIT)), edited)
        self._part("deletion", number, lambda: self.world.control_plane.kubectl(*delete), self._gone(name))

    def _part(self, part: str, number: int, act: Callable[[], Any], arrive: Callable[[], None]) -> None:
        """Act with an armed fuse, start the operator again if it was killed, and wait until all is as it should be."""
        operator = self.world.operator
        if not operator.alive:  # killed in the last moment of the part before
            operator.start()
        if part in self.left:
            self.fuse.arm(number, self.when, operator.kill)
        act()
        eventually(lambda: self.fuse.blown.is_set() or _quietly(arrive), SETTLE_SECONDS)
        if not self.fuse.blown.is_set():
            self.left.discard(part)
        self.fuse.disarm()
        if not operator.alive:
            operator.start()
        eventually(lambda: arrive() or True, SETTLE_SECONDS)

    def _settled(self, name: str, expected_names: list[str]) -> Callable[[], None]:
        world = self.world

        def check() -> None:
            found = world.get(name)
            assert condition_of(found, "Ready") == ("True", "LocalAnswers")
            assert condition_of(found, "RoutesProgrammed") == ("True", "Programmed")
            assert condition_of(found, "Reconciling") == ("", "")
            assert found["metadata"]["finalizers"] == [names.FINALIZER]
            assert found["status"]["names"] == [*expected_names, world.owner_key(name)]
            app = serve_app(self.ray_head, world, name)
            assert app is not None
            assert (
                app["deployments"]["replica"]["deployment_config"]["user_config"]["names"] == found["status"]["names"]
            )
            policy = world.gateway.policy(world.owner_key(name))
            assert policy is not None
            assert policy["names"] == found["status"]["names"]
            assert len({target["replica"] for target in found["status"]["local"]["targets"]}) == 1

        return check

    def _gone(self, name: str) -> Callable[[], None]:
        def check() -> None:
            assert not self.world.exists(name)
            assert serve_app(self.ray_head, self.world, name) is None
            assert self.world.gateway.policy(self.world.owner_key(name)) is None

        return check


def _quietly(arrive: Callable[[], None]) -> bool:
    try:
        arrive()
    except AssertionError:
        return False
    return True
