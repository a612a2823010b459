"""One Ray cluster's REST API: Serve's document, the external scaler, and whether Serve runs at all.

Called by ``engines.serve_engine``. It translates and never decides, and it cannot delete: ``DELETE`` shuts Serve down
with everybody's applications. A read that fails is a ``Hold``; a write whose fate is unknown is a ``Retry``.
"""

import json
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from pydantic import ValidationError

from tandem_operator.clients.ray_metrics import RayMetrics
from tandem_operator.engines.serve_details import ServeDetails
from tandem_operator.errors import Hold, Retry, TandemError

APPLICATIONS: Final = "/api/serve/applications/"
CONTROLLERS: Final = "/api/v0/actors?filter_keys=class_name&filter_predicates=%3D&filter_values=ServeController"

USER_AGENT: Final = "tandem-operator"
"""Ray hides environment variables from what looks like a browser; a document read like that must never be written."""

READ_SECONDS: Final = 10
WRITE_SECONDS: Final = 60
"""The first write of a Ray cluster's life starts Serve."""

_WHERE_TO_LOOK: Final = "the file named by rayClusters.tokenFile must hold that cluster's RAY_AUTH_TOKEN"
_TOLD_CHARACTERS: Final = 200


class Refused(TandemError):  # noqa: N818  named by what happened, as the rest of the tree
    """Ray understood the document and will not have it; the message is Ray's own."""


class RayServeClient:
    """Calls with the token as it is at that moment; redirects are not followed, so it goes nowhere else."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        cluster: str,
        url: str,
        token: Callable[[], str],
        metrics: RayMetrics,
    ) -> None:
        self._session = session
        self._cluster = cluster
        self._url = url.rstrip("/")
        self._token = token
        self._metrics = metrics
        self._last: tuple[str, ServeDetails] | None = None
        """The last answer as it came, and what it says: a quiet cluster says the same again, in megabytes."""

    async def details(self) -> ServeDetails:
        """Return what Serve runs; ``Hold`` when that cannot be known."""
        status, text = await self._call("get", "GET", APPLICATIONS, seconds=READ_SECONDS, failure=Hold)
        self._expect_ok("get", status, text, Hold)
        if self._last is not None and self._last[0] == text:
            return self._last[1]
        try:
            details = ServeDetails.model_validate_json(text)
        except ValidationError as error:
            raise self._failed("get", "garbage", f"answered with something else: {_told(text)}", Hold) from error
        self._last = text, details
        return details

    async def serve_exists(self) -> bool:
        """Tell from Ray's list of actors whether a Serve controller lives, whether or not it can be reached."""
        status, text = await self._call("actors", "GET", CONTROLLERS, seconds=READ_SECONDS, failure=Hold)
        self._expect_ok("actors", status, text, Hold)
        try:
            actors = json.loads(text)["data"]["result"]["result"]
            return any(actor["state"] != "DEAD" for actor in actors)
        except (ValueError, KeyError, TypeError) as error:
            raise self._failed("actors", "garbage", f"answered with something else: {_told(text)}", Hold) from error

    async def put(self, document: Mapping[str, Any]) -> None:
        """Replace the whole document; ``Refused`` when Ray finds fault with it, and then nothing has changed."""
        status, text = await self._call("put", "PUT", APPLICATIONS, seconds=WRITE_SECONDS, failure=Retry, body=document)
        if status == HTTPStatus.BAD_REQUEST:
            self._metrics.errors.labels(self._cluster, "put", "refused").inc()
            raise Refused(text)
        self._expect_ok("put", status, text, Retry)

    async def scale(self, app: str, deployment: str, replicas: int) -> None:
        """Set how many replicas run."""
        path = f"/api/v1/applications/{quote(app, safe='')}/deployments/{quote(deployment, safe='')}/scale"
        body = {"target_num_replicas": replicas}
        status, text = await self._call("scale", "POST", path, seconds=READ_SECONDS, failure=Retry, body=body)
        self._expect_ok("scale", status, text, Retry)

    async def _call(
        self,
        call: str,
        method: str,
        path: str,
        *,
        seconds: float,
        failure: type[Hold | Retry],
        body: Mapping[str, Any] | None = None,
    ) -> tuple[int, str]:
        headers = self._headers(call, failure)
        started = time.monotonic()
        try:
            async with self._session.request(
                method,
                self._url + path,
                json=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=seconds),
                allow_redirects=False,
            ) as response:
                return response.status, await response.text(errors="replace")
        except TimeoutError as error:
            raise self._failed(call, "timeout", f"did not answer within {seconds} s", failure) from error
        except (aiohttp.ClientError, OSError) as error:
            raise self._failed(call, "unreachable", f"cannot be reached: {error}", failure) from error
        finally:
            self._metrics.seconds.labels(self._cluster, call).observe(time.monotonic() - started)

    def _headers(self, call: str, failure: type[Hold | Retry]) -> dict[str, str]:
        try:
            return {"user-agent": USER_AGENT, "authorization": f"Bearer {self._token()}"}
        except (OSError, UnicodeError) as error:
            raise self._failed(
                call, "token", f"is not asked: its tokenFile cannot be read: {error}", failure
            ) from error

    def _expect_ok(self, call: str, status: int, text: str, failure: type[Hold | Retry]) -> None:
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise self._failed(
                call, "unauthorized", f"refuses the operator's token ({status}): {_WHERE_TO_LOOK}", failure
            )
        if status != HTTPStatus.OK:
            raise self._failed(call, "status", f"answered {status}: {_told(text)}", failure)

    def _failed(self, call: str, error: str, what: str, failure: type[Hold | Retry]) -> Hold | Retry:
        self._metrics.errors.labels(self._cluster, call, error).inc()
        return failure(f"Ray cluster {self._cluster} {what}")


def _told(text: str) -> str:
    return " ".join(text.split())[:_TOLD_CHARACTERS] or "nothing"
