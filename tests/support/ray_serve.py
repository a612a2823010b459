"""A Ray head and Tandem's engine on it, as tests of the engine use them; and a foreign writer beside it."""

import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from prometheus_client import CollectorRegistry
from tandem_lab.ray_head import LOOPBACK, RayHead
from tandem_operator import names
from tandem_operator.api.v1alpha1 import ModelDeployment, Target
from tandem_operator.clients.ray_metrics import RayMetrics
from tandem_operator.clients.ray_serve import RayServeClient
from tandem_operator.engines.serve_document import App, app_document
from tandem_operator.engines.serve_engine import ServeEngine
from tandem_operator.errors import Hold
from tandem_operator.observed import AppState

from support.builders import a_model_deployment, merged
from support.wait import eventually_async

_NUMBERS = itertools.count(1)
START_SECONDS = 150


@dataclass
class Bench:
    """One Kubernetes cluster's engine on a Ray head, with what it deployed."""

    head: RayHead
    session: aiohttp.ClientSession
    client: RayServeClient
    engine: ServeEngine
    registry: CollectorRegistry
    cluster_uid: str
    apps: list[str] = field(default_factory=list)

    def app(self, name: str = "hello", *, live: dict[str, Any] | None = None, **spec: Any) -> App:
        """Return the document of a deployment; ``spec`` as in YAML, ``live`` overrides what the routes allow."""
        deployment = ModelDeployment.model_validate(a_model_deployment(name, spec=merged(SMALL, spec)))
        app = names.serve_app(self.cluster_uid, "default", name)
        allowed = {"model_names": (name, f"default/{name}"), "token": "t0k3n", "overflow": False, "cloud": False}
        if app not in self.apps:
            self.apps.append(app)
        return app_document(deployment, app=app, import_path="support.ray_apps:build", **allowed | (live or {}))

    async def state(self, app: App) -> AppState:
        return await self.engine.observe(app["name"])

    async def until(self, app: App, *, ready: int, within_seconds: float = START_SECONDS) -> AppState:
        """Wait until so many replicas listen, and no more."""

        async def listening() -> AppState | None:
            try:
                state = await self.state(app)
            except Hold as hold:  # a head that starts on a busy machine answers late
                raise AssertionError(str(hold)) from hold
            told = f"{state}"
            assert state.targets is not None, told
            assert (state.status, state.running, len(state.targets)) == ("RUNNING", ready, ready), told
            return state

        found = await eventually_async(listening, within_seconds)
        assert found is not None
        return found

    async def deploy(self, app: App, replicas: int = 1) -> AppState:
        """Apply and wait until it serves."""
        await self.engine.apply(app, replicas)
        return await self.until(app, ready=replicas)

    async def ask(self, target: Target, app: App, *, chunks: int = 1) -> tuple[dict[str, str], str]:
        """Return headers and body of one answer of a replica, as the gateway would ask for it."""
        url = f"http://{target.address}:{target.port}{app['route_prefix']}/v1/models"
        async with self.session.get(url, headers={"x-chunks": str(chunks)}) as response:
            assert response.status == 200
            return dict(response.headers), await response.text()

    async def pids(self, app: App) -> set[str]:
        """Return the processes behind an application's targets."""
        state = await self.state(app)
        return {(await self.ask(target, app))[0]["x-pid"] for target in state.targets or ()}

    async def raw(self) -> dict[str, Any]:
        """Return Ray's whole answer."""
        async with self.session.get(f"{self.head.url}/api/serve/applications/", headers=self._auth()) as response:
            return dict(await response.json())

    async def put_raw(self, apps: list[App]) -> None:
        """Write as somebody else would: the whole document, with nothing of what is there."""
        document = {"applications": apps, "http_options": {"host": LOOPBACK, "port": self.head.http_port}}
        url = f"{self.head.url}/api/serve/applications/"
        async with self.session.put(url, headers=self._auth(), json=document) as response:
            assert response.status == 200, await response.text()

    async def scale_raw(self, app: str, deployment: str, replicas: int) -> None:
        url = f"{self.head.url}/api/v1/applications/{app}/deployments/{deployment}/scale"
        async with self.session.post(url, headers=self._auth(), json={"target_num_replicas": replicas}) as response:
            assert response.status == 200, await response.text()

    async def deployed(self, app: str) -> App | None:
        """Return what Ray says an application is made of."""
        found = (await self.raw())["applications"].get(app)
        config: App | None = found["deployed_app_config"] if found else None
        return config

    def metric(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, {"ray_cluster": "lab", **labels}) or 0

    def _auth(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.head.token}"}


SMALL = {
    "model": {"source": "file:///behave/well", "maxModelLen": 1},
    "local": {"resources": {"cpu": "100m", "memory": "64Mi", "gpus": "0"}},
}


def a_foreign_app(name: str, **changes: Any) -> App:
    """Return an application of somebody else, with options that Tandem never sets."""
    return {
        "name": name,
        "route_prefix": f"/{name}",
        "import_path": "support.ray_apps:build",
        "args": {"source": "file:///behave/well", "max_model_len": 7, "nested": [{"a": None}, "ü", 1.5]},
        "external_scaler_enabled": True,
        "runtime_env": {"env_vars": {"SECRET": "s3cr3t"}},
        "logging_config": {"log_level": "WARNING"},
        "deployments": [
            {
                "name": "replica",
                "num_replicas": 1,
                "user_config": {"x": [1, {"y": "z"}]},
                "ray_actor_options": {"num_cpus": 0.1, "runtime_env": {"env_vars": {"OTHER": "1"}}},
                "max_queued_requests": 7,
                "graceful_shutdown_timeout_s": 1.5,
            }
        ],
        **changes,
    }


@asynccontextmanager
async def bench(head: RayHead, **engine: Any) -> AsyncIterator[Bench]:
    """An engine of a Kubernetes cluster of its own that asks every time; its applications are taken out afterwards."""
    registry = CollectorRegistry()
    metrics = RayMetrics(registry)
    uid = f"{next(_NUMBERS):08x}-0000-4000-8000-{id(registry) % 10**12:012d}"
    async with aiohttp.ClientSession() as session:
        client = RayServeClient(session, cluster="lab", url=head.url, token=lambda: head.token, metrics=metrics)
        settings: dict[str, Any] = {"cluster": "lab", "cluster_uid": uid, "http_host": LOOPBACK, "snapshot_seconds": 0}
        settings |= {"http_port": head.http_port, **engine}
        on_head = Bench(head, session, client, ServeEngine(client, **settings, metrics=metrics), registry, uid)
        try:
            yield on_head
        finally:
            if head.alive:
                left = {app["name"]: app for app in _declared(await on_head.raw())}
                await on_head.put_raw([app for name, app in left.items() if name not in on_head.apps])


def _declared(answer: dict[str, Any]) -> list[App]:
    return [app["deployed_app_config"] for app in answer["applications"].values() if app["deployed_app_config"]]


def live_config(headers: dict[str, str]) -> dict[str, Any]:
    """Return the live configuration that a replica answered with."""
    return dict(json.loads(headers["x-live"]))
