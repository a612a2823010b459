"""One Ray head for this folder, and small models behind the real middleware on it."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from support.ray_serve import Bench, bench
from tandem_lab.ray_head import RayHead
from tandem_operator.api.v1alpha1 import Target
from tandem_operator.engines.serve_document import App

OBJECTIVE_MILLISECONDS = 500


@pytest.fixture(scope="session")
def ray_head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayHead]:
    """A head with room for a few replicas; a replica that goes has a second to do it in."""
    with RayHead(tmp_path_factory.mktemp("ray"), num_cpus=4, drain_seconds=1) as head:
        yield head


class SmallModel:
    """One application of the small model, asked at its replicas' own ports as the gateway asks."""

    def __init__(self, on_head: Bench, app: App, switches: Path) -> None:
        self.bench = on_head
        self.app = app
        self._switches = switches

    @property
    def prefix(self) -> str:
        return str(self.app["route_prefix"])

    def switch(self, **switches: Any) -> None:
        """Change how it misbehaves, now."""
        beside = self._switches.with_suffix(".new")
        beside.write_text(json.dumps(switches))
        beside.rename(self._switches)

    async def targets(self) -> tuple[Target, ...]:
        return (await self.bench.state(self.app)).targets or ()

    async def url(self, path: str) -> str:
        """Return the address of a path at the first replica."""
        target = (await self.targets())[0]
        return f"http://{target.address}:{target.port}{self.prefix}{path}"

    @asynccontextmanager
    async def get(self, path: str, url: str | None = None) -> AsyncIterator[aiohttp.ClientResponse]:
        async with self.bench.session.get(url or await self.url(path)) as response:
            yield response

    @asynccontextmanager
    async def chat(
        self,
        text: str = "hello there",
        *,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        asked = {"model": "hello", "messages": [{"role": "user", "content": text}], **body}
        target = url or await self.url("/v1/chat/completions")
        async with self.bench.session.post(target, json=asked, headers=headers, allow_redirects=False) as response:
            yield response

    async def metric(self, name: str, url: str | None = None) -> float:
        """Return one sample of ``/metrics`` by its name with labels, 0 when it is not there yet."""
        async with self.get("/metrics", url) as response:
            lines = (await response.text()).splitlines()
        return next((float(line.rpartition(" ")[2]) for line in lines if line.rpartition(" ")[0] == name), 0.0)


class SmallModels:
    """Deploys small models; the bench takes them out again."""

    def __init__(self, on_head: Bench, folder: Path) -> None:
        self.bench = on_head
        self._folder = folder

    def document(self, name: str = "hello", *, switches: dict[str, Any] | None = None, **spec: Any) -> SmallModel:
        """Return one that is not deployed yet."""
        file = self._folder / f"{name}.json"
        live = {"overflow": True, "cloud": True, **spec.pop("live", {})}
        merged = {
            "slo": {"timeToFirstTokenMilliseconds": OBJECTIVE_MILLISECONDS},
            **spec,
            "model": {"source": f"file://{file}", "maxModelLen": 4096},
        }
        app = {**self.bench.app(name, live=live, **merged), "import_path": "tandem_lab.small_model:build"}
        model = SmallModel(self.bench, app, file)
        model.switch(**(switches or {}))
        return model

    async def deploy(self, name: str = "hello", *, replicas: int = 1, **how: Any) -> SmallModel:
        model = self.document(name, **how)
        await self.bench.deploy(model.app, replicas)
        return model

    async def again(self, model: SmallModel, *, replicas: int = 1, **changes: Any) -> None:
        """Edit what runs: ``changes`` are of the live configuration."""
        deployment = model.app["deployments"][0]
        edited = {**deployment, "user_config": {**deployment["user_config"], **changes}}
        model.app = {**model.app, "deployments": [edited]}
        await self.bench.engine.apply(model.app, replicas)


@pytest_asyncio.fixture(loop_scope="session")
async def small_models(ray_head: RayHead, tmp_path: Path) -> AsyncIterator[SmallModels]:
    """For tests that deploy models of their own."""
    async with bench(ray_head) as on_head:
        yield SmallModels(on_head, tmp_path)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def steady_model(ray_head: RayHead, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SmallModel]:
    """One replica for all tests that leave it as it was; they misbehave by the request."""
    async with bench(ray_head) as on_head:
        yield await SmallModels(on_head, tmp_path_factory.mktemp("steady")).deploy()
