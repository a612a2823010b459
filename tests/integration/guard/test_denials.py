"""Every word of denial, end to end: nothing leaves, and local answers when it can."""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import pytest
from support.guarded_house import LIMIT_SECONDS, OFFERED, House
from tandem_contract.data_class import DataClass
from tandem_contract.headers import Reason
from tandem_serving.gateway.guard_decide import Word

Arrange = Callable[[House, str], Any]


def nothing(house: House, name: str) -> None:
    """Leave the policy as it is: the request's headers are what is wrong."""


CASES = [
    pytest.param(Word.UNKNOWN_DEPLOYMENT, lambda h, _: h.publish(deployments={}), {}, id="deployment without policy"),
    pytest.param(
        Word.POLICY_STALE,
        lambda h, _: h.publish(fresh_at=time.monotonic() - LIMIT_SECONDS - 1),
        {},
        id="operator not heard of for too long",
    ),
    pytest.param(Word.POLICY_STALE, lambda h, _: h.publish(fresh_at=None), {}, id="operator never heard of"),
    pytest.param(Word.UNKNOWN_ENDPOINT, lambda h, _: h.publish(endpoints={}), {}, id="endpoint without policy"),
    pytest.param(Word.NOT_CHOSEN, lambda h, name: h.change_deployment(name, clouds=()), {}, id="no longer chosen"),
    pytest.param(Word.CREDENTIAL_MISSING, lambda h, _: h.publish(credentials={}), {}, id="Secret missing"),
    pytest.param(Word.NAMESPACE, lambda h, _: h.change_endpoints(namespaces=("other",)), {}, id="namespace"),
    pytest.param(Word.DATA_CLASS, nothing, {"x-tandem-data-class": "Restricted"}, id="client raises the class"),
    pytest.param(Word.DATA_CLASS, nothing, {"x-tandem-data-class": "Secret"}, id="class that nobody defined"),
    pytest.param(
        Word.DATA_CLASS,
        lambda h, name: h.change_deployment(name, data_class=DataClass.RESTRICTED),
        {"x-tandem-data-class": "Public"},
        id="client cannot lower the class",
    ),
    pytest.param(Word.REGION, lambda h, name: h.change_deployment(name, regions=("eu-fr",)), {}, id="another region"),
    pytest.param(Word.REASON, lambda h, name: h.change_deployment(name, when=(Reason.FAILOVER,)), {}, id="reason"),
    pytest.param(Word.MODEL, lambda h, _: h.change_endpoints(models={"another": 8192}), {}, id="model not offered"),
    pytest.param(Word.CONTEXT, lambda h, _: h.change_endpoints(models={OFFERED: 1}), {}, id="longer than the context"),
    pytest.param(Word.PATH, lambda h, name: h.change_deployment(name, prefix="/elsewhere"), {}, id="another prefix"),
    pytest.param(
        Word.ERROR,
        lambda h, _: h.board.publish(dataclasses.replace(h.board.current(), deployments=None)),  # type: ignore[arg-type]  # broken on purpose
        {},
        id="the guard itself fails",
    ),
]
REDIRECTED_ALONE = pytest.param(
    Word.TOKEN, lambda h, name: h.change_deployment(name, token="of another"), {}, id="another's token"
)


def denials(house: House, word: Word, name: str) -> float:
    known = "" if word in (Word.UNKNOWN_DEPLOYMENT, Word.ERROR) else f"team/{name}"
    return sum(
        house.guard.metric("tandem_guard_denials_total", deployment=known, endpoint=endpoint, word=word.value)
        for endpoint in house.clouds
    )


@pytest.mark.parametrize(("word", "arrange", "headers"), [*CASES, REDIRECTED_ALONE])
def test_a_denied_overflow_is_answered_locally(
    house: House, word: Word, arrange: Arrange, headers: dict[str, str]
) -> None:
    arrange(house, "hello")
    house.replica.behave("/app-hello", "saturated")
    before = denials(house, word, "hello")
    answer = house.chat("hello", headers=headers)
    assert (answer.status_code, answer.headers["x-tandem-destination"]) == (200, "local")
    assert house.received == 0
    assert denials(house, word, "hello") == before + 2  # by each of the two clouds' guards


@pytest.mark.parametrize(("word", "arrange", "headers"), CASES)
def test_a_denied_bridge_is_an_honest_503(house: House, word: Word, arrange: Arrange, headers: dict[str, str]) -> None:
    arrange(house, "cold")
    before = denials(house, word, "cold")
    answer = house.chat("cold", headers=headers)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "unavailable"
    assert answer.headers["retry-after"]
    assert house.received == 0
    assert denials(house, word, "cold") > before


def test_the_clients_wish_to_stay_is_kept_before_the_guard_is_asked(house: House) -> None:
    answer = house.chat(headers={"x-tandem-route": "local"})
    assert answer.status_code == 503
    assert house.received == 0


def test_an_endpoint_that_failed_is_not_asked_twice_for_one_request(house: House) -> None:
    def repeats() -> float:
        return house.guard.metric(
            "tandem_guard_denials_total", deployment="team/cold", endpoint="cloud-a", word=Word.REPEATED.value
        )

    before = repeats()
    house.clouds["cloud-a"].fail("500")
    assert house.chat().headers["x-tandem-destination"] == "cloud/cloud-b"
    assert len(house.clouds["cloud-a"].received) == 1
    assert repeats() > before  # Envoy did ask twice: the composite does not advance past an empty member
