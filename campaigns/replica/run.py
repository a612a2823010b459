"""Our replica (vLLM inside Ray Serve, behind the middleware) against plain vLLM's own server. See README.md."""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from support.ray_serve import bench
from support.wait import eventually_async
from tandem_contract import engine_args
from tandem_lab import campaign, gemma
from tandem_lab.process import Process, free_port
from tandem_lab.ray_head import RayHead

HERE = Path(__file__).parent
START_SECONDS = 900
CONTEXT, TOKENS = 1024, 64
CONCURRENCIES = (1, 8)
ARGUMENTS = {"enforce-eager": "true", "kv-cache-memory-bytes": "268435456", "max-num-seqs": "8"}
ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
    "VLLM_WORKER_MULTIPROC_METHOD": "spawn",
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) - 1)),
}
"""For both. Left to themselves, Ray and vLLM choose threads and how processes begin, each in its own way."""

OBJECTIVE_MILLISECONDS = 120_000
"""So generous that admission lets everything in: what is compared is the work, not the policy."""


@asynccontextmanager
async def ours(source: Path, folder: Path) -> AsyncIterator[str]:
    cpus = len(os.sched_getaffinity(0))
    spec: dict[str, Any] = {
        "model": {"source": f"file://{source}", "maxModelLen": CONTEXT},
        "local": {"engineArgs": ARGUMENTS, "resources": {"cpu": str(cpus), "memory": "4Gi", "gpus": "0"}},
        "slo": {"timeToFirstTokenMilliseconds": OBJECTIVE_MILLISECONDS},
    }
    with RayHead(folder / "ray", num_cpus=cpus, env=ENVIRONMENT) as head:
        async with bench(head) as on_head:
            app = {**on_head.app("hello", **spec), "import_path": "tandem_serving.replica.app:build"}
            await on_head.engine.apply(app, 1)
            state = await on_head.until(app, ready=1, within_seconds=START_SECONDS)
            assert state.targets
            yield f"http://{state.targets[0].address}:{state.targets[0].port}{app['route_prefix']}"


@asynccontextmanager
async def plain(source: Path, folder: Path) -> AsyncIterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--host=127.0.0.1", f"--port={port}"]
    command += [f"--model={source}", "--served-model-name=hello", f"--max-model-len={CONTEXT}"]
    command += engine_args.command_line(ARGUMENTS)
    url = f"http://127.0.0.1:{port}"
    with Process("vllm", command, log=folder / "vllm.log", env=ENVIRONMENT) as server:
        async with aiohttp.ClientSession() as session:

            async def healthy() -> bool:
                server.check()
                try:
                    async with session.get(f"{url}/health") as answer:
                        return answer.status == 200
                except aiohttp.ClientConnectionError:
                    return False

            await eventually_async(healthy, START_SECONDS)
        yield url


async def ask(session: aiohttp.ClientSession, url: str, number: int) -> float:
    """Return seconds to the first token of one stream that is then read to its end."""
    body = {
        "model": "hello",
        "prompt": f"Request {number}. " + "The quick brown fox jumps over the lazy dog. " * 6,  # no common prefix
        "max_tokens": TOKENS,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
    }
    began, first = time.perf_counter(), 0.0
    async with session.post(f"{url}/v1/completions", json=body) as answer:
        assert answer.status == 200, await answer.text()
        async for line in answer.content:
            if line.startswith(b"data: {"):
                first = first or time.perf_counter()
                assert "error" not in json.loads(line[6:]), line
    assert first
    return first - began


async def one_round(url: str, concurrency: int, requests: int, first: int) -> dict[str, float]:
    numbers = iter(range(first, first + requests))
    waited: list[float] = []

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:

        async def worker() -> None:
            waited.extend([await ask(session, url, number) for number in numbers])

        began = time.perf_counter()
        await asyncio.gather(*(worker() for _ in range(concurrency)))
        took = time.perf_counter() - began
    told = campaign.percentiles(waited, 4)
    return {
        "tokens_per_second": requests * TOKENS / took,
        "first_token_p50_seconds": told["p50"],
        "first_token_max_seconds": told["max"],
    }


Side = Callable[[Path, Path], AbstractAsyncContextManager[str]]
Rounds = dict[int, list[dict[str, float]]]


async def block(side: Side, first: int, rounds: int, requests: int) -> Rounds:
    """Start one of them, alone on the machine, and return its rounds by concurrency."""
    found: Rounds = {}
    with tempfile.TemporaryDirectory(prefix="tandem-") as scratch:
        async with side(gemma.prepare(), Path(scratch)) as url:
            for concurrency in CONCURRENCIES:
                count = max(requests, concurrency)
                taken = [await one_round(url, concurrency, count, first + at * count) for at in range(rounds + 1)]
                found[concurrency] = taken[1:]  # the first warms up
    return found


async def run(blocks: int, rounds: int, requests: int) -> dict[str, Any]:
    found: dict[str, list[Rounds]] = {"replica": [], "vllm": []}
    for turn in range(blocks):
        for name, side in (("vllm", plain), ("replica", ours)):
            found[name].append(await block(side, turn * 10_000, rounds, requests))
    circumstances = {"blocks": blocks, "rounds_per_block": rounds, "requests_per_round": requests}
    told = {f"concurrency_{some}": compare(found, some) for some in CONCURRENCIES}
    return {**circumstances, "environment": ENVIRONMENT, **told}


def compare(found: dict[str, list[Rounds]], concurrency: int) -> dict[str, Any]:
    """Return each side's rounds, and the ratio of their medians block by block."""
    sides = {name: [done[concurrency] for done in all_] for name, all_ in found.items()}
    keys = list(sides["vllm"][0][0])
    told: dict[str, Any] = {
        name: {key: campaign.spread([one[key] for done in all_ for one in done]) for key in keys}
        for name, all_ in sides.items()
    }
    for key in keys:
        medians = {name: [statistics.median(one[key] for one in done) for done in all_] for name, all_ in sides.items()}
        ratios = [ours / theirs for ours, theirs in zip(medians["replica"], medians["vllm"], strict=True)]
        told[f"ratio_{key}"] = campaign.spread(ratios)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=3, help="of each, in turns")
    parser.add_argument("--rounds", type=int, default=4, help="per block and concurrency")
    parser.add_argument("--requests", type=int, default=6, help="per round")
    options = parser.parse_args()
    facts = campaign.circumstances("make campaigns NAME=replica")
    campaign.write(HERE, facts, asyncio.run(run(options.blocks, options.rounds, options.requests)))


if __name__ == "__main__":
    main()
