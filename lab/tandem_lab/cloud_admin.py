"""The cloud stand-in from behind: what it received, which fault it has. Plain HTTP on the loopback, for the demo."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from aiohttp import web

from tandem_lab.cloud_faults import Fault


@dataclass(frozen=True)
class Received:
    """One request as it arrived from outside."""

    method: str
    path: str
    """With the query, if there was one."""

    headers: dict[str, str]
    body_bytes: int
    model: str | None
    body: dict[str, Any] | None
    """None when it was no JSON object, or larger than 64 KiB."""


def make_admin_app(received: list[Received], fail: Callable[[str | None], None]) -> web.Application:
    """Return the app: ``GET`` and ``DELETE /requests``, ``PUT /fault/<fault>``, ``DELETE /fault``."""

    async def show(_: web.Request) -> web.Response:
        return web.json_response([asdict(one) for one in received])

    async def forget(_: web.Request) -> web.Response:
        received.clear()
        return web.Response(status=204)

    async def switch(request: web.Request) -> web.Response:
        try:
            fail(request.match_info.get("fault"))
        except ValueError:
            raise web.HTTPBadRequest(text=f"a fault is a status or one of {', '.join(Fault)}\n") from None
        return web.Response(status=204)

    app = web.Application()
    app.router.add_get("/requests", show)
    app.router.add_delete("/requests", forget)
    app.router.add_put("/fault/{fault}", switch)
    app.router.add_delete("/fault", switch)
    return app
