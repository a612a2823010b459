import pytest
from pydantic import ValidationError
from tandem_serving.gateway.config import GatewayConfig


def test_operators_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TANDEM_GATEWAY_OPERATORS", "a.svc:18000, [::1]:18001,")
    assert GatewayConfig().operators == ("a.svc:18000", "[::1]:18001")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        pytest.param("OPERATORS", "tandem-operator.svc", "not host:port", id="an operator without a port"),
        pytest.param("OPERATORS", "", "at least one", id="no operator"),
        pytest.param("RUN_DIR", "/" + "x" * 100, "too long", id="a socket path that the kernel refuses"),
        pytest.param("HTTP_PORT", "0", "greater than", id="a port that nobody can know"),
    ],
)
def test_a_wrong_setting_is_refused_at_start(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(f"TANDEM_GATEWAY_{name}", value)
    with pytest.raises(ValidationError, match=message):
        GatewayConfig()
