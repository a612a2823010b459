"""The Ray Serve deployment around an engine: built by ``app.build``, and by the lab around a small model.

``EngineConfig`` is its constructor's argument: a change replaces replicas. ``LiveConfig`` is its ``user_config``:
Serve hands it to ``reconfigure`` at the start and at every change, without a restart.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ray import serve
from ray.serve import Application
from starlette.types import ASGIApp
from tandem_contract.documents import EngineConfig, LiveConfig

from tandem_serving.replica.assembly import assemble
from tandem_serving.replica.engine import Engine
from tandem_serving.replica.engine_config import read_engine_config
from tandem_serving.replica.live import Live

Start = Callable[[EngineConfig], Awaitable[Engine]]


@serve.deployment(name="replica")  # limits and times are the operator's, in the application's document
@serve.ingress()
class Replica:
    """One engine and its middleware, in one Ray actor."""

    async def __init__(self, config: Mapping[str, Any], start: Start) -> None:  # type: ignore[misc]  # Serve awaits it
        engine_config = read_engine_config(config)
        self._live = Live()
        self._engine = await start(engine_config)
        self._door = assemble(engine_config, self._engine, self._live)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._door

    def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Take over names, policy and objective; called by Serve."""
        config = LiveConfig.model_validate(user_config)
        self._engine.rename(config.names)
        self._live.take(config)

    async def check_health(self) -> None:
        """Raise when the engine is dead: Serve then replaces this replica."""
        await self._engine.check()

    def __del__(self) -> None:
        engine = getattr(self, "_engine", None)
        if engine is not None:
            engine.stop()


def application(args: Mapping[str, Any], start: Start) -> Application:
    """Return the Serve application for the app's ``args``, refused here when they are not an ``EngineConfig``."""
    config = read_engine_config(args)
    bound: Application = Replica.bind(config.model_dump(mode="json"), start)  # type: ignore[attr-defined]  # Serve's decorators hide the class
    return bound
