"""The engine of the small model: words instead of tokens, and the switches by which it misbehaves.

Knows nothing of Ray: `small_model` puts it under Ray Serve, tests also run it alone behind the real door and gate.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from tandem_contract.documents import EngineConfig
from tandem_serving.replica import progress
from tandem_serving.replica.engine import CannotStartError
from tandem_serving.replica.prediction import Sample

from tandem_lab.small_openai import Chat, Completion, Shape, text_of
from tandem_lab.small_switches import Switches, read_switches, switch_file

_MOST_TOKENS: Final = 8192
_DIMENSIONS: Final = 8


class Words:
    """The engine: prompts pass one by one, then run side by side in slots."""

    def __init__(self, config: EngineConfig, switches: Switches, registry: CollectorRegistry = REGISTRY) -> None:
        self._file = switch_file(config.source)
        self._names: tuple[str, ...] = (config.deployment,)
        self._slots = int(config.engine_args.get("max-num-seqs", "256"))
        self._running = asyncio.Semaphore(self._slots)
        self._prefill = asyncio.Lock()
        self._first_token_seconds = 0.001 + switches.first_token_seconds
        self._rate = switches.prefill_tokens_per_second
        self._registry = registry
        self._metrics = _Metrics(registry)
        routes = [
            Route("/v1/models", self._models),
            Route("/v1/chat/completions", self._chat, methods=["POST"]),
            Route("/v1/completions", self._completion, methods=["POST"]),
            Route("/v1/embeddings", self._embed, methods=["POST"]),
            Route("/metrics", self._exposition),
            Route("/version", lambda _: JSONResponse({"version": "small"})),
        ]
        self._app = Starlette(routes=routes)

    @property
    def asgi(self) -> ASGIApp:
        return self._app

    @property
    def slots(self) -> int:
        return self._slots

    @property
    def most_tokens(self) -> int:
        return _MOST_TOKENS

    @property
    def calibration(self) -> Sequence[Sample]:
        idle = self._first_token_seconds
        return (Sample(0, idle), Sample(1000, idle + 1000 / self._rate))

    def rename(self, names: Sequence[str]) -> None:
        self._names = tuple(names)

    async def check(self) -> None:
        if read_switches(self._file).dead:
            raise RuntimeError("the switch says that the engine is dead")

    def stop(self) -> None:
        """Nothing runs beside the event loop."""

    async def _models(self, _: Request) -> Response:
        cards = [{"id": name, "object": "model", "created": 0, "owned_by": "tandem"} for name in self._names]
        return JSONResponse({"object": "list", "data": cards})

    async def _chat(self, request: Request) -> Response:
        asked = await request.json()
        return await self._generate(asked, Chat(asked, self._names[0]), text_of(asked.get("messages", "")))

    async def _completion(self, request: Request) -> Response:
        asked = await request.json()
        return await self._generate(asked, Completion(asked, self._names[0]), text_of(asked.get("prompt", "")))

    async def _exposition(self, _: Request) -> Response:
        return Response(generate_latest(self._registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def _embed(self, request: Request) -> Response:
        asked = await request.json()
        texts = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
        prompt = text_of(texts).split()
        async with self._admit(len(prompt), self._switches(asked)):
            data = [
                {"object": "embedding", "index": at, "embedding": _vector(str(text))} for at, text in enumerate(texts)
            ]
        usage = {"prompt_tokens": len(prompt), "total_tokens": len(prompt)}
        return _json({"object": "list", "model": self._names[0], "data": data, "usage": usage})

    async def _generate(self, asked: dict[str, Any], shape: "Shape", text: str) -> Response:
        switches = self._switches(asked)
        prompt = text.split()
        answer = _answer(prompt, asked, switches)
        if switches.status:
            return _json({"error": {"message": "switched", "type": "switch", "code": None}}, switches.status)
        if switches.fail:
            raise RuntimeError(switches.fail)
        if switches.hang == "after_headers":
            return StreamingResponse(_never(), headers=_OWN, media_type="text/event-stream")
        if asked.get("stream"):
            body = self._stream(shape, prompt, answer, switches)
            return StreamingResponse(body, headers=_OWN, media_type="text/event-stream")
        async with self._admit(len(prompt), switches):
            said = [word async for word in _decode(answer, switches)]
        return _json(shape.whole(said, len(prompt)))

    async def _stream(
        self, shape: "Shape", prompt: list[str], answer: list[str], switches: Switches
    ) -> AsyncIterator[str]:
        async with self._admit(len(prompt), switches):
            async for word in _decode(answer, switches):
                yield _event(shape.piece(word))
        yield _event(shape.end())
        if shape.wants_usage:
            yield _event(shape.usage(len(prompt), len(answer)))
        yield "data: [DONE]\n\n"

    @asynccontextmanager
    async def _admit(self, tokens: int, switches: Switches) -> AsyncIterator[None]:
        """Pass the prompt, then hold a slot; ``progress`` is told as vLLM's engine tells it."""
        watched = progress.current()
        if watched:
            watched.prompt(tokens)
        self._metrics.running.inc()
        try:
            async with self._running:
                async with self._prefill:
                    await _pause(tokens / switches.prefill_tokens_per_second)
                await _misbehave(switches)
                if watched:
                    watched.output()
                yield
        except (asyncio.CancelledError, GeneratorExit):
            self._metrics.aborted.inc()
            raise
        finally:
            self._metrics.running.dec()

    def _switches(self, asked: Mapping[str, Any]) -> Switches:
        return read_switches(self._file, asked.get("switches"))


class _Metrics:
    def __init__(self, registry: CollectorRegistry) -> None:
        self.running = Gauge("small_model_running", "Requests in the small model, waiting ones too.", registry=registry)
        self.aborted = Counter(
            "small_model_aborted", "Requests that ended before their answer was complete.", registry=registry
        )


_OWN: Final = {"x-small-replica": str(os.getpid())}


async def start(config: EngineConfig, registry: CollectorRegistry = REGISTRY) -> Words:
    """Start the model: the counterpart of ``vllm_engine.start``. Several in one process need a registry each."""
    switches = read_switches(switch_file(config.source))
    await _pause(switches.start_seconds)
    if switches.start_error:
        raise CannotStartError(switches.start_error)
    return Words(config, switches, registry)


def _answer(prompt: Sequence[str], asked: Mapping[str, Any], switches: Switches) -> list[str]:
    words = ["You", "said:", *prompt]
    most = asked.get("max_completion_tokens") or asked.get("max_tokens") or len(words)
    if switches.tokens:
        return [f"word{number}" for number in range(switches.tokens)]
    return words[:most]


async def _misbehave(switches: Switches) -> None:
    await _pause(switches.first_token_seconds)
    if switches.crash:
        os._exit(1)
    if switches.hang == "before_headers":
        await asyncio.Event().wait()


async def _decode(answer: Sequence[str], switches: Switches) -> AsyncIterator[str]:
    for number, word in enumerate(answer):
        if number:
            await _pause(switches.token_seconds)
        if number == 1 and switches.hang == "after_first_token":
            await asyncio.Event().wait()
        yield word


async def _never() -> AsyncIterator[str]:
    await asyncio.Event().wait()
    yield ""


async def _pause(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)


def _vector(text: str) -> list[float]:
    return [(len(text) * (at + 1) % 97) / 97 for at in range(_DIMENSIONS)]


def _event(piece: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(piece)}\n\n"


def _json(content: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(content, status, headers=_OWN)
