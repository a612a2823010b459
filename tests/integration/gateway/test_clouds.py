"""Clouds through the whole gateway: edits of an endpoint, an operator that is silent, a restart from disk."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.clouded_gateway import OWNER, CloudedGateway, key, policy, way, words
from support.gateway_house import CHANGE_SECONDS, GatewayHouse, files_below, gateway_house
from support.h2_cloud import h2_cloud
from support.wait import eventually
from support.xds_operator import XdsOperator
from tandem_contract.xds import State
from tandem_lab.cloud import CloudStandIn


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CloudStandIn, CloudStandIn]]:
    """The provider before an edit, and after it."""
    folder = tmp_path_factory.mktemp("clouds")
    with (
        CloudStandIn(folder / "old", key="sk-of-the-old-provider") as old,
        CloudStandIn(folder / "new", key="sk-of-the-new-provider") as new,
    ):
        yield old, new


@pytest.fixture
def gateway(house: GatewayHouse, clouds: tuple[CloudStandIn, CloudStandIn]) -> CloudedGateway:
    """The gateway as it leads to the old provider; nothing was sent yet."""
    gateway = CloudedGateway(house)
    gateway.begin()
    gateway.lead_to(clouds[0])
    until_answered_by(gateway, "cloud/provider")
    for cloud in clouds:
        cloud.received.clear()
    return gateway


def until_answered_by(gateway: CloudedGateway, destination: str) -> None:
    eventually(lambda: gateway.destination() == destination, CHANGE_SECONDS)


def until_denied(gateway: CloudedGateway, word: str) -> None:
    """Wait until a request was denied with this word, and answered locally."""
    before = gateway.denials(word)

    def denied() -> bool:
        return gateway.destination() == "local" and gateway.denials(word) > before

    eventually(denied, CHANGE_SECONDS)


def nothing_strayed(*clouds: CloudStandIn) -> None:
    """Each provider got its own key, and requests that were made for it."""
    for cloud in clouds:
        for received in cloud.received:
            assert received.headers["authorization"] == f"Bearer {cloud.key}"
            assert received.headers["host"] == f"localhost:{cloud.port}"


async def test_an_endpoint_that_is_edited_under_load_sends_nothing_to_the_other_versions_host(
    gateway: CloudedGateway, clouds: tuple[CloudStandIn, CloudStandIn]
) -> None:
    def edits() -> None:
        for cloud in (*reversed(clouds), *reversed(clouds), *reversed(clouds)):
            cloud.received.clear()
            gateway.lead_to(cloud)
            eventually(lambda: len(cloud.received) > 5, CHANGE_SECONDS)  # noqa: B023  called at once
            nothing_strayed(*clouds)

    answers = await gateway.load(edits)
    assert {answer.status for answer in answers} == {200}
    assert {answer.destination for answer in answers} >= {"cloud/provider"}
    nothing_strayed(*clouds)


@pytest.mark.parametrize("half", ["envoy is behind", "envoy is ahead", "the policy is ahead", "the key is ahead"])
def test_while_the_halves_of_an_edit_differ_local_answers(
    gateway: CloudedGateway, clouds: tuple[CloudStandIn, CloudStandIn], half: str
) -> None:
    old, new = clouds
    match half:
        case "envoy is behind":
            gateway.publish(way(old), words(new))
        case "envoy is ahead":
            gateway.publish(way(new), words(old))
        case "the policy is ahead":
            gateway.publish(way(new), [policy(new), key(old)])
        case _:
            gateway.publish(way(old), [policy(old), key(new)])
    until_denied(gateway, "destination")
    for cloud in clouds:
        cloud.received.clear()
    assert {gateway.destination() for _ in range(5)} == {"local"}
    assert not old.received + new.received
    gateway.lead_to(new)
    until_answered_by(gateway, "cloud/provider")
    assert new.received
    nothing_strayed(old, new)


def test_while_envoy_refuses_the_new_way_nothing_leaves_and_local_answers(
    gateway: CloudedGateway, clouds: tuple[CloudStandIn, CloudStandIn]
) -> None:
    old, new = clouds
    broken = [one | ({"connect_timeout": "0s"} if one["name"].startswith("upstream|") else {}) for one in way(new)]
    gateway.publish(broken, words(new))
    eventually(lambda: gateway.house.operator.programmed(OWNER).state is State.REJECTED, CHANGE_SECONDS)
    until_answered_by(gateway, "local")
    for cloud in clouds:
        cloud.received.clear()
    assert {gateway.destination() for _ in range(5)} == {"local"}
    assert not old.received + new.received


def test_a_key_that_was_exchanged_is_used_at_once_and_the_old_one_no_more(
    gateway: CloudedGateway, clouds: tuple[CloudStandIn, CloudStandIn]
) -> None:
    old, _ = clouds
    usual, old.key = old.key, "sk-exchanged"
    try:
        assert gateway.destination() == "local"  # the provider refuses the key of before
        gateway.lead_to(old)
        until_answered_by(gateway, "cloud/provider")
    finally:
        old.key = usual


def test_without_a_word_of_the_operator_for_too_long_nothing_leaves(
    gateway: CloudedGateway, clouds: tuple[CloudStandIn, CloudStandIn]
) -> None:
    gateway.heartbeat(age_seconds=2 * 3600)
    until_denied(gateway, "policy_stale")
    sent = len(clouds[0].received)
    assert {gateway.destination() for _ in range(3)} == {"local"}
    assert len(clouds[0].received) == sent
    gateway.heartbeat()
    until_answered_by(gateway, "cloud/provider")


USAGE = b'"usage":{"prompt_tokens":3,"completion_tokens":4}'
EVENTS = (b'data: {"choices":[{"delta":{}}]}\n\n', b'data: {"choices":[],' + USAGE + b"}\n\n", b"data: [DO", b"NE]\n")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_an_answer_that_ends_with_trailers_is_counted_and_comes_whole(
    gateway: CloudedGateway, tmp_path: Path, stream: bool
) -> None:
    with h2_cloud(tmp_path) as cloud:
        gateway.lead_to(cloud)
        if stream:
            cloud.content_type, cloud.body = "text/event-stream", EVENTS
        else:
            cloud.body = (b'{"choices":[],', USAGE + b"}")
        until_answered_by(gateway, "cloud/provider")
        before = gateway.metric("tandem_cloud_tokens_total", kind="completion")
        unreported = gateway.metric("tandem_cloud_usage_missing_total")
        answer = gateway.house.ask(gateway.model, stream=stream)
        # The answer before may be counted only now.
        eventually(lambda: gateway.metric("tandem_cloud_tokens_total", kind="completion") >= before + 4, CHANGE_SECONDS)
        assert gateway.metric("tandem_cloud_usage_missing_total") == unreported
    assert (answer.cut, answer.destination) == (False, "cloud/provider")
    if stream:
        assert answer.text.split("\n\n") == [EVENTS[0].decode().strip(), "data: [DONE]"]
    else:
        assert answer.json["usage"]["completion_tokens"] == 4


def test_after_a_restart_from_disk_nothing_leaves_until_the_operator_is_back(
    tmp_path_factory: pytest.TempPathFactory, clouds: tuple[CloudStandIn, CloudStandIn]
) -> None:
    cloud, _ = clouds
    with gateway_house(tmp_path_factory.mktemp("restarted")) as house:
        gateway = CloudedGateway(house)
        gateway.begin()
        gateway.lead_to(cloud)
        until_answered_by(gateway, "cloud/provider")
        house.until_saved(gateway.model)
        eventually(lambda: b"cloud|provider" in house.gateway.snapshot.read_bytes(), CHANGE_SECONDS)
        house.operator.stop()
        assert gateway.destination() == "cloud/provider"  # a running gateway goes on, within the limit

        house.gateway.kill_envoy()
        house.gateway.restart_agent()
        house.gateway.start_envoy()
        house.until_ready()
        cloud.received.clear()
        until_answered_by(gateway, "local")
        house.until_answered("mini")  # once found healthy
        assert house.gateway.metric("tandem_gateway_credentials") == 0
        assert not cloud.received

        house.operator = XdsOperator(house.pki.server, house.operator.port).start()
        house.operator.put_gateway(house.port)
        gateway.begin()
        gateway.lead_to(cloud)
        house.operator.open()
        until_answered_by(gateway, "cloud/provider")

        places = {path.name: content for path, content in files_below(house.gateway.folder).items()}
        places["metrics"] = house.gateway.get("/metrics")[1].encode()
        assert {"agent.log", "envoy.log", "snapshot", "metrics"} <= places.keys()
        for place, content in places.items():
            assert cloud.key.encode() not in content, place
            if not place.startswith("tls."):
                assert b"PRIVATE KEY" not in content, place
