"""vLLM with Gemma 3 270M as one replica on a Ray head, started once."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.ray_serve import Bench, bench
from tandem_lab import gemma
from tandem_lab.ray_head import RayHead
from tandem_operator.api.v1alpha1 import Target
from tandem_operator.engines.serve_document import App

START_SECONDS = 1200
QUICK = {"enforce-eager": "true", "kv-cache-memory-bytes": "268435456", "max-num-seqs": "8"}
"""What makes vLLM start soon and small on a CPU: no compilation, and a cache of 256 MiB."""


@pytest.fixture(scope="session")
def ray_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    with RayHead(tmp_path_factory.mktemp("ray"), num_cpus=2, drain_seconds=1) as head:
        yield head


class Gemma:
    """The deployed model."""

    def __init__(self, on_head: Bench, app: App, target: Target) -> None:
        self.bench = on_head
        self.app = app
        self.url = f"http://{target.address}:{target.port}{app['route_prefix']}"

    async def metric(self, name: str) -> float:
        """Return the sum of all samples of one metric of ``/metrics``."""
        async with self.bench.session.get(self.url + "/metrics") as response:
            lines = (await response.text()).splitlines()
        found = [float(line.rpartition(" ")[2]) for line in lines if line.split("{")[0].split(" ")[0] == name]
        assert found, f"no {name}"
        return sum(found)


def document(on_head: Bench, name: str, source: Path, **engine_args: str) -> App:
    """Return the application of vLLM, as the operator writes it."""
    spec: dict[str, Any] = {
        "model": {"source": f"file://{source}", "maxModelLen": 1024},
        "local": {"engineArgs": {**QUICK, **engine_args}, "resources": {"cpu": "1", "memory": "4Gi", "gpus": "0"}},
        "slo": {"timeToFirstTokenMilliseconds": 10_000},
    }
    app = on_head.app(name, live={"overflow": True, "cloud": True}, **spec)
    return {**app, "import_path": "tandem_serving.replica.app:build"}


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gemma_replica(ray_head: RayHead) -> AsyncIterator[Gemma]:
    source = gemma.prepare()
    async with bench(ray_head) as on_head:
        app = document(on_head, "hello", source)
        await on_head.engine.apply(app, 1)
        state = await on_head.until(app, ready=1, within_seconds=START_SECONDS)
        assert state.targets
        yield Gemma(on_head, app, state.targets[0])
