"""One Ray head for the tests of this folder that do not harm it; each test has an engine of its own on it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.ray_serve import Bench, bench
from tandem_lab.ray_head import RayHead

TESTS = Path(__file__).resolve().parents[2]

DRAIN_SECONDS = 5
"""What goes is still there when a test looks, also on a busy machine."""


@pytest.fixture(scope="session")
def ray_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    """A head with room for what a few tests run at the same time."""
    folder = tmp_path_factory.mktemp("ray")
    soon = {"RAY_SERVE_SLOW_STARTUP_WARNING_S": "2", "RAY_SERVE_SLOW_STARTUP_WARNING_PERIOD_S": "1"}  # else 30 s each
    with RayHead(folder, num_cpus=4, python_path=[TESTS], drain_seconds=DRAIN_SECONDS, env=soon) as head:
        yield head


@pytest.fixture
async def serve(ray_head: RayHead) -> AsyncIterator[Bench]:
    """The engine of a Kubernetes cluster of the test's own."""
    async with bench(ray_head) as on_head:
        yield on_head
