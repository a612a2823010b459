"""The Serve application of one ModelDeployment: ``import_path: tandem_serving.replica.app:build``."""

from collections.abc import Mapping
from typing import Any

from ray.serve import Application

from tandem_serving.replica import deployment, vllm_engine


def build(args: Mapping[str, Any]) -> Application:
    """Return the application; ``args`` is an ``EngineConfig``, refused in one line when it is not."""
    return deployment.application(args, vllm_engine.start)
