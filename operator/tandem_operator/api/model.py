"""``spec.model``: where the weights are, and under which names they are served."""

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field

from tandem_operator.api.common import ApiModel
from tandem_operator.api.rules import Rule, in_order, matches, must_not_match, no_value_twice

_NOT_YET: Final = "Use file:///path for a folder that has this path on every node of the Ray cluster, or hf://org/name"

Source = Annotated[
    str,
    Field(max_length=512),
    in_order(
        must_not_match("pvc://.*", f"pvc:// is not supported: an external Ray cluster mounts no claims. {_NOT_YET}"),
        must_not_match("s3://.*", f"s3:// is not supported: replicas hold no keys for object stores. {_NOT_YET}"),
        matches("(file|hf)://.*", "start with file:///path or hf://org/name"),
        matches(
            r"hf://.*|file://(/\.?[A-Za-z0-9_@=+-][A-Za-z0-9._@=+-]*)+",
            "after file:// give an absolute path, such as file:///models/gemma: letters, digits and . _ @ = + -, "
            "no .. and no slash at the end",
        ),
        matches(
            "file://.*|hf://[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}",
            "after hf:// give organisation and name, such as hf://Qwen/Qwen3-8B-AWQ; a commit goes to "
            "spec.model.revision",
        ),
    ),
]

ModelName = Annotated[
    str,
    Field(max_length=63),
    in_order(
        must_not_match(".*/.*", "leave out the /: <namespace>/<name> always works and needs no entry"),
        matches(
            "[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?",
            "use letters, digits and . _ : -, a letter or digit first and last",
        ),
    ),
]

Quantization = Literal[
    "awq",
    "awq_marlin",
    "compressed-tensors",
    "experts_int8",
    "fp8",
    "fp8_per_block",
    "fp8_per_channel",
    "fp8_per_tensor",
    "gptq",
    "gptq_marlin",
    "inc",
    "int8_per_channel_weight_only",
    "modelopt",
    "modelopt_fp4",
    "modelopt_mxfp8",
    "moe_wna16",
    "mxfp4",
    "mxfp8",
    "quark",
    "torchao",
]
"""vLLM's methods, less those that it deprecates and those that fit one model only."""


class Model(ApiModel):
    """What is served, and under which names."""

    source: Source
    """Where the weights are: `file:///path`, a folder that has this path on every node of the Ray cluster, or
    `hf://org/name`, a repository on the Hugging Face Hub that the nodes can reach. Example: hf://Qwen/Qwen3-8B-AWQ.
    Change it to serve another model: replicas are replaced one by one."""

    revision: (
        Annotated[
            str,
            Field(max_length=40),
            matches(
                "[0-9a-f]{40}",
                "give a whole commit, 40 lower-case hexadecimal digits: a branch or a tag can move, and replicas "
                "would differ",
            ),
        ]
        | None
    ) = None
    """Commit of an hf:// source, 40 hexadecimal digits; without it each replica loads what is newest when it starts.
    Example: 5f0b02c75b57c5855da9ae460ce51323ea669d8a. Set it in production; change it to move to another version."""

    names: Annotated[tuple[ModelName, ...], Field(max_length=16), no_value_twice()] = ()
    """What clients may put in `model`; without any, metadata.name. `<namespace>/<name>` always works; a bare name
    belongs to the oldest deployment that claims it. Example: [support, support-v2]. Change it to move clients to
    another model without their help; nothing restarts."""

    max_model_len: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Longest prompt plus answer, in tokens; without it, what the checkpoint says. Example: 8192. Lower it when the
    model does not fit the GPU's memory, or to hold more requests at once: replicas are replaced."""

    quantization: Quantization | None = None
    """How weights are quantized, as vLLM names it; without it, what the checkpoint says. Example: awq. Set it to
    quantize while loading (fp8 halves the memory of a 16-bit checkpoint): replicas are replaced."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "!has(self.revision) || !self.source.startsWith('file://')",
            "remove it: only an hf:// source has revisions; for file:// give each version a path of its own",
            lambda self: self.revision is None or not self.source.startswith("file://"),
            ".revision",
        ),
    )
