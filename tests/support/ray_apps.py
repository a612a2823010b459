"""Serve applications for tests of the engine: a tiny HTTP app that behaves as its model source says.

``file:///behave/<how>`` in ``spec.model.source``: ``well``, ``fails-to-load`` (constructor), ``fails-to-build``.
``spec.model.maxModelLen`` comes back as a header, so that a test sees which version of a spec answered.
"""

import asyncio
import json
import os
from typing import Any

from ray import serve

Scope = dict[str, Any]


class Answers:
    """Says which process, version and live configuration answered; ``x-chunks`` asks for a slow stream."""

    def __init__(self, args: dict[str, Any]) -> None:
        self.version = str(args.get("max_model_len"))
        self.live: dict[str, Any] = {}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        await receive()
        chunks = int(dict(scope["headers"]).get(b"x-chunks", b"1"))
        headers = {
            "x-pid": os.getpid(),
            "x-version": self.version,
            "x-path": scope["path"],
            "x-live": json.dumps(self.live),
        }
        encoded = [(name.encode(), str(value).encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": 200, "headers": encoded})
        for number in range(chunks):
            await send({"type": "http.response.body", "body": b"chunk %d\n" % number, "more_body": True})
            await asyncio.sleep(0.1 if chunks > 1 else 0)
        await send({"type": "http.response.body", "body": b"end\n", "more_body": False})


@serve.deployment(name="replica")
@serve.ingress()
class Replica:
    def __init__(self, args: dict[str, Any]) -> None:
        if args["source"].endswith("fails-to-load"):
            raise RuntimeError(f"no config.json in {args['source']}")
        self._app = Answers(args)

    def reconfigure(self, live: dict[str, Any]) -> None:
        self._app.live = live

    def __serve_build_asgi_app__(self) -> Answers:
        return self._app


def build(args: dict[str, Any]) -> serve.Application:
    if args["source"].endswith("fails-to-build"):
        raise RuntimeError(f"cannot build {args['source']}")
    return Replica.bind(args)
