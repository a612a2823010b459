"""A tiny model that speaks OpenAI's protocol behind the real replica middleware, and misbehaves when told to.

Import path ``tandem_lab.small_model:build`` in place of ``tandem_serving.replica.app:build``: the same Serve
deployment, door and gate, with an engine of words instead of vLLM. Starts in a moment, needs no model files.

Switches (``small_switches.Switches``) tell it how to misbehave. They come, later ones winning, from
- the JSON file that ``model.source`` names (``file:///…/switches.json``; missing or not JSON means none). It is read at
  the start for ``start_seconds`` and ``start_error``, and again at every request and health check for the rest: change
  it while the model runs. ``{"by_pid": {"123": {…}}}`` in it holds for one replica only;
- the field ``switches`` of a request's body.
``max-num-seqs`` of the engine args is the number of slots. Responses carry ``x-small-replica: <pid>``.
"""

from collections.abc import Mapping
from typing import Any

from ray.serve import Application
from tandem_serving.replica import deployment

from tandem_lab.small_engine import start


def build(args: Mapping[str, Any]) -> Application:
    """Return the Serve application; ``args`` is an ``EngineConfig``."""
    return deployment.application(args, start)
