"""vLLM as the engine: its own OpenAI app, its own parser, its own everything, in this process and its children.

``start`` is called by the Serve deployment's constructor. Nothing here knows whether there is a GPU: arguments and
the environment say so to vLLM.
"""

import os
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, Final
from weakref import WeakValueDictionary

from starlette.types import ASGIApp
from tandem_contract import engine_args
from tandem_contract.documents import EngineConfig

from tandem_serving.replica import progress, source, start_failure
from tandem_serving.replica.engine import CannotStartError
from tandem_serving.replica.prediction import Sample
from tandem_serving.replica.progress import Progress

_SHORT_TOKENS: Final = 8
_LONG_TOKENS: Final = 512
"""Prompts of the calibration; on 2 CPU cores the long one of a 270M model takes about a second."""


async def start(config: EngineConfig) -> "VllmEngine":
    """Start vLLM; ``CannotStartError`` says in one line why it does not."""
    _environment(config)
    mark = start_failure.LogMark()
    try:
        return await _start(command_line(config))
    except CannotStartError:
        raise
    except Exception as error:  # noqa: BLE001  whatever it is, it must be read in one line
        raise CannotStartError(start_failure.cause(error, mark.lines())) from None


def command_line(config: EngineConfig) -> list[str]:
    """Return vLLM's arguments. Its names begin as the deployment's identity, so its metrics' label never changes."""
    arguments = {
        "model": source.resolve(config.source),
        "served-model-name": config.deployment,
        "revision": config.revision,
        "max-model-len": config.max_model_len,
        "quantization": config.quantization,
    }
    fields = [f"--{name}={value}" for name, value in arguments.items() if value is not None]
    return [*fields, *engine_args.command_line(config.engine_args)]


class VllmEngine:
    """A started ``AsyncLLM`` and the FastAPI app around it."""

    def __init__(self, llm: Any, app: Any, calibration: Sequence[Sample]) -> None:
        self._llm = llm
        self._app = app
        self._calibration = calibration

    @property
    def asgi(self) -> ASGIApp:
        app: ASGIApp = self._app
        return app

    @property
    def slots(self) -> int:
        return int(self._llm.vllm_config.scheduler_config.max_num_seqs)

    @property
    def most_tokens(self) -> int:
        return int(self._llm.model_config.max_model_len)

    @property
    def calibration(self) -> Sequence[Sample]:
        return self._calibration

    def rename(self, names: Sequence[str]) -> None:
        from vllm.entrypoints.openai.models.protocol import BaseModelPath  # noqa: PLC0415  only where vLLM is

        served = self._app.state.openai_serving_models
        # In place: vLLM's registry and its serving classes share this list.
        served.base_model_paths[:] = [BaseModelPath(name=name, model_path=names[0]) for name in names]

    async def check(self) -> None:
        await self._llm.check_health()

    def stop(self) -> None:
        self._llm.shutdown()


def _environment(config: EngineConfig) -> None:
    """Set what must be set before vLLM is imported; what the administrator has set stays."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    if source.is_local(config.source):
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


async def _start(arguments: Sequence[str]) -> VllmEngine:
    from vllm.engine.arg_utils import AsyncEngineArgs  # noqa: PLC0415  importing vLLM takes 20 s and its environment
    from vllm.entrypoints.launchers.api_server.app_state import init_app_state  # noqa: PLC0415
    from vllm.entrypoints.launchers.app import build_app  # noqa: PLC0415
    from vllm.v1.engine.async_llm import AsyncLLM  # noqa: PLC0415

    parsed = _parse(arguments)
    llm = AsyncLLM.from_engine_args(AsyncEngineArgs.from_cli_args(parsed))
    try:
        watch(llm)
        tasks = await llm.get_supported_tasks()
        app = build_app(parsed, tasks, llm.model_config)
        await init_app_state(llm, app.state, parsed, tasks)
        app.state.openai_serving_models.registry.is_base_model = leads_here
        app.state.server = SimpleNamespace(should_exit=False)  # vLLM's error handler sets it; Serve ends us instead
        calibration = await _calibrate(llm) if "generate" in tasks else ()
    except BaseException:
        llm.shutdown()
        raise
    return VllmEngine(llm, app, calibration)


def _parse(arguments: Sequence[str]) -> Any:
    from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args  # noqa: PLC0415
    from vllm.utils.argparse_utils import FlexibleArgumentParser  # noqa: PLC0415

    class Parser(FlexibleArgumentParser):  # type: ignore[misc]  # vLLM publishes no types
        def error(self, message: str) -> Any:
            raise CannotStartError(f"vLLM refuses its arguments: {message}")

    parsed = make_arg_parser(Parser(allow_abbrev=False)).parse_args(list(arguments))
    validate_parsed_serve_args(parsed)
    return parsed


def leads_here(_name: str) -> bool:
    """Take every name for the model's: the gateway says which lead here, and it learns a new one first.

    vLLM's own way (``VLLM_SKIP_MODEL_NAME_VALIDATION``) does not reach embeddings.
    """
    return True


def watch(llm: Any) -> None:
    """Tell each request's ``progress`` what the engine knows of it.

    vLLM's ``generate`` is no help: for a request that is not streamed it gives nothing until the end.
    """
    waiting: WeakValueDictionary[str, Progress] = WeakValueDictionary()
    add, process = llm._add_request, llm.output_processor.process_outputs

    async def add_request(request: Any, prompt: Any, parent: Any, index: int, queue: Any) -> Any:
        watched = progress.current()
        if watched is not None:
            waiting[request.request_id] = watched
            if index == 0:  # the others of n > 1 have the same prompt
                watched.prompt(len(request.prompt_token_ids or ()))
        return await add(request, prompt, parent, index, queue)

    def process_outputs(outputs: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        for output in outputs:
            if (output.new_token_ids or output.finish_reason is not None) and output.request_id in waiting:
                waiting.pop(output.request_id).output()
        return process(outputs, *args, **kwargs)

    llm._add_request = add_request
    llm.output_processor.process_outputs = process_outputs


async def _calibrate(llm: Any, clock: Callable[[], float] = time.monotonic) -> tuple[Sample, ...]:
    """Return times to first token on the idle engine; the first, which warms everything up, does not count."""
    most = min(_LONG_TOKENS, llm.model_config.max_model_len // 2)
    samples = []
    for turn, tokens in enumerate((most, min(_SHORT_TOKENS, most), most)):
        began = clock()
        await _prefill(llm, tokens, turn)
        samples.append(Sample(tokens, clock() - began))
    return tuple(samples[1:])


async def _prefill(llm: Any, tokens: int, turn: int) -> None:
    from vllm import SamplingParams, TokensPrompt  # noqa: PLC0415

    # Another prompt each turn: a cached prefix would flatter the engine.
    prompt = TokensPrompt(prompt_token_ids=[10 + (turn * 131 + at * 7) % 200 for at in range(tokens)])
    async for _ in llm.generate(prompt, SamplingParams(max_tokens=1), f"tandem-calibration-{turn}"):
        pass
