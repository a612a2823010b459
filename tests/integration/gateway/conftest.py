"""One gateway for each file of tests: what a test breaks it mends, or it starts one of its own."""

from collections.abc import Iterator

import pytest
from support.gateway_house import GatewayHouse, gateway_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayHouse]:
    with gateway_house(tmp_path_factory.mktemp("gateway")) as house:
        yield house
