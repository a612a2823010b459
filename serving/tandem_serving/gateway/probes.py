"""The agent's HTTP: how it is served on a socket or a port, and what ``/metrics``, ``/healthz`` and ``/readyz`` say."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from tandem_contract.xds import DeltaServer, State, Store
from tandem_contract.xds.types import LISTENER

from tandem_serving.gateway.relay_mirror import owner_of


def probes_app(registry: CollectorRegistry, store: Store, served: DeltaServer) -> web.Application:
    """Return the application for the kubelet and Prometheus."""

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"content-type": CONTENT_TYPE_LATEST})

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok\n")

    async def readyz(_: web.Request) -> web.Response:
        waiting = not_ready(store, served)
        return web.Response(text=f"{waiting or 'ok'}\n", status=503 if waiting else 200)

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    return app


def not_ready(store: Store, served: DeltaServer) -> str | None:
    """Return what is still missing before clients can be served; None = nothing.

    An operator is not needed: a gateway that serves from disk is ready.
    """
    if not served.clients:
        return "Envoy is not connected"
    listeners = store.resources(LISTENER).values()
    if not listeners:
        return "no listener has arrived"
    if any(served.verdict(owner_of(listener.key)).state is not State.YES for listener in listeners):
        return "Envoy has not accepted its listeners"
    return None


@asynccontextmanager
async def on_socket(app: web.Application, path: Path) -> AsyncIterator[None]:
    """Serve on a Unix socket; asyncio replaces what an earlier process left there."""
    async with _runner(app) as runner:
        await web.UnixSite(runner, path).start()
        yield


@asynccontextmanager
async def on_port(app: web.Application, address: str, port: int) -> AsyncIterator[None]:
    async with _runner(app) as runner:
        await web.TCPSite(runner, address, port).start()
        yield


@asynccontextmanager
async def _runner(app: web.Application) -> AsyncIterator[web.AppRunner]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        yield runner
    finally:
        await runner.cleanup()
