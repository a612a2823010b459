"""The gateway and its peers, started once for this folder."""

import socket
from collections.abc import Iterator

import pytest
from support.routing_world import World, routing_world


@pytest.fixture(scope="session")
def dead_port() -> Iterator[int]:
    """A port that refuses connections and that nobody else gets."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory, dead_port: int) -> Iterator[World]:
    with routing_world(tmp_path_factory.mktemp("routing"), dead_port) as running:
        yield running
