"""The rules about ``local.engineArgs``, made of the contract's allow-list, so that API and replica cannot differ."""

from collections.abc import Iterable
from typing import Final

from tandem_contract import engine_args

from tandem_operator.api.rules import Rule

GPU_MEMORY_UTILIZATION: Final = "gpu-memory-utilization"
"""The flag that belongs to Tandem where a replica gets a share of a GPU."""

_SHARE: Final = "0."
"""How ``resources.gpus`` begins when it is a share of one GPU; "0" is the CPU."""

_AGAINST_A_SHARE: Final = {
    GPU_MEMORY_UTILIZATION: "it follows from the share, so that replicas fit beside each other",
    "kv-cache-memory-bytes": "it would be taken whatever the share is, and replicas would not fit beside each other",
}
"""Flags that a share of a GPU excludes, and why."""


def _quoted(names: Iterable[str]) -> str:
    return "[" + ", ".join(f"'{name}'" for name in names) + "]"


def _owned_rule(flag: str, field: str) -> Rule:
    return Rule(f"!('{flag}' in self)", f"{flag}: set {field} instead", lambda args: flag not in args)


def _allowed_rule() -> Rule:
    known = (*engine_args.ALLOWED, *engine_args.OWNED)
    return Rule(
        f"self.all(name, name in {_quoted(known)})",
        "only these vLLM flags may be set, by exact name and without dashes in front: "
        + ", ".join(sorted(engine_args.ALLOWED)),
        lambda args: all(name in known for name in args),
    )


def _kind_rule(kind: engine_args.Kind, names: tuple[str, ...]) -> Rule:
    return Rule(
        f"{_quoted(names)}.all(name, !(name in self) || self[name].matches(r'^(?:{kind.pattern})$'))",
        f"{', '.join(names)}: must be {kind.says}",
        lambda args: all(kind.accepts(args[name]) for name in names if name in args),
    )


def _excluded_by_a_share(flag: str, why: str) -> Rule:
    return Rule(
        f"!has(self.engineArgs) || !('{flag}' in self.engineArgs) || !self.resources.gpus.startsWith('{_SHARE}')",
        f"{flag}: leave it out when spec.local.resources.gpus is a share of a GPU: {why}",
        lambda local: flag not in local.engine_args or not local.resources.gpus.startswith(_SHARE),
        ".engineArgs",
    )


def _one_gpu_in_a_share(flag: str) -> Rule:
    return Rule(
        f"!has(self.engineArgs) || !('{flag}' in self.engineArgs) || self.engineArgs['{flag}'] == '1'"
        f" || !self.resources.gpus.startsWith('{_SHARE}')",
        f"{flag}: a share of a GPU is of one GPU: leave it out, or give spec.local.resources.gpus as many whole GPUs",
        lambda local: local.engine_args.get(flag, "1") == "1" or not local.resources.gpus.startswith(_SHARE),
        ".engineArgs",
    )


SHARE_RULES: tuple[Rule, ...] = (
    *(_excluded_by_a_share(flag, why) for flag, why in _AGAINST_A_SHARE.items()),
    _one_gpu_in_a_share("tensor-parallel-size"),
)
"""Of ``local``: what a replica with a share of a GPU cannot be told."""

ENGINE_ARGS_RULES: tuple[Rule, ...] = (
    _allowed_rule(),
    *(_owned_rule(flag, field) for flag, field in engine_args.OWNED.items()),
    *(_kind_rule(kind, names) for kind, names in engine_args.names_by_kind().items()),
)
