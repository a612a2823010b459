"""The vLLM flags that a ModelDeployment may set, each by its exact name and with the values that it takes.

The API makes CEL rules of this table, the replica checks it again before vLLM's parser sees anything: that parser
takes abbreviations (``--mod`` for ``--model``) and knows flags that run code, read files or open ports. Pure.

It refuses what is not listed. A flag is listed when a tenant may want it and it can neither load code, name a file,
reach the network, change what the gateway relies on (names, paths, headers, the first chunk of a stream), nor
silence the statistics that admission and scaling live on.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_FLAGS: Final = 32
MAX_NAME_LENGTH: Final = 48
MAX_VALUE_LENGTH: Final = 256


@dataclass(frozen=True)
class Kind:
    """What a flag's value must look like. ``pattern`` is for the whole value and means the same in RE2 and Python."""

    says: str
    """Ends the sentence "must be …"."""

    pattern: str
    flag_only: bool = False
    """``true`` and ``false`` become ``--name`` and ``--no-name``."""

    def accepts(self, value: str) -> bool:
        return len(value) <= MAX_VALUE_LENGTH and re.fullmatch(self.pattern, value) is not None


def _one_of(*choices: str) -> Kind:
    return Kind("one of " + ", ".join(choices), "|".join(choices))


SWITCH: Final = Kind('"true" or "false"', "true|false", flag_only=True)
COUNT: Final = Kind("a whole number from 1", "[1-9][0-9]{0,11}")
COUNT_OR_ZERO: Final = Kind("a whole number from 0", "0|[1-9][0-9]{0,11}")
FRACTION: Final = Kind("a number above 0 and up to 1, such as 0.85", r"1|1\.0{1,3}|0\.[0-9]{0,3}[1-9]")
NAME: Final = Kind("a name of letters, digits, - and _", "[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
SWITCHES: Final = Kind(
    'a JSON object of "true" and "false", such as {"enable_thinking": false}',
    r'\{ *("[a-z_]{1,40}" *: *(true|false)( *, *"[a-z_]{1,40}" *: *(true|false))*)? *\}',
)
LIMITS: Final = Kind(
    'a JSON object of whole numbers, such as {"image": 2}',
    r'\{ *("[a-z_]{1,40}" *: *[0-9]{1,6}( *, *"[a-z_]{1,40}" *: *[0-9]{1,6})*)? *\}',
)

ALLOWED: Final[Mapping[str, Kind]] = {
    # memory
    "gpu-memory-utilization": FRACTION,
    "kv-cache-memory-bytes": COUNT,
    "kv-cache-dtype": _one_of("auto", "bfloat16", "float16", "fp8", "fp8_e4m3", "fp8_e5m2"),
    "block-size": _one_of("8", "16", "32", "64", "128", "256"),
    "cpu-offload-gb": COUNT_OR_ZERO,
    "enable-prefix-caching": SWITCH,
    "prefix-caching-hash-algo": _one_of("sha256", "sha256_cbor", "xxhash", "xxhash_cbor"),
    # batches
    "max-num-seqs": COUNT,
    "max-num-batched-tokens": COUNT,
    "max-num-scheduled-tokens": COUNT,
    "long-prefill-token-threshold": COUNT_OR_ZERO,
    "enable-chunked-prefill": SWITCH,
    "scheduling-policy": _one_of("fcfs", "priority"),
    "async-scheduling": SWITCH,
    "stream-interval": COUNT,
    # how the model runs
    "dtype": _one_of("auto", "bfloat16", "float16", "float32", "half"),
    "enforce-eager": SWITCH,
    "optimization-level": _one_of("0", "1", "2", "3"),
    "performance-mode": _one_of("balanced", "interactivity", "throughput"),
    "max-cudagraph-capture-size": COUNT_OR_ZERO,
    "attention-backend": NAME,
    "tensor-parallel-size": _one_of("1", "2", "4", "8"),
    "disable-custom-all-reduce": SWITCH,
    "load-format": _one_of("auto", "safetensors", "dummy"),
    "safetensors-load-strategy": _one_of("lazy", "eager", "prefetch"),
    "seed": COUNT_OR_ZERO,
    # what requests may ask for
    "runner": _one_of("auto", "generate", "pooling"),
    "convert": _one_of("auto", "none", "embed", "classify"),
    "generation-config": _one_of("auto", "vllm"),
    "max-logprobs": COUNT_OR_ZERO,
    "enable-auto-tool-choice": SWITCH,
    "tool-call-parser": NAME,
    "reasoning-parser": NAME,
    "chat-template-content-format": _one_of("auto", "string", "openai"),
    "default-chat-template-kwargs": SWITCHES,
    "enable-prompt-tokens-details": SWITCH,
    "language-model-only": SWITCH,
    "limit-mm-per-prompt": LIMITS,
}

OWNED: Final[Mapping[str, str]] = {
    "model": "spec.model.source",
    "revision": "spec.model.revision",
    "served-model-name": "spec.model.names",
    "max-model-len": "spec.model.maxModelLen",
    "quantization": "spec.model.quantization",
}
"""Flags that have a field of their own."""


def problem(name: str, value: str) -> str | None:
    """Return why one flag is refused, in words for the person who wrote it; None when it is fine."""
    if name in OWNED:
        return f"{name}: set {OWNED[name]} instead"
    kind = ALLOWED.get(name)
    if kind is None:
        return f"{name}: not a flag that may be set; names are exact, without dashes in front"
    if not kind.accepts(value):
        return f"{name}: must be {kind.says}, not {value[:40]!r}"
    return None


def problems(engine_args: Mapping[str, str]) -> tuple[str, ...]:
    """Return why ``engine_args`` are refused; empty when they are fine."""
    if len(engine_args) > MAX_FLAGS:
        return (f"at most {MAX_FLAGS} flags may be set",)
    found = (problem(name, value) for name, value in sorted(engine_args.items()))
    return tuple(each for each in found if each is not None)


def names_by_kind() -> dict[Kind, tuple[str, ...]]:
    """Return the flags that share each kind of value, so that one rule serves them all."""
    kinds: dict[Kind, tuple[str, ...]] = {}
    for name, kind in ALLOWED.items():
        kinds[kind] = (*kinds.get(kind, ()), name)
    return kinds


def command_line(engine_args: Mapping[str, str]) -> list[str]:
    """Return the flags as vLLM's parser takes them; ``ValueError`` when ``problems`` has any.

    ``--name=value`` keeps a value that looks like a flag a value.
    """
    if found := problems(engine_args):
        raise ValueError("engineArgs: " + "; ".join(found))
    return [_flag(name, value) for name, value in sorted(engine_args.items())]


def _flag(name: str, value: str) -> str:
    if ALLOWED[name].flag_only:
        return f"--{name}" if value == "true" else f"--no-{name}"
    return f"--{name}={value}"
