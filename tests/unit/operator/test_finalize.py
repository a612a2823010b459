"""The last part of an object's life, where no Ray cluster can be asked."""

from support.builders import a_model_deployment, from_server
from tandem_operator import names
from tandem_operator.finalize import Finalization


class World:
    """Takes what is written, to the object and about it."""

    def __init__(self):
        self.released, self.statuses = [], []

    async def remove_finalizer(self, resource, raw, finalizer):
        self.released.append(raw["metadata"]["name"])

    async def record(self, resource, raw, before, status):
        self.statuses.append(status)

    async def tell(self, raw, note):
        self.told = note.reason


async def test_a_spec_that_names_no_cluster_any_more_is_held_and_says_how_to_let_go():
    world = World()
    raw = from_server(
        a_model_deployment("chat"), finalizers=[names.FINALIZER], deletionTimestamp="2026-01-01T00:00:00Z"
    )
    raw["spec"]["local"]["ray"] = {"fromTheFuture": {}}
    finalization = Finalization(world, world, {}, cluster_uid="01234567")
    assert await finalization.advance(raw) is None
    assert world.released == []
    (ready,) = [each for each in world.statuses[0].conditions if each.type == "Ready"]
    assert ready.reason == "InvalidSpec"
    assert f"kubectl annotate mdep chat -n default {names.ABANDON}=true" in ready.message

    raw["metadata"]["annotations"] = {names.ABANDON: "true"}
    await finalization.advance(raw)
    assert (world.released, world.told) == (["chat"], "ServeAppAbandoned")
