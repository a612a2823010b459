"""One gateway with its guard and clouds for this folder."""

from collections.abc import Iterator

import pytest
from support.guarded_house import House, guarded_house


@pytest.fixture(scope="session")
def running_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with guarded_house(tmp_path_factory.mktemp("guard")) as running:
        yield running


@pytest.fixture
def house(running_house: House) -> House:
    running_house.reset()
    return running_house
