"""Lives of an object in which the operator is killed, at one write after the other, and started again.

Writes go to the API server and to the Ray head alike. A part of a life (creation, edit, deletion) that ended before
the n-th write is not tried at a later one; an edit is not even made then. What lives is told by ``deployment_life`` and
``endpoint_life``.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from tandem_lab.control_plane import ControlPlane
from tandem_lab.ray_head import RayHead

from support.fault_proxy import Fuse, When
from support.operator_world import SETTLE_SECONDS, World, faulty, faulty_api, running_world
from support.wait import eventually

SETTINGS: Final = {"identity": "the-only-one"}
"""Its own Lease is free to it at once: how one runs out has tests of its own, and would be waited for in vain here."""


class Part(NamedTuple):
    """One thing that people do to an object, and the assertions that hold when the operator is done with it."""

    act: Callable[[], Any]
    arrive: Callable[[], None]
    must_happen: bool = True
    """Whether later parts need it even when it has no write left to be killed at."""


@contextmanager
def crashing_world(control_plane: ControlPlane, ray_head: RayHead, folder: Path) -> Iterator[tuple[World, Fuse]]:
    """Yield a world whose operator's writes go through a fuse."""
    with faulty(control_plane, ray_head, folder) as (fuse, _, file, entry):
        fuse.disarm()
        with running_world(control_plane, folder, {"lab": entry}, kubeconfig_file=file, settings=SETTINGS) as world:
            yield world, fuse


@contextmanager
def crashing_world_without_ray(control_plane: ControlPlane, folder: Path) -> Iterator[tuple[World, Fuse]]:
    """Yield a world whose operator's writes to the API server go through a fuse, and which has no Ray cluster."""
    fuse = Fuse(counts=lambda _, path: "/leases" not in path and not path.endswith("/events"))
    fuse.disarm()
    with (
        faulty_api(control_plane, folder, fuse) as (_, file),
        running_world(control_plane, folder, {}, kubeconfig_file=file, settings=SETTINGS) as world,
    ):
        yield world, fuse


@dataclass
class Lives:
    """``life`` returns the parts of the object that has this name."""

    world: World
    fuse: Fuse
    when: When
    life: Callable[[str], dict[str, Part]]
    killed_at: list[str] = field(default_factory=list)
    """Writes at which the operator was killed."""

    def live_until_no_write_is_left(self) -> None:
        left = set(self.life(""))
        for number in itertools.count(1):
            if not left:
                return
            for name, part in self.life(f"crash-{number}-{self.when.name.lower()}").items():
                if (name in left or part.must_happen) and not self._live(part, number if name in left else 0):
                    left.discard(name)

    def _live(self, part: Part, number: int) -> bool:
        """Act with an armed fuse, start the operator again if it was killed, and wait until all is as it should be.

        Return whether it was killed.
        """
        operator = self.world.operator
        if not operator.alive:  # killed in the last moment of the part before
            self._start_again()
        self.fuse.arm(number, self.when, operator.kill)
        part.act()
        eventually(lambda: self.fuse.blown.is_set() or _quietly(part.arrive), SETTLE_SECONDS)
        killed = self.fuse.blown.is_set()
        if killed:
            self.killed_at.append(self.fuse.seen[number - 1])
        self.fuse.disarm()
        if not operator.alive:
            self._start_again()
        eventually(lambda: part.arrive() or True, SETTLE_SECONDS)
        return killed

    def _start_again(self) -> None:
        """Wait for the new process's own word: until then the gateway has what the old one told it."""
        let_in = len(self.world.gateway.streams)
        self.world.operator.start()
        eventually(lambda: len(self.world.gateway.streams) > let_in, SETTLE_SECONDS)


def _quietly(arrive: Callable[[], None]) -> bool:
    try:
        arrive()
    except AssertionError:
        return False
    return True
