"""With 1,000 deployments a change costs what changed: on the wire, in the agent, in Envoy."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.gateway_house import GatewayHouse, gateway_house
from support.wait import eventually
from support.xds_operator import compile_model
from tandem_contract.xds.types import CLUSTER

MANY = 1000
CLUSTERS = sum(message["@type"] == CLUSTER for message in compile_model("one", 1))
"""Of one deployment."""

PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayHouse]:
    folder: Path = tmp_path_factory.mktemp("thousand")
    with gateway_house(folder, models=("mini",)) as house:
        for i in range(MANY):
            house.operator.put_model(f"m{i}", house.replicas.port)
        owners = [f"deployment/team/m{i}" for i in range(MANY)]
        eventually(lambda: house.operator.accepted(*owners), PATIENCE_SECONDS, every=1)
        yield house


def changes(before: dict[str, int], after: dict[str, int]) -> tuple[int, ...]:
    """Return how many clusters Envoy has added, modified and removed in between."""
    return tuple(after[f"cluster_{what}"] - before[f"cluster_{what}"] for what in ("added", "modified", "removed"))


def counters(house: GatewayHouse) -> dict[str, int]:
    """Return what Envoy and the agent count of updates."""
    stats = house.gateway.envoy.admin("/stats?filter=cluster_manager.cluster_")
    found = {name: int(value) for name, value in re.findall(r"^cluster_manager\.(\S+): (\d+)$", stats, re.MULTILINE)}
    found["resources"] = int(house.gateway.metric("tandem_gateway_resources_total") or 0)
    return found


def test_every_model_is_listed_and_answers(crowded: GatewayHouse) -> None:
    listed = crowded.ask("", path="/v1/models", method="GET", body=b"")
    assert len(listed.json["data"]) == 2 * (MANY + 1)
    crowded.until_answered("m0", "m500", f"team/m{MANY - 1}", within_seconds=PATIENCE_SECONDS)  # once found healthy


def test_one_new_replica_sends_one_resource_and_changes_no_cluster(crowded: GatewayHouse) -> None:
    before = counters(crowded)
    owner = crowded.operator.put_model("m500", crowded.replicas.port, 9)
    eventually(lambda: crowded.operator.accepted(owner), PATIENCE_SECONDS)
    after = counters(crowded)
    assert after["resources"] - before["resources"] == 1
    assert changes(before, after) == (0, 0, 0)


def test_one_edited_deployment_sends_its_own_resources_alone(crowded: GatewayHouse) -> None:
    before = counters(crowded)
    owner = crowded.operator.put_model("m7", crowded.replicas.port, prefix="/renamed")
    eventually(lambda: crowded.operator.accepted(owner), PATIENCE_SECONDS)
    after = counters(crowded)
    assert after["resources"] - before["resources"] == CLUSTERS + 2  # and the endpoints, and the policy
    assert changes(before, after) == (0, CLUSTERS, 0)


def test_one_deleted_deployment_removes_its_own_clusters_alone(crowded: GatewayHouse) -> None:
    before = counters(crowded)
    crowded.operator.drop("deployment/team/m8")
    eventually(lambda: crowded.operator.accepted("deployment/team/m8"), PATIENCE_SECONDS)
    after = counters(crowded)
    assert changes(before, after) == (0, 0, CLUSTERS)
    assert crowded.status("m8") == 404
    crowded.until_answered("m9")


def test_the_agent_comes_back_from_disk_with_all_of_them(crowded: GatewayHouse) -> None:
    crowded.until_saved("m0", f"m{MANY - 1}")
    crowded.gateway.restart_agent()
    crowded.gateway.restart_envoy()
    eventually(lambda: crowded.gateway.ready, PATIENCE_SECONDS)
    crowded.until_answered("m0", f"m{MANY - 1}", within_seconds=PATIENCE_SECONDS)
    stats = crowded.gateway.envoy.admin("/stats?usedonly")
    assert len(stats.splitlines()) < 100_000
