"""A cloud stand-in: OpenAI's protocol over TLS, with a key that it checks and faults that can be switched on.

Tests run it inside their own process (``with CloudStandIn(...) as cloud``), the demo as ``python -m tandem_lab.cloud``.
It keeps what it received, so that a test can say what left the premises and what did not.
"""

import argparse
import asyncio
import hmac
import json
import signal
import threading
import weakref
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from tandem_lab import cloud_faults, cloud_protocol
from tandem_lab.certificates import Authority
from tandem_lab.cloud_admin import Received, make_admin_app
from tandem_lab.cloud_faults import Fault

HOST: Final = "localhost"
MOST_BODY_BYTES: Final = 64 << 20
KEPT_BODY_BYTES: Final = 64 << 10
PATHS: Final = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")


class CloudStandIn:
    """Serves on a thread of its own while its ``with`` block lasts."""

    def __init__(
        self, folder: Path, *, key: str, models: Sequence[str] = ("gpt-5-mini",), port: int = 0, admin_port: int = 0
    ) -> None:
        self.key = key
        self.models = tuple(models)
        self.received: list[Received] = []
        self.aborted = 0
        """Answers during which the client went away."""

        self._folder = folder
        self._authority = Authority()
        self._wanted_ports = (port, admin_port)
        self._fault: str | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="cloud", daemon=True)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._connections: weakref.WeakSet[asyncio.WriteTransport] = weakref.WeakSet()

    @property
    def url(self) -> str:
        """What a CloudEndpoint's ``spec.url`` says."""
        return f"https://{HOST}:{self.port}/v1"

    @property
    def ca_pem(self) -> str:
        return self._authority.ca_pem

    def fail(self, fault: str | None) -> None:
        """Answer every request from now on with ``fault`` (a ``Fault`` or a status); None = be well again."""
        if fault is not None and not fault.isdigit():
            Fault(fault)
        self._fault = fault

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            raise RuntimeError("the cloud stand-in did not start") from self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def wait(self) -> None:
        """Return when an interrupt or a termination ends the process's patience."""
        stopped = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stopped.set())
        stopped.wait()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        public = web.AppRunner(self._public_app(), handler_cancellation=True, shutdown_timeout=0.1)
        admin = web.AppRunner(make_admin_app(self.received, self.fail), shutdown_timeout=0.1)
        try:
            await public.setup()
            await admin.setup()
            tls = self._authority.server_context(self._folder, HOST)
            self.port = await _listen(public, self._wanted_ports[0], ssl_context=tls)
            self.admin_port = await _listen(admin, self._wanted_ports[1])
        except BaseException as error:
            self._failure = error
            raise
        else:
            self._started.set()
            await self._stop.wait()
        finally:
            self._started.set()
            await public.cleanup()
            await admin.cleanup()
            await self._hang_up()

    async def _hang_up(self) -> None:
        """Close what clients keep open: TLS says goodbye at length, and this loop ends now."""
        for connection in list(self._connections):
            connection.abort()
        for _ in range(3):  # an aborted transport closes its socket two turns later
            await asyncio.sleep(0)

    def _public_app(self) -> web.Application:
        app = web.Application(client_max_size=MOST_BODY_BYTES, middlewares=[self._record_and_check])
        for path in PATHS:
            app.router.add_post(path, self._answer)
        app.router.add_get("/v1/models", self._list_models)
        return app

    @web.middleware
    async def _record_and_check(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.transport is not None:
            self._connections.add(request.transport)
        raw = await request.read()
        body = _object(raw)
        self.received.append(
            Received(
                method=request.method,
                path=request.path_qs,
                headers={name.lower(): value for name, value in request.headers.items()},
                body_bytes=len(raw),
                model=body.get("model") if body else None,
                body=body if len(raw) <= KEPT_BODY_BYTES else None,
            )
        )
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self.key.encode()):
            return cloud_faults.error(401, hint=f"{given[:5]}***{given[-4:]}")
        return await handler(request)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        asked = _object(await request.read())
        if asked is None:
            return cloud_faults.error(400)
        if asked.get("model") not in self.models:
            return cloud_faults.error(404)
        fault = str(asked.get("x_fault") or self._fault or "")
        try:
            failure = await cloud_faults.before_the_answer(fault, request, hint=f"{self.key[:5]}***{self.key[-4:]}")
            if failure is not None:
                return failure
            noise = cloud_faults.NOISE if fault == Fault.NOISY else {}
            if not asked.get("stream"):
                return web.json_response(_whole(request.path, asked, fault), headers=noise)
            return await self._stream(request, asked, fault, noise)
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        except ConnectionResetError:
            self.aborted += fault not in (Fault.DROP, Fault.DROP_MID_STREAM)
            return web.Response(status=500)  # nobody is there to read it

    async def _stream(
        self, request: web.Request, asked: dict[str, Any], fault: str, noise: dict[str, str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream; charset=utf-8", **noise})
        await response.prepare(request)
        wants_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        events = cloud_protocol.events(request.path, asked, usage=wants_usage and fault != Fault.NO_USAGE)
        written = [f"data: {json.dumps(event)}\n\n".encode() for event in events] + [b"data: [DONE]\n\n"]
        for number, piece in enumerate(_cut(written, fault)):
            if number:
                await _pause(fault, request)
            await response.write(piece)
        return response

    async def _list_models(self, _: web.Request) -> web.Response:
        listed = [{"id": name, "object": "model", "created": 0, "owned_by": "stand-in"} for name in self.models]
        return web.json_response({"object": "list", "data": listed})


def _object(raw: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    return body if isinstance(body, dict) else None


def _whole(path: str, asked: dict[str, Any], fault: str) -> dict[str, Any]:
    answer = cloud_protocol.whole(path, asked)
    if fault == Fault.NO_USAGE:
        answer.pop("usage")
    return answer


def _cut(written: list[bytes], fault: str) -> list[bytes]:
    """Return the writes in which a stream goes out."""
    together = b"".join(written)
    if fault == Fault.COALESCED:
        return [together]
    if fault == Fault.CRUMBS:
        return [together[at : at + 7] for at in range(0, len(together), 7)]
    return written


async def _pause(fault: str, request: web.Request) -> None:
    """What happens between two writes of a stream."""
    if fault == Fault.HANG_MID_STREAM:
        await asyncio.Event().wait()
    await asyncio.sleep(0.2 if fault in (Fault.SLOW, Fault.DROP_MID_STREAM) else 0)
    if fault == Fault.DROP_MID_STREAM:  # not at once: a reset would overtake what was written
        cloud_faults.drop(request)


async def _listen(runner: web.AppRunner, port: int, **options: Any) -> int:
    """Listen on the loopback and return the port, which the system chose when ``port`` is 0."""
    site = web.TCPSite(runner, "127.0.0.1", port, **options)
    await site.start()
    bound: int = runner.addresses[0][1]
    return bound


def main() -> None:
    """Serve until interrupted. The folder then holds ``ca.crt``, which a CloudEndpoint's ``tls`` needs."""
    parser = argparse.ArgumentParser(description="OpenAI's protocol over TLS, for trying Tandem without a provider.")
    parser.add_argument("--folder", type=Path, required=True, help="where ca.crt, tls.crt and tls.key are written")
    parser.add_argument("--key-file", type=Path, required=True, help="file with the key that clients must send")
    parser.add_argument("--model", action="append", dest="models", help="a model it offers; may be repeated")
    parser.add_argument("--port", type=int, default=0, help="0 = the system chooses")
    parser.add_argument("--admin-port", type=int, default=0, help="plain HTTP: /requests, /fault/<fault>")
    options = parser.parse_args()
    with CloudStandIn(
        options.folder,
        key=options.key_file.read_text().strip(),
        models=options.models or ["gpt-5-mini"],
        port=options.port,
        admin_port=options.admin_port,
    ) as cloud:
        print(json.dumps({"url": cloud.url, "admin": f"http://127.0.0.1:{cloud.admin_port}"}), flush=True)
        cloud.wait()


if __name__ == "__main__":
    main()
