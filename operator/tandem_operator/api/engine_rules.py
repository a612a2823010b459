"""The rules of ``local.engineArgs``, made of the contract's allow-list, so that API and replica cannot differ."""

from collections.abc import Iterable
from typing import Final

from tandem_contract import engine_args

from tandem_operator.api.rules import Rule

GPU_MEMORY_UTILIZATION: Final = "gpu-memory-utilization"
"""The flag that belongs to Tandem where a replica gets a share of a GPU."""


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


ENGINE_ARGS_RULES: tuple[Rule, ...] = (
    _allowed_rule(),
    *(_owned_rule(flag, field) for flag, field in engine_args.OWNED.items()),
    *(_kind_rule(kind, names) for kind, names in engine_args.names_by_kind().items()),
)
