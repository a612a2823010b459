"""``docs/reference/gateway.md`` names everything that whoever runs a gateway meets."""

import re

import pytest
from prometheus_client import CollectorRegistry
from pydantic import SecretStr
from support.reference_page import REFERENCE, metrics_there, metrics_told
from tandem_contract.headers import Reason
from tandem_serving.gateway.config import GatewayConfig
from tandem_serving.gateway.guard_decide import Deny, Send, Word
from tandem_serving.gateway.metrics import RelayMetrics, StateCollector
from tandem_serving.gateway.policy_board import PolicyBoard
from tandem_serving.gateway.relay_mirror import Counts
from tandem_serving.gateway.sse import Tokens
from tandem_serving.gateway.usage import UsageMeter

PAGE = (REFERENCE / "gateway.md").read_text()
TOLD = dict(re.findall(r"^\| `TANDEM_GATEWAY_([A-Z_]+)` \| (.+?) \| \S", PAGE, re.MULTILINE))


def default_of(name: str) -> str:
    """Return a setting's default as its environment variable would be written."""
    field = GatewayConfig.model_fields[name]
    if field.default_factory:
        return "the host's name"
    return f"`{','.join(field.default) if isinstance(field.default, tuple) else field.default}`"


@pytest.mark.parametrize("setting", GatewayConfig.model_fields)
def test_every_setting_is_named_with_its_default(setting):
    assert TOLD[setting.upper()] == default_of(setting)


def test_no_setting_is_named_that_does_not_exist():
    assert {name.lower() for name in TOLD} == set(GatewayConfig.model_fields)


def test_every_metric_is_named_with_its_labels_and_no_other():
    registry = CollectorRegistry()
    RelayMetrics(registry)
    registry.register(StateCollector(PolicyBoard(), Counts(), lambda: 1))
    touch(UsageMeter(registry))

    assert metrics_told(PAGE) == metrics_there(registry)


def touch(meter: UsageMeter) -> None:
    """Give every metric with labels a sample."""
    send = Send(
        deployment="team/m",
        endpoint="e",
        reason=Reason.BRIDGE,
        model="big",
        context_tokens=1,
        authority="cloud",
        path="/v1",
        authorization=SecretStr("Bearer k"),
    )
    meter.watch_places(lambda: {"e": 1})
    meter.denied(Deny(Word.PATH, ""), deployment="team/m", endpoint="e")
    meter.sent(send, code="200")
    meter.ended(send, seconds=1)
    meter.used(send, Tokens(1, 1))
    meter.used(send, None)
